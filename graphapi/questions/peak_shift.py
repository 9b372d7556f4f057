"""Peak features of one image in two runs (Fig. 11 b, c): clean and attacked, say, paired by uri.

1. A pair is an image of this run and the one of the other run with the same uri. Its true class is this run's label (of
   an unlabelled image, this run's prediction); its wrong class is what the other run predicts, where that differs.
2. The important channels of the true class are those in its evidence in this run, at the layer; of the wrong class,
   those in its evidence in the other run. With `top`, only those of largest importance.
3. A channel's peak feature in a run is the mean of its features over the places where it is evidence in that image,
   whichever of the image's roots it is evidence for: the wrong class has no root of its own in a clean run.
4. A channel that is evidence in one of the two only is not matched and left out. before, after and change are means
   over the matched ones of an image; the average is over images.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import and_, func, select
from sqlalchemy.orm import aliased

from evigraph.graphapi.store.paging import Listing, Order
from evigraph.graphapi.store.sql import KEPT, Statement, Template
from evigraph.schema import ids
from evigraph.schema.tables.dataset import Image

_PEAKS = """
    SELECT p.image_id, e.root_class_id AS class_id, e.source_channel AS channel, e.source_y AS y, e.source_x AS x,
           min(e.feature) AS feature, sum(e.importance) AS importance
    FROM edge AS e JOIN pair AS p ON {image_of_edge} = p.{image}
    WHERE e.run_id = :{run} AND e.target_layer = :{layer} {narrowed}
    GROUP BY ALL
"""
_NARROWED = "AND e.root_class_id IN :classes AND e.decision_id IN :{decisions}"
_ROWS = """
    WITH pair AS (
        SELECT a.image_id, b.image_id AS other_id, coalesce(a.label_id, a.predicted_id) AS true_id,
               b.predicted_id AS wrong_id
        FROM image AS a JOIN image AS b ON b.uri = a.uri
        WHERE a.run_id = :run AND b.run_id = :other AND {condition}
    ),
    own AS ({own}),
    theirs AS ({theirs}),
    own_channel AS (
        SELECT image_id, channel, avg(feature) AS feature
        FROM (SELECT image_id, channel, y, x, min(feature) AS feature FROM own GROUP BY ALL) GROUP BY ALL
    ),
    their_channel AS (
        SELECT image_id, channel, avg(feature) AS feature
        FROM (SELECT image_id, channel, y, x, min(feature) AS feature FROM theirs GROUP BY ALL) GROUP BY ALL
    ),
    important AS (
        SELECT 'true' AS side, o.image_id, o.channel, sum(o.importance) AS importance
        FROM own AS o JOIN pair AS p ON p.image_id = o.image_id AND p.true_id = o.class_id GROUP BY ALL
        UNION ALL
        SELECT 'wrong', t.image_id, t.channel, sum(t.importance)
        FROM theirs AS t JOIN pair AS p
             ON p.image_id = t.image_id AND p.wrong_id = t.class_id AND p.wrong_id <> p.true_id
        GROUP BY ALL
    ),
    chosen AS (
        FROM important
        QUALIFY row_number() OVER (PARTITION BY side, image_id ORDER BY importance DESC, channel) <= :top
    ),
    by_image AS (
        SELECT side, image_id, count(*)::INTEGER AS channels,
               count(*) FILTER (o.feature IS NOT NULL AND t.feature IS NOT NULL)::INTEGER AS matched,
               avg(o.feature) FILTER (t.feature IS NOT NULL) AS before,
               avg(t.feature) FILTER (o.feature IS NOT NULL) AS after
        FROM chosen LEFT JOIN own_channel AS o USING (image_id, channel)
                    LEFT JOIN their_channel AS t USING (image_id, channel)
        GROUP BY side, image_id
    )
"""
_PER_IMAGE = """
    SELECT side, image_id, channels, matched, before, after, after - before AS change
    FROM by_image ORDER BY side, image_id
"""
_AVERAGE = """
    SELECT side, count(*)::INTEGER AS images, count(before)::INTEGER AS matched_images,
           sum(channels)::INTEGER AS channels, sum(matched)::INTEGER AS matched,
           avg(before) AS before, avg(after) AS after, avg(after - before) AS change,
           stddev_samp(after - before) / sqrt(count(before)) AS standard_error,
           count(*) FILTER (after > before)::INTEGER AS rose
    FROM by_image GROUP BY side ORDER BY side
"""
_EVERY_CHANNEL = 2**31 - 1


class PairRow(NamedTuple):
    """An image of a run and the one of the same uri of another."""

    run_id: int
    image_id: int
    other_image_id: int
    true_id: int
    predicted_id: int
    other_predicted_id: int


class ChangeRow(NamedTuple):
    """A side, "true" or "wrong", of one pair; before, after and change are None where no channel matched."""

    side: str
    image_id: int
    channels: int
    matched: int
    before: float | None
    after: float | None
    change: float | None


class AverageRow(NamedTuple):
    """A side over all pairs, each counting alike; `rose` counts those whose mean peak feature rose."""

    side: str
    images: int
    matched_images: int
    channels: int
    matched: int
    before: float | None
    after: float | None
    change: float | None
    standard_error: float | None
    rose: int


@lru_cache(maxsize=KEPT)
def pairs(other_id: int, true_id: int | None, outcome: str | None) -> Listing[PairRow]:
    """The pairs of a run with another, in the data's order; parent (run)."""
    own, theirs = aliased(Image), aliased(Image)
    true = func.coalesce(own.label_id, own.predicted_id)
    conditions = [theirs.run_id == other_id]
    if true_id is not None:
        conditions.append(true == true_id)
    if outcome is not None:
        conditions.append(theirs.predicted_id != true if outcome == "wrong" else theirs.predicted_id == true)
    rows = (
        select(
            own.run_id,
            own.image_id,
            theirs.image_id.label("other_image_id"),
            true.label("true_id"),
            own.predicted_id,
            theirs.predicted_id.label("other_predicted_id"),
        )
        .join(theirs, theirs.uri == own.uri)
        .where(and_(*conditions))
    )
    return Listing("peakShift", PairRow, rows, ("run_id",), (Order("image_id", int),))


def of_images(
    runs: tuple[int, int],
    layers: tuple[int, int],
    some_pairs: Sequence[PairRow],
    top: int | None,
) -> Statement[ChangeRow]:
    """A row for each side of some pairs.

    Args:
        runs: Ids of this run and of the other.
        layers: In each of them the id of the layer above that of the channels, which is the one decomposed.
        some_pairs: At least one.
        top: The most channels of each side; None for all.
    """
    narrow = {
        "own": _NARROWED.format(decisions="own_decisions"),
        "theirs": _NARROWED.format(decisions="their_decisions"),
    }
    own = tuple(pair.image_id for pair in some_pairs)
    theirs = tuple(pair.other_image_id for pair in some_pairs)
    # Of all roots of the images: edges lie by class.
    classes = {c for pair in some_pairs for c in (pair.true_id, pair.predicted_id, pair.other_predicted_id)}
    return Template(ChangeRow, _rows("a.image_id IN :images", narrow) + _PER_IMAGE).filled(
        **_shared(runs, layers, top),
        images=own,
        classes=tuple(classes),
        own_decisions=_decisions(own),
        their_decisions=_decisions(theirs),
    )


def _decisions(images: Sequence[int]) -> tuple[int, ...]:
    return tuple(ids.decision_id(image_id, is_label) for image_id in images for is_label in (0, 1))


def average(
    runs: tuple[int, int], layers: tuple[int, int], true_id: int | None, outcome: str | None, top: int | None
) -> Statement[AverageRow]:
    """A row for each side over all pairs; arguments as of `of_images` and `pairs`."""
    conditions, values = ["TRUE"], _shared(runs, layers, top)
    if true_id is not None:
        conditions.append("coalesce(a.label_id, a.predicted_id) = :true_id")
        values["true_id"] = true_id
    if outcome is not None:
        sign = "<>" if outcome == "wrong" else "="
        conditions.append(f"b.predicted_id {sign} coalesce(a.label_id, a.predicted_id)")
    sql = _rows(" AND ".join(conditions), {"own": "", "theirs": ""}) + _AVERAGE
    return Template(AverageRow, sql).filled(**values)


def _rows(condition: str, narrowed: dict[str, str]) -> str:
    of_edge = {"image_of_edge": ids.image_id_sql("e.decision_id")}
    own = _PEAKS.format(image="image_id", run="run", layer="layer", narrowed=narrowed["own"], **of_edge)
    theirs = _PEAKS.format(image="other_id", run="other", layer="other_layer", narrowed=narrowed["theirs"], **of_edge)
    return _ROWS.format(condition=condition, own=own, theirs=theirs)


def _shared(runs: tuple[int, int], layers: tuple[int, int], top: int | None) -> dict[str, int]:
    return {
        "run": runs[0],
        "other": runs[1],
        "layer": layers[0],
        "other_layer": layers[1],
        "top": _EVERY_CHANNEL if top is None else top,
    }
