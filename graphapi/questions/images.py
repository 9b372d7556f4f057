"""Images: one by its uri or index, those before and after it, and those of two runs in pairs.

Of two runs in pairs: which images each gets right.

1. Images are paired by uri, and classes by key and name. A pair counts where both runs give it the same class label:
   else they do not agree on what is right.
2. Each pair is right in both runs, in one of them, or in neither. Whether one run is better beyond chance is McNemar's
   exact question, which only the pairs answer that one run alone gets right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

from sqlalchemy import select

from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.rows import ImageRow
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import Statement, Template, columns_of, hole
from evigraph.schema.errors import NotFoundError, UsageError
from evigraph.schema.tables.dataset import Image

_OF_URI = Template(
    ImageRow,
    select(*columns_of(ImageRow, Image.__table__)).where(Image.run_id == hole("run_id"), Image.uri == hole("uri")),
)
_AT_INDEX = Template(
    ImageRow,
    select(*columns_of(ImageRow, Image.__table__)).where(
        Image.run_id == hole("run_id"), Image.image_id == hole("image_id")
    ),
)
_INDEX_LIMIT = 2**31
"""Indices are below: the column is of 32 bits."""


class _NearUri(NamedTuple):
    uri: str


_NEAR = Template(
    _NearUri,
    """SELECT uri FROM image WHERE run_id = :run_id
       ORDER BY contains(lower(uri), lower(:uri)) DESC, jaro_winkler_similarity(lower(uri), lower(:uri)) DESC, image_id
       LIMIT 3""",
)


async def named_image(session: Session, run: RunInfo, uri: str | None, index: int | None) -> ImageRow:
    """The image that is named by its uri, or by its index.

    Raises:
        UsageError: It is named by neither, or by both.
        NotFoundError: The run has none such.
    """
    if uri is not None and index is None:
        return await image_of(session, run, uri)
    if index is not None and uri is None:
        return await image_at(session, run, index)
    raise UsageError(f"image: uri and index are {'both' if uri is not None else 'not'} given; name it by one of them")


async def image_at(session: Session, run: RunInfo, index: int) -> ImageRow:
    """The image at a position of the data's listing.

    Raises:
        NotFoundError: The run has none there.
    """
    if 0 <= index < _INDEX_LIMIT:
        for row in await session.rows(_AT_INDEX.filled(run_id=run.run_id, image_id=index)):
            return row
    raise NotFoundError("image", str(index), (), f"in run {run.name!r}; it may have been skipped, see skippedImages")


async def image_of(session: Session, run: RunInfo, uri: str) -> ImageRow:
    """The image of a uri.

    Raises:
        NotFoundError: The run has none; the error names near uris.
    """
    for row in await session.rows(_OF_URI.filled(run_id=run.run_id, uri=uri)):
        return row
    near = [row.uri for row in await session.rows(_NEAR.filled(run_id=run.run_id, uri=uri))]
    raise NotFoundError("image", uri, (), f"in run {run.name!r}; images go by their uri", near=near)


class Near(NamedTuple):
    """Which images are near one: `step` 1 after it, -1 before it in the data's order; None does not filter."""

    step: int
    same_label: bool = False
    outcome: str | None = None


class NearRow(NamedTuple):
    """Of `image`, and which image it is near."""

    near: int
    run_id: int
    image_id: int
    uri: str
    label_id: int | None
    predicted_id: int
    probability: float


def near_statement(run_id: int, image_ids: Sequence[int], wanted: Near, first: int) -> Statement[NearRow]:
    """The `first` nearest images of each of some images, the nearest first."""
    return _near_template(wanted).filled(run_id=run_id, image_ids=tuple(image_ids), first=first)


_OUTCOMES = {"correct": "AND b.label_id = b.predicted_id", "wrong": "AND b.label_id != b.predicted_id", None: ""}


@cache
def _near_template(wanted: Near) -> Template[NearRow]:
    side, order = (">", "ASC") if wanted.step > 0 else ("<", "DESC")
    alike = "AND b.label_id = a.label_id" if wanted.same_label else ""
    return Template(
        NearRow,
        f"""SELECT a.image_id AS near, b.run_id, b.image_id, b.uri, b.label_id, b.predicted_id, b.probability
            FROM image AS a JOIN image AS b ON b.run_id = a.run_id AND b.image_id {side} a.image_id {alike}
            WHERE a.run_id = :run_id AND a.image_id IN :image_ids {_OUTCOMES[wanted.outcome]}
            QUALIFY row_number() OVER (PARTITION BY a.image_id ORDER BY b.image_id {order}) <= :first
            ORDER BY near, b.image_id {order}""",
    )


class _PairsRow(NamedTuple):
    """Lists of the same length, in the order of this run's images; None where no image is in both."""

    image_ids: list[int] | None
    other_ids: list[int] | None
    label_ids: list[int] | None
    outcomes: list[int] | None
    matched: int


_PAIRS = Template(
    _PairsRow,
    """WITH pair AS (
           SELECT a.image_id, b.image_id AS other_id, a.label_id,
                  list_extract(CAST(:same_label AS INTEGER[]), b.label_id + 1) AS other_label_id,
                  2 * (a.label_id = a.predicted_id)::INTEGER + (b.label_id = b.predicted_id)::INTEGER AS outcome
           FROM image AS a JOIN image AS b ON b.uri = a.uri
           WHERE a.run_id = :run_id AND b.run_id = :other_id)
       SELECT list(image_id ORDER BY image_id) FILTER (label_id = other_label_id) AS image_ids,
              list(other_id ORDER BY image_id) FILTER (label_id = other_label_id) AS other_ids,
              list(label_id ORDER BY image_id) FILTER (label_id = other_label_id) AS label_ids,
              list(outcome ORDER BY image_id) FILTER (label_id = other_label_id) AS outcomes,
              count(*)::INTEGER AS matched
       FROM pair""",
)
NEITHER, ONLY_OTHER, ONLY_THIS, BOTH = 0, 1, 2, 3
"""What a pair's outcome says: who is right."""


@dataclass(frozen=True)
class ClassChange:
    """One class label's pairs by outcome, in the order of its numbers."""

    class_id: int
    neither: int
    only_other: int
    only_this: int
    both: int

    @property
    def images(self) -> int:
        """Pairs of the label."""
        return self.neither + self.only_other + self.only_this + self.both


@dataclass(frozen=True)
class Comparison:
    """The pairs of two runs.

    Attributes:
        run: This run.
        other: The other one.
        pairs: (image here, image there, class label here, outcome) of each that counts, in this run's order.
        matched: Uris that are in both runs, those too that have no label in common.
    """

    run: RunInfo
    other: RunInfo
    pairs: tuple[tuple[int, int, int, int], ...]
    matched: int

    def count(self, outcome: int) -> int:
        """Pairs of an outcome."""
        return self._counts.get(outcome, 0)

    @cached_property
    def _counts(self) -> Mapping[int, int]:
        counts: dict[int, int] = {}
        for *_, outcome in self.pairs:
            counts[outcome] = counts.get(outcome, 0) + 1
        return counts

    def classes(self) -> list[ClassChange]:
        """By class label, those whose accuracy changed most first, then by index."""
        counts: dict[int, list[int]] = {}
        for _, _, label_id, outcome in self.pairs:
            counts.setdefault(label_id, [0, 0, 0, 0])[outcome] += 1
        changes = [ClassChange(label_id, *own) for label_id, own in counts.items()]
        return sorted(changes, key=lambda one: (-abs(one.only_this - one.only_other) / one.images, one.class_id))


async def compare(session: Session, run: RunInfo, other: RunInfo) -> Comparison:
    """Pair the images of two runs; one statement.

    Raises:
        UsageError: They have no image in common, or none of the same label.
    """
    ids = {(entry.key, entry.name): entry.class_id for entry in run.classes.values()}
    same = [-1] * (max(other.classes, default=-1) + 1)
    for entry in other.classes.values():
        same[entry.class_id] = ids.get((entry.key, entry.name), -1)
    filled = _PAIRS.filled(run_id=run.run_id, other_id=other.run_id, same_label=str(same))
    (row,) = await session.rows(filled)
    lists = [column or [] for column in (row.image_ids, row.other_ids, row.label_ids, row.outcomes)]
    pairs = tuple(zip(*lists, strict=True))
    if not pairs:
        why = "no image has a label in common" if row.matched else "no uri is in both"
        raise UsageError(
            f"runs {run.name!r} and {other.name!r} cannot be compared: {why}; index the same labelled data with both "
            "networks"
        )
    return Comparison(run, other, pairs, row.matched)
