"""Dataloaders: what a request asks for one object at a time is fetched for all of them in one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import select
from strawberry.dataloader import DataLoader

from evigraph.graphapi.questions.degrees import DegreeKey, Degrees, degrees, degrees_statement
from evigraph.graphapi.questions.evidence import Graph, GraphNode, evidence_statement, graph
from evigraph.graphapi.questions.profiles import (
    Positive,
    Profile,
    ProfileKey,
    positive,
    positive_statement,
    profile,
    shares_statement,
)
from evigraph.graphapi.store import matching
from evigraph.graphapi.store.cursors import Key
from evigraph.graphapi.store.paging import Builder, Parent, count_statement, page_statement
from evigraph.graphapi.store.rows import (
    ChannelDegreeRow,
    DecisionRow,
    EveryEdgeRow,
    GuidedRow,
    ImageRow,
    MapRow,
    OverlapRow,
    ShownRow,
    VerificationRow,
)
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import KEPT, R, Template, columns_of
from evigraph.schema.tables.base import Base
from evigraph.schema.tables.dataset import Image
from evigraph.schema.tables.evidence import Decision, Overlap, Verification
from evigraph.schema.tables.pictures import ActivationMap, GuidedCrop
from evigraph.schema.tables.rollups import ChannelDegree, ChannelSupport, ClassLabel

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class PageKey(NamedTuple):
    """One page of one listing under one parent; all but the parent is shared within a statement."""

    build: Builder[Any]
    arguments: tuple[Any, ...]
    after: Key | None
    limit: int
    parent: Parent


class EvidenceKey(NamedTuple):
    """The evidence of one root; logit and class_id are its own, root_layer the id of `logits`."""

    run_id: int
    root_layer: int
    max_depth: int | None
    top: int | None
    decision_id: int
    class_id: int
    logit: float


class Context:
    """The session of a request and its dataloaders: the context of every resolver."""

    def __init__(self, session: Session, operation_name: str | None = None) -> None:
        self.session = session
        self.operation_name = operation_name
        self.pages: DataLoader[PageKey, list[Any]] = DataLoader(self._load_pages)
        self.counts: DataLoader[PageKey, int] = DataLoader(self._load_counts)
        self.evidence: DataLoader[EvidenceKey, Graph] = DataLoader(self._load_evidence)
        self.layer_degrees: DataLoader[DegreeKey, Degrees] = DataLoader(self._load_degrees)
        self.layer_profiles: DataLoader[ProfileKey, Profile] = DataLoader(self._load_profiles)
        self.positive_profiles: DataLoader[ProfileKey, Positive] = DataLoader(self._load_positive_profiles)
        self.overlaps: DataLoader[Parent, dict[Parent, list[OverlapRow]]] = DataLoader(self._load_overlaps)
        of_channel, of_decision = ("run_id", "layer_id", "channel"), ("run_id", "decision_id")
        self.images = self._rows_by(ImageRow, Image, "run_id", "image_id")
        self.decisions = self._rows_by(DecisionRow, Decision, *of_decision)
        self.decisions_of_image = self._rows_by(DecisionRow, Decision, "run_id", "image_id")
        self.support = self._rows_by(EveryEdgeRow, ChannelSupport, *of_channel, "class_id", "role")
        self.verifications = self._rows_by(VerificationRow, Verification, "run_id", "class_id", "decision_id")
        self.shown_labels = self._rows_by(ShownRow, ClassLabel, "run_id", "class_id", "role", "label_id")
        self.kept_maps = self._rows_by(MapRow, ActivationMap, *of_decision)
        self.guided_crops = self._rows_by(GuidedRow, GuidedCrop, *of_channel, "image_id", "y", "x")
        self.degrees = self._rows_by(ChannelDegreeRow, ChannelDegree, *of_channel)

    def _rows_by(self, kind: type[R], table: type[Base], *key: str) -> DataLoader[tuple[int | str, ...], list[R]]:
        """A loader of the rows whose key columns hold the key, those of one key by the table's first two columns."""

        async def load(wanted: list[tuple[int | str, ...]]) -> Sequence[list[R]]:
            template = _rows_template(kind, table, key, matching.shape_of(wanted))
            rows: list[R] = await self.session.rows(template.filled(**matching.values(wanted)))
            by_key = _grouped(rows, key)
            return [by_key.get(values, []) for values in wanted]

        return DataLoader(load)

    async def _load_pages(self, keys: list[PageKey]) -> Sequence[list[Any] | BaseException]:
        async def load(group: list[PageKey]) -> dict[PageKey, list[Any]]:
            listing = group[0].build(*group[0].arguments)
            parents = [key.parent for key in group]
            statement = page_statement(listing, parents, group[0].after, group[0].limit)
            by_parent = _grouped(await self.session.rows(statement), listing.parent)
            return {key: by_parent.get(key.parent, []) for key in group}

        return await _in_groups(keys, lambda key: key[:-1], load)

    async def _load_counts(self, keys: list[PageKey]) -> Sequence[int | BaseException]:
        async def load(group: list[PageKey]) -> dict[PageKey, int]:
            listing = group[0].build(*group[0].arguments)
            rows = await self.session.rows(count_statement(listing, [key.parent for key in group]))
            totals = {tuple(row.parent): row.total for row in rows}
            return {key: totals.get(key.parent, 0) for key in group}

        return await _in_groups(keys, lambda key: key[:-1], load)

    async def _load_overlaps(self, keys: list[Parent]) -> Sequence[dict[Parent, list[OverlapRow]]]:
        """Overlap groups of decisions (run, class, decision), each under (layer, channel, y, x, representative)."""
        c = Overlap.__table__.c
        wanted = matching.condition([c.run_id, c.class_id, c.decision_id], matching.shape_of(keys))
        members = select(*columns_of(OverlapRow, Overlap.__table__)).where(wanted)
        template = Template(OverlapRow, members.order_by(c.contribution.desc(), c.member))
        rows = await self.session.rows(template.filled(**matching.values(keys)))
        self.session.spend(len(rows))
        by_decision = _grouped(rows, ["run_id", "class_id", "decision_id"])
        node = ["layer_id", "channel", "y", "x", "representative"]
        return [_grouped(by_decision.get(key, []), node) for key in keys]

    async def _load_profiles(self, keys: list[ProfileKey]) -> Sequence[Profile | BaseException]:
        async def load(group: list[ProfileKey]) -> dict[ProfileKey, Profile]:
            by_layer = _grouped(await self.session.rows(shares_statement(group)), ["run_id", "layer_id"])
            return {key: profile(by_layer.get((key.run_id, key.layer_id), [])) for key in group}

        return await _in_groups(keys, lambda key: key[:3], load)

    async def _load_positive_profiles(self, keys: list[ProfileKey]) -> Sequence[Positive | BaseException]:
        async def load(group: list[ProfileKey]) -> dict[ProfileKey, Positive]:
            by_layer = _grouped(await self.session.rows(positive_statement(group)), ["run_id", "layer_id"])
            profiles = {key: positive(by_layer.get((key.run_id, key.layer_id), [])) for key in group}
            for one in profiles.values():
                self.session.spend(len(one.positive) + len(one.overlapping))
            return profiles

        return await _in_groups(keys, lambda key: key[:3], load)

    async def _load_degrees(self, keys: list[DegreeKey]) -> Sequence[Degrees | BaseException]:
        async def load(group: list[DegreeKey]) -> dict[DegreeKey, Degrees]:
            by_layer = _grouped(await self.session.rows(degrees_statement(group)), ["run_id", "layer_id"])
            return {key: degrees(by_layer.get((key.run_id, key.layer_id), []), key.bins) for key in group}

        return await _in_groups(keys, lambda key: key[:-2], load)

    async def _load_evidence(self, keys: list[EvidenceKey]) -> Sequence[Graph | BaseException]:
        async def load(group: list[EvidenceKey]) -> dict[EvidenceKey, Graph]:
            first = group[0]
            statement = evidence_statement(
                first.run_id,
                sorted({key.decision_id for key in group}),
                sorted({key.class_id for key in group}),
                first.root_layer,
                first.max_depth,
                first.top,
                self.session.settings.max_evidence_edges,
            )
            by_decision = _grouped(await self.session.rows(statement), ["decision_id"])
            graphs = {}
            for key in group:
                root = GraphNode((key.root_layer, key.class_id, 0, 0), key.logit, 1.0)
                graphs[key] = graph(root, by_decision.get((key.decision_id,), []))
                self.session.spend(len(graphs[key].nodes))
            return graphs

        return await _in_groups(keys, lambda key: key[:4], load)


@lru_cache(maxsize=KEPT)
def _rows_template(kind: Any, table: type[Base], key: tuple[str, ...], shape: matching.Shape) -> Template[Any]:
    column = table.__table__.c
    wanted = matching.condition([column[name] for name in key], shape)
    # Rows of one key are alike in its columns; a sort that changes nothing took a third of the statement's time.
    order = [first for first in list(column)[:2] if first.name not in key]
    return Template(kind, select(*columns_of(kind, table.__table__)).where(wanted).order_by(*order))


async def _in_groups(
    keys: list[K], group_of: Callable[[K], Hashable], load: Callable[[list[K]], Awaitable[dict[K, V]]]
) -> list[V | BaseException]:
    """Load each group of keys by one call, all at the same time; an error fails its own group only."""
    groups: dict[Hashable, list[K]] = {}
    for key in keys:
        groups.setdefault(group_of(key), []).append(key)
    if len(groups) == 1:
        values = await load(keys)
        return [values[key] for key in keys]
    outcomes = await asyncio.gather(*(load(group) for group in groups.values()), return_exceptions=True)
    answers: dict[K, V | BaseException] = {}
    for group, outcome in zip(groups.values(), outcomes, strict=True):
        for key in group:
            answers[key] = outcome if isinstance(outcome, BaseException) else outcome[key]
    return [answers[key] for key in keys]


def _grouped(rows: Sequence[R], names: Sequence[str]) -> dict[tuple[Any, ...], list[R]]:
    """Rows under the values of the named columns, in their order."""
    grouped: dict[tuple[Any, ...], list[R]] = {}
    for row in rows:
        grouped.setdefault(tuple([getattr(row, name) for name in names]), []).append(row)
    return grouped
