"""The listings of tested evidence: how often taking a channel's evidence away changed the prediction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, func, select

from graphapi.listings import of_outcome, ratio, total
from graphapi.paging import Listing, Order
from schema.tables.rollups import ALL_CLASSES, ChannelVerification

_COUNTS = (
    *("tested", "corrected", "flipped"),
    *("control_tested", "control_corrected", "control_flipped", "only_corrected", "control_only_corrected"),
)
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


def methods_of_channel(class_id: int | None, method: str | None, role: str, outcome: str | None) -> Listing:
    """Channel.verification: a row a method; parent (run, layer, channel)."""
    rows = _counts(class_id, method, role, outcome)
    return Listing("verification", rows, ("run_id", "layer_id", "channel"), (Order("method", str),))


def verified_channels(class_id: int | None, method: str, role: str, outcome: str | None) -> Listing:
    """Run.verifiedChannels, those that corrected most first; parent (run, layer)."""
    order = (
        *(Order(name, int, descending=True) for name in ("corrected", "flipped", "tested")),
        Order("channel", int),
    )
    return Listing("verifiedChannels", _counts(class_id, method, role, outcome), ("run_id", "layer_id"), order)
