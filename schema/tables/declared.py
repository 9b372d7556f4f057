"""What a rollup is declared with: a model each of whose columns states its type and its SQL.

    class ClassTargets(Rollup):
        __tablename__ = "class_targets"
        source = Edges()

        class_id: Mapped[int] = by(overall=ALL_CLASSES)
        channel: Mapped[int] = by("target_channel")
        edges: Mapped[int] = count()
        share_sum: Mapped[Decimal] = total("share", SUM_OF_SHARES)

That is all: from it come the table and its digest (`rollups.keeping`), its SELECT (`tables.selects`), the way `publish`
fills it (`rollups.filling`) and the comparison of the two in `check`. Its rows lie in the order of its columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar, cast

from sqlalchemy import Column, Numeric, Table
from sqlalchemy.orm import Mapped, MappedColumn, declared_attr, mapped_column
from sqlalchemy.types import TypeEngine

from evigraph.schema.sql import identifier
from evigraph.schema.tables.base import Base, key

SUM = Numeric(18, 8)
"""A sum that does not depend on the order of its terms, and packs to as many bits as it needs."""
SUM_OF_SHARES = Numeric(18, 7)
"""The same of numbers that are seldom below 0.01."""
ALL_CLASSES = -1
"""class_id of a rollup row that holds the sum over all classes."""
ANY_OUTCOME = "any"
"""outcome of a rollup row that holds the sum over correct, wrong and unlabelled images."""
EDGE_KEYS = (
    "class_id", "label_id", "role", "outcome", "target_layer", "target_channel", "source_layer", "source_channel",
    "rank", "context_label_id",
)  # fmt: skip
"""What a rollup of edges may group by, or have a condition on: `filling` sums the edges by all of these first, which
leaves about a third as many groups."""


def exact(column: str) -> str:
    """SQL for a number in steps of 2**-30, as a double: sums of such below 2**23 are exact, in any order."""
    return f"round({column}::DOUBLE * {2**30}) / {2**30}"


@dataclass(frozen=True)
class Edges:
    """A source: the edges of a run, each with its root. They are too many for one SELECT, so their parts are summed.

    Attributes:
        condition: SQL over EDGE_KEYS that is true of the edges that count.
        each: of EDGE_KEYS, what they are grouped by besides the keys, for columns that are `derived` from such groups.
    """

    condition: str = "TRUE"
    each: tuple[str, ...] = ()


@dataclass(frozen=True)
class Strongest:
    """A source: the places where a source channel contributes most, numbered by `position`, each with its best edge.

    The table has layer_id, channel, position, image_id, decision_id, y, x and contribution, and may have more of the
    edge's columns.

    Attributes:
        count: places of each channel, the largest contribution first.
    """

    count: int


@dataclass(frozen=True)
class Rows:
    """A source: rows of other tables, few enough to be grouped in one SELECT.

    Attributes:
        sql: what follows FROM, with the parameter `$run_id`.
    """

    sql: str


@dataclass(frozen=True)
class Key:
    """SQL of what a column groups by, and its value in the rows over all values; None where there are none."""

    sql: str
    overall: int | str | None


@dataclass(frozen=True)
class Value:
    """SQL over the one row of the source that a row stands for."""

    sql: str


@dataclass(frozen=True)
class Derived:
    """SQL over the groups that `Edges.each` makes."""

    sql: str


@dataclass(frozen=True)
class Count:
    """The number of rows, or of those that meet a condition."""

    where: str

    def of_rows(self) -> str:
        """SQL over the source's rows."""
        return f"count(*){self._filter}"

    def of_groups(self) -> str:
        """SQL over the groups of edges that `filling` makes."""
        return f"coalesce(sum(edges){self._filter}, 0)"

    @property
    def _filter(self) -> str:
        return f" FILTER ({self.where})" if self.where else ""


@dataclass(frozen=True)
class Roots:
    """The number of distinct roots: the one measure that does not add up, so a group of edges holds their set."""

    def of_rows(self) -> str:
        """SQL over the source's rows."""
        return "count(DISTINCT decision_id)"

    def of_groups(self) -> str:
        """SQL over the groups of one block of roots."""
        return "bit_count(bit_or(roots))"


@dataclass(frozen=True)
class Total:
    """The sum of a column."""

    column: str

    @property
    def name(self) -> str:
        """The column of the groups of edges that holds it."""
        return identifier(f"total of {self.column}")

    def of_rows(self) -> str:
        """SQL over the source's rows."""
        return f"sum({exact(self.column)})"

    def of_groups(self) -> str:
        """SQL over the groups of edges that `filling` makes."""
        return f"sum({self.name})"


Measure = Count | Roots | Total
T = TypeVar("T")


def by(
    sql: str = "", kind: type[TypeEngine[Any]] | None = None, *, overall: int | str | None = None
) -> MappedColumn[Any]:
    """A column that the rollup groups by.

    Args:
        sql: over the source; for edges, one of EDGE_KEYS. The column's own name where it is left out.
        kind: its type, if not the one of its annotation.
        overall: what stands for all its values together, in rows that are added then; for edges, of class_id alone.
    """
    return _column(kind, Key(sql, overall))


def value(sql: str = "", kind: type[TypeEngine[Any]] | None = None) -> MappedColumn[Any]:
    """A column of `Strongest` that is no key."""
    return _column(kind, Value(sql))


def count(where: str = "") -> MappedColumn[Any]:
    """The number of the source's rows, or of those that meet a condition."""
    return _column(None, Count(where))


def roots() -> MappedColumn[Any]:
    """The number of decisions whose edges are counted."""
    return _column(None, Roots())


def total(column: str, kind: Numeric[Any]) -> MappedColumn[Any]:
    """The sum of a column of the source, to the places of its type; 0 where every value is null."""
    return _column(kind, Total(column))


def derived(sql: str) -> MappedColumn[Any]:
    """SQL over the groups that `Edges.each` makes, by the names of their measures."""
    return _column(None, Derived(sql))


def _column(kind: TypeEngine[Any] | type[TypeEngine[Any]] | None, of: object) -> MappedColumn[Any]:
    return mapped_column(info={"of": of}) if kind is None else mapped_column(kind, info={"of": of})


class Rollup(Base):
    """A table that is derived from others. A subclass with a `__tablename__` is one, and is listed nowhere else."""

    __abstract__ = True
    source: ClassVar[Edges | Strongest | Rows]

    run_id: Mapped[int] = mapped_column(info={"of": Key("", None)}, sort_order=-1)

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Map the class and register it.

        Raises:
            TypeError: it groups edges by what their groups do not have.
        """
        super().__init_subclass__(**arguments)
        if "__tablename__" not in cls.__dict__:
            return
        if isinstance(cls.source, Edges):
            for name, column in cls.having(Key).items():
                if name != "run_id" and column.sql not in EDGE_KEYS:
                    raise TypeError(f"{cls.__tablename__}.{name} is by {column.sql}; edges are by {EDGE_KEYS}")
                if column.overall is not None and column.sql != "class_id":
                    raise TypeError(f"{cls.__tablename__}.{name} has rows over all values; of edges class_id alone has")
        ROLLUPS[cls.__tablename__] = cls

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        columns = {name: made.column for name, made in vars(cls).items() if isinstance(made, MappedColumn)}
        keys = [name for name, column in columns.items() if isinstance(column.info["of"], Key) and name != "run_id"]
        return key("run_id", *keys)

    @classmethod
    def table(cls) -> Table:
        """The table."""
        return cast(Table, cls.__table__)

    @classmethod
    def columns(cls) -> dict[str, Column[Any]]:
        """The table's columns by name, in their order."""
        return {column.name: column for column in cls.table().columns}

    @classmethod
    def having(cls, kind: type[T]) -> dict[str, T]:
        """What the columns of a kind state, by name, where SQL that was left out is the column's name."""
        stated = {name: column.info["of"] for name, column in cls.columns().items()}
        return {name: _named(of, name) for name, of in stated.items() if isinstance(of, kind)}

    @classmethod
    def measures(cls) -> dict[str, Measure]:
        """The columns that are summed."""
        return {name: of for name, of in cls.having(object).items() if isinstance(of, (Count, Roots, Total))}


def _named(of: Any, name: str) -> Any:
    return replace(of, sql=name) if isinstance(of, (Key, Value)) and not of.sql else of


ROLLUPS: dict[str, type[Rollup]] = {}
"""Every rollup by the name of its table, in the order in which they are declared."""
