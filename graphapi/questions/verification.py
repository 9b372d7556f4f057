"""The listings of tested evidence: how often taking a channel's evidence away changed the prediction."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Double, Select, and_, cast, func, literal, literal_column, not_, select, true

from evigraph.graphapi.questions.support import of_outcome, ratio, total
from evigraph.graphapi.store.paging import Listing, Order
from evigraph.graphapi.store.sql import KEPT
from evigraph.schema import ids
from evigraph.schema.tables.dataset import Image
from evigraph.schema.tables.evidence import Verification
from evigraph.schema.tables.rollups import ALL_CLASSES, ChannelVerification


class VerificationRow(NamedTuple):
    """Of `verification`."""

    run_id: int
    class_id: int
    decision_id: int
    target_layer: int
    target_channel: int
    target_y: int
    target_x: int
    source_layer: int
    source_channel: int
    source_y: int
    source_x: int
    method: str
    area: float | None
    predicted_id: int
    logit: float
    logit_change: float
    label_logit_change: float | None
    corrected: bool | None
    disturbance: float | None
    control_top: int | None
    control_left: int | None
    control_channel: int | None
    control_disturbance: float | None
    control_predicted_id: int | None
    control_logit_change: float | None
    control_label_logit_change: float | None
    control_corrected: bool | None


_EVERY_CHANNEL = -1
"""Channel of a row that counts the decisions of a layer."""


class CountsRow(NamedTuple):
    """What became of the decisions whose evidence at a channel, or at a layer, was taken away by a method.

    control_tested counts those whose tests have a control; mean_control_logit_change is None where there are none.
    """

    run_id: int
    layer_id: int
    channel: int
    method: str
    tested: int
    corrected: int
    flipped: int
    control_tested: int
    control_corrected: int
    control_flipped: int
    only_corrected: int
    control_only_corrected: int
    mean_logit_change: float
    mean_control_logit_change: float | None


_COUNTS = CountsRow._fields[4:-2]
_SUMS = ("logit_change_sum", "control_logit_change_sum")


def _counts(class_id: int | None, method: str | None, role: str, outcome: str | None) -> Select[Any]:
    table = ChannelVerification
    key = (table.run_id, table.layer_id, table.channel, table.method)
    summed = (
        select(
            *key,
            *(total(getattr(table, name)).label(name) for name in _COUNTS),
            *(func.sum(getattr(table, name)).label(name) for name in _SUMS),
        )
        .where(
            table.class_id == (ALL_CLASSES if class_id is None else class_id),
            table.role == role,
            of_outcome(table, outcome),
            *(() if method is None else (table.method == method,)),
        )
        .group_by(*key)
        .subquery("summed")
        .c
    )
    return select(
        summed.run_id,
        summed.layer_id,
        summed.channel,
        summed.method,
        *(summed[name] for name in _COUNTS),
        ratio(summed.logit_change_sum, summed.tested).label("mean_logit_change"),
        ratio(summed.control_logit_change_sum, summed.control_tested).label("mean_control_logit_change"),
    )


@lru_cache(maxsize=KEPT)
def methods_of_channel(class_id: int | None, method: str | None, role: str, outcome: str | None) -> Listing[CountsRow]:
    """Channel.verification: a row a method; parent (run, layer, channel)."""
    rows = _counts(class_id, method, role, outcome)
    return Listing("verification", CountsRow, rows, ("run_id", "layer_id", "channel"), (Order("method", str),))


@lru_cache(maxsize=KEPT)
def methods_of_layer(class_id: int | None, method: str | None, role: str, outcome: str | None) -> Listing[CountsRow]:
    """Run.verification: a row a method, counting decisions; parent (run, layer).

    Of a decision all tests at the layer count as one: several are not independent.
    """
    decision = _decisions(class_id, method, role, outcome).subquery("tested").c
    key = (decision.run_id, decision.layer_id, decision.method)
    channel = literal(_EVERY_CHANNEL).label("channel")
    alone = {
        "only_corrected": and_(decision.paired_corrected, not_(decision.control_corrected)),
        "control_only_corrected": and_(decision.control_corrected, not_(decision.paired_corrected)),
    }
    rows = select(
        *(decision.run_id, decision.layer_id, channel, decision.method),
        func.count().label("tested"),
        func.count_if(decision.corrected).label("corrected"),
        func.count_if(decision.flipped).label("flipped"),
        func.count_if(decision.has_control).label("control_tested"),
        func.count_if(decision.control_corrected).label("control_corrected"),
        func.count_if(decision.control_flipped).label("control_flipped"),
        *(func.count_if(condition).label(name) for name, condition in alone.items()),
        func.avg(decision.logit_change).label("mean_logit_change"),
        func.avg(decision.control_logit_change).label("mean_control_logit_change"),
    ).group_by(*key)
    return Listing("verification of a layer", CountsRow, rows, ("run_id", "layer_id"), (Order("method", str),))


def _decisions(class_id: int | None, method: str | None, role: str, outcome: str | None) -> Select[Any]:
    """What became of each decision by any of its tests at a layer."""
    test = Verification
    has_control = test.control_predicted_id.is_not(None)
    image_id: ColumnElement[int] = literal_column(ids.image_id_sql(str(test.__table__.c.decision_id)))
    of_image = and_(Image.run_id == test.run_id, Image.image_id == image_id)
    right = Image.label_id == Image.predicted_id
    wanted = {None: true(), "correct": right, "wrong": not_(right)}[outcome]
    columns: dict[str, Any] = {
        "layer_id": test.source_layer,
        "corrected": func.bool_or(test.corrected),
        "flipped": func.bool_or(test.predicted_id != Image.predicted_id),
        "logit_change": func.avg(cast(test.logit_change, Double)),
        "has_control": func.bool_or(has_control),
        "paired_corrected": func.bool_or(and_(test.corrected.is_(True), has_control)),
        "control_corrected": func.bool_or(test.control_corrected),
        "control_flipped": func.bool_or(test.control_predicted_id != Image.predicted_id),
        "control_logit_change": func.avg(cast(test.control_logit_change, Double)),
    }
    key: tuple[Any, ...] = (test.run_id, test.source_layer, test.method, test.decision_id)
    return (
        select(test.run_id, test.method, test.decision_id, *(column.label(name) for name, column in columns.items()))
        .join(Image, of_image)
        .where(
            ids.is_label(test.decision_id) == (role == "label"),
            wanted,
            *(() if class_id is None else (test.class_id == class_id,)),
            *(() if method is None else (test.method == method,)),
        )
        .group_by(*key)
    )


@lru_cache(maxsize=KEPT)
def verified_channels(class_id: int | None, method: str, role: str, outcome: str | None) -> Listing[CountsRow]:
    """Run.verifiedChannels, those that corrected most first; parent (run, layer)."""
    order = (
        *(Order(name, int, descending=True) for name in ("corrected", "flipped", "tested")),
        Order("channel", int),
    )
    rows = _counts(class_id, method, role, outcome)
    return Listing("verifiedChannels", CountsRow, rows, ("run_id", "layer_id"), order)
