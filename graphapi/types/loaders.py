"""Dataloaders: what a request asks for one object at a time is fetched for all of them in one statement.

A loader belongs to its question, in the module that asks it, and is made when a request asks it first:
`context.rows` for the rows of a table by a key, `context.ask` for a function that answers for many keys at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

from sqlalchemy import select
from strawberry.dataloader import DataLoader

from evigraph.graphapi.store import matching
from evigraph.graphapi.store.cursors import Key
from evigraph.graphapi.store.paging import Builder, Parent, count_statement, page_statement
from evigraph.graphapi.store.rows import DecisionRow, ImageRow
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import KEPT, R, Statement, Template, columns_of
from evigraph.schema.tables.base import Base
from evigraph.schema.tables.dataset import Image
from evigraph.schema.tables.evidence import Decision

K = TypeVar("K", bound=Hashable)
LayerKey = TypeVar("LayerKey", bound=tuple[Any, ...])
V = TypeVar("V")


class PageKey(NamedTuple):
    """One page of one listing under one parent; all but the parent is shared within a statement."""

    build: Builder[Any]
    arguments: tuple[Any, ...]
    after: Key | None
    limit: int
    parent: Parent


class Context:
    """The session of a request and its dataloaders: the context of every resolver."""

    def __init__(self, session: Session, operation_name: str | None = None) -> None:
        self.session = session
        self.operation_name = operation_name
        self.notes: list[str] = []
        self._loaders: dict[Hashable, DataLoader[Any, Any]] = {}
        self.pages = self.ask(_pages)
        self.counts = self.ask(_counts)
        self.images = self.rows(ImageRow, Image, "run_id", "image_id")
        self.decisions = self.rows(DecisionRow, Decision, "run_id", "decision_id")

    def note(self, sentence: str) -> None:
        """Say something beside the answer, once: `extensions.notes`."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def ask(self, load: Load[K, V]) -> DataLoader[K, V]:
        """The loader whose keys a function answers, which is one of a module: it tells loaders apart."""
        loader = self._loaders.get(load)
        if loader is None:
            loader = self._loaders[load] = DataLoader(partial(load, self))
        return loader

    def rows(self, kind: type[R], table: type[Base], *key: str) -> DataLoader[tuple[int | str, ...], list[R]]:
        """The loader of the rows whose key columns hold the key, those of one key by the table's first two columns."""
        loader = self._loaders.get((kind, key))
        if loader is None:
            loader = self._loaders[kind, key] = DataLoader(partial(self._load_rows, kind, table, key))
        return loader

    async def _load_rows(
        self, kind: type[R], table: type[Base], key: tuple[str, ...], wanted: list[tuple[int | str, ...]]
    ) -> Sequence[list[R]]:
        template = _rows_template(kind, table, key, matching.shape_of(wanted))
        rows: list[R] = await self.session.rows(template.filled(**matching.values(wanted)))
        by_key = grouped(rows, key)
        return [by_key.get(values, []) for values in wanted]


Load: TypeAlias = Callable[[Context, list[K]], Awaitable[Sequence[V | BaseException]]]
"""Answers keys in their order; an exception in place of an answer fails that key alone."""


async def _pages(context: Context, keys: list[PageKey]) -> Sequence[list[Any] | BaseException]:
    async def load(group: list[PageKey]) -> dict[PageKey, list[Any]]:
        listing = group[0].build(*group[0].arguments)
        parents = [key.parent for key in group]
        statement = page_statement(listing, parents, group[0].after, group[0].limit)
        by_parent = grouped(await context.session.rows(statement), listing.parent)
        return {key: by_parent.get(key.parent, []) for key in group}

    return await in_groups(keys, lambda key: key[:-1], load)


async def _counts(context: Context, keys: list[PageKey]) -> Sequence[int | BaseException]:
    async def load(group: list[PageKey]) -> dict[PageKey, int]:
        listing = group[0].build(*group[0].arguments)
        rows = await context.session.rows(count_statement(listing, [key.parent for key in group]))
        totals = {tuple(row.parent): row.total for row in rows}
        return {key: totals.get(key.parent, 0) for key in group}

    return await in_groups(keys, lambda key: key[:-1], load)


def of_layers(
    statement: Callable[[list[LayerKey]], Statement[R]], answer: Callable[[LayerKey, list[R]], V]
) -> Load[LayerKey, V]:
    """The load function of a question of layers: one statement for all keys that differ in run and layer alone.

    Args:
        statement: Of keys whose last two parts are the run and the layer; its rows have run_id and layer_id.
        answer: From a key and the rows of its layer, of which there may be none.
    """

    async def load(context: Context, keys: list[LayerKey]) -> Sequence[V | BaseException]:
        async def of_group(group: list[LayerKey]) -> dict[LayerKey, V]:
            by_layer = grouped(await context.session.rows(statement(group)), ["run_id", "layer_id"])
            return {key: answer(key, by_layer.get(key[-2:], [])) for key in group}

        return await in_groups(keys, lambda key: key[:-2], of_group)

    return load


@lru_cache(maxsize=KEPT)
def _rows_template(kind: Any, table: type[Base], key: tuple[str, ...], shape: matching.Shape) -> Template[Any]:
    column = table.__table__.c
    wanted = matching.condition([column[name] for name in key], shape)
    # Rows of one key are alike in its columns; a sort that changes nothing took a third of the statement's time.
    order = [first for first in list(column)[:2] if first.name not in key]
    return Template(kind, select(*columns_of(kind, table.__table__)).where(wanted).order_by(*order))


async def in_groups(
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


def grouped(rows: Sequence[R], names: Sequence[str]) -> dict[tuple[Any, ...], list[R]]:
    """Rows under the values of the named columns, in their order."""
    grouped: dict[tuple[Any, ...], list[R]] = {}
    for row in rows:
        grouped.setdefault(tuple([getattr(row, name) for name in names]), []).append(row)
    return grouped
