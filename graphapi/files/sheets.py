"""Pictures by what they are of: each question asked, its patches fetched, and the sheet laid out."""

from __future__ import annotations

from evigraph.graphapi.files import panel_sheet, profile_sheet, pyramid_sheet
from evigraph.graphapi.files.canvas import Sheet
from evigraph.graphapi.files.patches import patches
from evigraph.graphapi.questions.panel import panel
from evigraph.graphapi.questions.pyramid import pyramid
from evigraph.graphapi.store.names import chosen_run
from evigraph.graphapi.store.session import Session


async def drawn_pyramid(
    session: Session,
    run_name: str | None,
    uri: str,
    role: str,
    *,
    top: int | None,
    depth: int | None,
    nodes: int,
    maps: bool,
) -> Sheet:
    """One decision (Fig. 5); `top`, `depth` and `nodes` as `questions.pyramid` has them.

    Raises:
        NotFoundError, UsageError: Of `chosen_run` and `pyramid`.
    """
    run, _ = chosen_run(session.runs, run_name)
    answer = await pyramid(session, run, uri, role, top=top, depth=depth, nodes=nodes)
    shown = await patches(session, run, pyramid_sheet.places_of(answer), [answer.decision.class_id], maps)
    return pyramid_sheet.pyramid_sheet(run, answer, shown, top)


async def drawn_panel(
    session: Session,
    run_name: str | None,
    class_name: str,
    layer: str,
    role: str,
    *,
    top: int,
    peaks: int,
    own_peaks: bool,
    maps: bool,
) -> Sheet:
    """The channels of a class and layer with their peaks; arguments as `questions.panel` has them.

    Raises:
        NotFoundError, UsageError: Of `chosen_run` and `panel`.
    """
    run, _ = chosen_run(session.runs, run_name)
    answer = await panel(session, run, class_name, layer, role, top=top, peaks=peaks, own_peaks=own_peaks)
    shown = await patches(session, run, panel_sheet.places_of(answer), panel_sheet.classes_of(answer), maps)
    return panel_sheet.panel_sheet(run, answer, shown, own_peaks)


async def drawn_profile(session: Session, run_name: str | None, class_name: str | None, role: str) -> Sheet:
    """How the evidence of each layer falls off with rank (Fig. 6).

    Raises:
        NotFoundError, AmbiguousError: Of `chosen_run` and `layer_profiles`.
    """
    run, _ = chosen_run(session.runs, run_name)
    return profile_sheet.profile_sheet(run, await profile_sheet.layer_profiles(session, run, class_name, role))
