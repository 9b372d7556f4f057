"""The listings of tested evidence: how often taking a channel's evidence away changed the prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    ColumnElement,
    Double,
    Select,
    and_,
    cast,
    false,
    func,
    literal,
    literal_column,
    not_,
    select,
    true,
)

from evigraph.graphapi.questions.support import of_outcome, ratio
from evigraph.graphapi.questions.verified import CountsRow, Tests
from evigraph.graphapi.store.paging import Listing, Order
from evigraph.graphapi.store.sql import KEPT
from evigraph.schema import ids
from evigraph.schema.tables.dataset import Image
from evigraph.schema.tables.evidence import Verification
from evigraph.schema.tables.rollups import ALL_CLASSES, ChannelVerification

_EVERY_CHANNEL = -1
"""Channel of a row that counts the decisions of a layer."""


_KEY = ("run_id", "layer_id", "channel", "method", "fill")
_COUNTS = CountsRow._fields[CountsRow._fields.index("corrected") : -2]
"""Those that tests too large are left out of."""
_EVERY_CLASS = tuple(literal(ALL_CLASSES).label(name) for name in ("label_id", "predicted_id"))
_SUMS = ("logit_change_sum", "control_logit_change_sum")


def _rolled_up(tests: Tests) -> Select[Any]:
    """Counts and sums of channels, those of large tests in rows of their own, from the rollup."""
    table = ChannelVerification
    conditions = [table.class_id == (ALL_CLASSES if tests.class_id is None else tests.class_id)]
    conditions += [table.role == tests.role, of_outcome(table, tests.outcome)]
    if tests.method is not None:
        conditions.append(table.method == tests.method)
    if tests.fill is not None:
        conditions.append(table.fill == tests.fill)
    columns = ("run_id", "layer_id", "channel", "method", "fill", "is_large", "tested", *_COUNTS, *_SUMS)
    return select(*(getattr(table, name).label(name) for name in columns)).where(*conditions)


def _summed_here(tests: Tests) -> Select[Any]:
    """The same of the tests themselves."""
    test = Verification
    has_control = test.control_predicted_id.is_not(None)
    corrected, by_control = test.corrected.is_(True), test.control_corrected.is_(True)
    key: dict[str, Any] = {
        "run_id": test.run_id,
        "layer_id": test.source_layer,
        "channel": test.source_channel,
        "method": test.method,
        "fill": func.coalesce(test.fill, ""),
        "is_large": _is_large(tests.max_area),
    }
    counts: dict[str, ColumnElement[Any]] = {
        "corrected": corrected,
        "flipped": test.predicted_id != Image.predicted_id,
        "control_tested": has_control,
        "control_corrected": by_control,
        "control_flipped": test.control_predicted_id != Image.predicted_id,
        "only_corrected": and_(has_control, corrected, not_(by_control)),
        "control_only_corrected": and_(by_control, not_(corrected)),
        "empty_known": test.empty_predicted_id.is_not(None),
        "empty_corrected": and_(corrected, test.predicted_id == test.empty_predicted_id),
        "control_empty_corrected": and_(by_control, test.control_predicted_id == test.empty_predicted_id),
    }
    measures = {
        "tested": func.count(),
        **{name: func.count_if(condition) for name, condition in counts.items()},
        "logit_change_sum": func.sum(cast(test.logit_change, Double)),
        "control_logit_change_sum": func.sum(cast(test.control_logit_change, Double)),
    }
    return _tests_of(tests, key | measures).group_by(*key.values())


def _tests_of(tests: Tests, columns: Mapping[str, Any]) -> Select[Any]:
    """Columns of the tests that are counted, the too large ones too, each with its image."""
    test = Verification
    image_id: ColumnElement[int] = literal_column(ids.image_id_sql(str(test.__table__.c.decision_id)))
    right = Image.label_id == Image.predicted_id
    wanted = {
        test.class_id: tests.class_id,
        Image.label_id: tests.label_id,
        Image.predicted_id: tests.predicted_id,
        test.method: tests.method,
        test.fill: tests.fill,
    }
    return (
        select(*(column.label(name) for name, column in columns.items()))
        .join(Image, and_(Image.run_id == test.run_id, Image.image_id == image_id))
        .where(
            ids.is_label(test.decision_id) == (tests.role == "label"),
            {None: true(), "correct": right, "wrong": not_(right)}[tests.outcome],
            *(column == value for column, value in wanted.items() if value is not None),
        )
    )


def _is_large(max_area: float | None) -> ColumnElement[bool]:
    """Whether a test hid more than a part of the input; areas are stored in single precision."""
    if max_area is None:
        return false()
    return func.coalesce(Verification.area > cast(literal(max_area), REAL), false())


def _counts(tests: Tests) -> Select[Any]:
    """Counts of channels, one way or the other."""
    row = (_rolled_up(tests) if tests.is_rolled_up else _summed_here(tests)).subquery("row").c
    small = not_(row.is_large)
    key = [row[name] for name in _KEY]

    def summed(name: str, of: ColumnElement[bool]) -> ColumnElement[Any]:
        return cast(func.coalesce(func.sum(row[name]).filter(of), 0), BigInteger)

    def mean(name: str, of: str) -> ColumnElement[Any]:
        return ratio(func.sum(row[name]).filter(small), func.nullif(summed(of, small), 0))

    return select(
        row.run_id,
        row.layer_id,
        *_EVERY_CLASS,
        *key[2:],
        summed("tested", small).label("tested"),
        summed("tested", row.is_large).label("too_large"),
        *(summed(name, small).label(name) for name in _COUNTS),
        mean("logit_change_sum", "tested").label("mean_logit_change"),
        mean("control_logit_change_sum", "control_tested").label("mean_control_logit_change"),
    ).group_by(*key)


@lru_cache(maxsize=KEPT)
def methods_of_channel(tests: Tests) -> Listing[CountsRow]:
    """Channel.verification: a row a method and fill; parent (run, layer, channel)."""
    return Listing("verification", CountsRow, _counts(tests), ("run_id", "layer_id", "channel"), _BY_METHOD)


_BY_METHOD = (Order("method", str), Order("fill", str))
_BY_CORRECTED = tuple(Order(name, int, descending=True) for name in ("corrected", "flipped", "tested"))


@lru_cache(maxsize=KEPT)
def verified_channels(tests: Tests) -> Listing[CountsRow]:
    """Run.verifiedChannels, those that corrected most first; parent (run, layer)."""
    order = (*_BY_CORRECTED, Order("channel", int), *_BY_METHOD)
    return Listing("verifiedChannels", CountsRow, _counts(tests), ("run_id", "layer_id"), order)


@lru_cache(maxsize=KEPT)
def methods_of_layer(tests: Tests) -> Listing[CountsRow]:
    """Run.verification: a row a method and fill, counting decisions; parent (run, layer).

    Of a decision all tests at the layer count as one: several are not independent.
    """
    rows = _of_decisions(tests)
    return Listing("verification of a layer", CountsRow, rows, ("run_id", "layer_id"), _BY_METHOD)


@lru_cache(maxsize=KEPT)
def pairs_of_layer(tests: Tests) -> Listing[CountsRow]:
    """Run.verifiedPairs: the same by label and predicted class, those that corrected most first."""
    rows = _of_decisions(tests, "label_id", "predicted_id")
    order = (*_BY_CORRECTED, Order("label_id", int), Order("predicted_id", int), *_BY_METHOD)
    return Listing("verifiedPairs", CountsRow, rows, ("run_id", "layer_id"), order)


def _of_decisions(tests: Tests, *of_image: str) -> Select[Any]:
    """Counts of decisions at a layer, by columns of their images too."""
    decision = _decisions(tests, of_image).subquery("tested").c
    classes = [decision[name] for name in of_image]
    key = (decision.run_id, decision.layer_id, *classes)
    counts = {
        "tested": decision.is_tested,
        "too_large": decision.has_large,
        "corrected": decision.corrected,
        "flipped": decision.flipped,
        "control_tested": decision.has_control,
        "control_corrected": decision.control_corrected,
        "control_flipped": decision.control_flipped,
        "only_corrected": and_(decision.paired_corrected, not_(decision.control_corrected)),
        "control_only_corrected": and_(decision.control_corrected, not_(decision.paired_corrected)),
        "empty_known": decision.empty_known,
        "empty_corrected": decision.empty_corrected,
        "control_empty_corrected": decision.control_empty_corrected,
    }
    rows = select(
        decision.run_id,
        decision.layer_id,
        *(classes or _EVERY_CLASS),
        literal(_EVERY_CHANNEL).label("channel"),
        decision.method,
        decision.fill,
        *(func.count_if(condition).label(name) for name, condition in counts.items()),
        func.avg(decision.logit_change).label("mean_logit_change"),
        func.avg(decision.control_logit_change).label("mean_control_logit_change"),
    ).group_by(*key, decision.method, decision.fill)
    return rows.where(decision.label_id.is_not(None)) if of_image else rows


def _decisions(tests: Tests, of_image: Sequence[str]) -> Select[Any]:
    """What became of each decision by any of its tests at a layer that are not too large."""
    test, small = Verification, not_(_is_large(tests.max_area))
    has_control = test.control_predicted_id.is_not(None)

    def any_of(*conditions: Any) -> ColumnElement[Any]:
        return func.coalesce(func.bool_or(and_(small, *conditions)), false())

    key: dict[str, Any] = {
        "run_id": test.run_id,
        "layer_id": test.source_layer,
        "method": test.method,
        "fill": func.coalesce(test.fill, ""),
        "decision_id": test.decision_id,
        **{name: getattr(Image, name) for name in of_image},
    }
    columns: dict[str, Any] = {
        "is_tested": any_of(),
        "has_large": func.bool_or(not_(small)),
        "corrected": any_of(test.corrected),
        "flipped": any_of(test.predicted_id != Image.predicted_id),
        "logit_change": func.avg(cast(test.logit_change, Double)).filter(small),
        "has_control": any_of(has_control),
        "paired_corrected": any_of(test.corrected, has_control),
        "control_corrected": any_of(test.control_corrected),
        "control_flipped": any_of(test.control_predicted_id != Image.predicted_id),
        "control_logit_change": func.avg(cast(test.control_logit_change, Double)).filter(small),
        "empty_known": any_of(test.empty_predicted_id.is_not(None)),
        "empty_corrected": any_of(test.corrected, test.predicted_id == test.empty_predicted_id),
        "control_empty_corrected": any_of(test.control_corrected, test.control_predicted_id == test.empty_predicted_id),
    }
    return _tests_of(tests, key | columns).group_by(*key.values())
