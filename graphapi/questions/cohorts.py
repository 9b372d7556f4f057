"""Cohorts: sets of decisions (roots) of a run, by role, class, outcome, and where their images come from.

1. A cohort chooses images, and `Root` which decision of each: two cohorts are alike in what they explain only where
   the roots are of the same classes (`settled_root`, `graphapi.questions.likeness`).
2. Names become ids, and a cohort that can only be empty is refused (`resolve`).
3. One that is all decisions of a role, of one class or all, of one outcome or any, is a row of the rollups; of any
   other the decisions are looked up (`census_statement`).
4. `where` and `members` give it to the statements that follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple, TypedDict

from evigraph.graphapi.store.catalog import RunInfo
from evigraph.graphapi.store.session import Session
from evigraph.graphapi.store.sql import Template
from evigraph.schema.errors import UsageError
from evigraph.schema.tables.rollups import ALL_CLASSES

_MAX_CLASSES_NAMED = 200
"""The most classes that a statement over decompositions names, which lie by class; with more it reads all."""


class Root(StrEnum):
    """Which decision of each image of a cohort is compared."""

    LABEL = "label"
    """The one that explains the class label: of a right prediction that of the predicted class, else the label's."""
    PREDICTED = "predicted"
    """The one that explains the predicted class."""
    OWN = "own"
    """The one of the role that each cohort names."""


@dataclass(frozen=True)
class Cohort:
    """A cohort, resolved against its run; None does not filter.

    `role` None is the decision that explains the class label, of whichever role.
    """

    run: RunInfo
    role: str | None
    label_id: int | None = None
    predicted_id: int | None = None
    outcome: str | None = None
    uri_prefix: str | None = None
    tag: str | None = None

    def __str__(self) -> str:
        """For messages, in the client's words."""
        names = self.run.classes
        parts = {
            "run": self.run.name,
            "role": self.role and self.role.upper(),
            "root": None if self.role else Root.LABEL.name,
            "label": None if self.label_id is None else names[self.label_id].name,
            "predicted": None if self.predicted_id is None else names[self.predicted_id].name,
            "outcome": self.outcome and self.outcome.upper(),
            "uriPrefix": self.uri_prefix,
            "tag": self.tag,
        }
        return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)

    def conditions(self, prefix: str = "") -> tuple[str, dict[str, Any]]:
        """SQL over `root` that its decisions fulfil, and what goes into its holes, whose names begin with `prefix`."""
        sql, values = [], {}

        def add(condition: str, name: str, value: Any) -> None:
            sql.append(condition.format(f":{prefix}{name}"))
            values[prefix + name] = value

        add("run_id = {}", "run_id", self.run.run_id)
        if self.role is None:
            sql.append("class_id = label_id")
        for column in ("role", "label_id", "predicted_id", "outcome"):
            if (value := getattr(self, column)) is not None:
                add(f"{column} = {{}}", column, value)
        if self.uri_prefix is not None:
            add(
                "(run_id, image_id) IN (SELECT run_id, image_id FROM image WHERE starts_with(uri, {}))",
                "uri",
                self.uri_prefix,
            )
        if self.tag is not None:
            add("(run_id, image_id) IN (SELECT run_id, image_id FROM image_tag WHERE tag = {})", "tag", self.tag)
        return " AND ".join(sql), values

    @cached_property
    def rolled_up(self) -> tuple[int, str | None] | None:
        """(class or ALL_CLASSES, outcome or None for any) where the cohort is all roots of these; None else."""
        if self.uri_prefix is not None or self.tag is not None or self.role is None:
            return None
        own, other = (self.predicted_id, self.label_id)
        if self.role == "label":
            own, other = other, own
        outcome = self.outcome
        if other is not None and self.role == "predicted":
            # Where predictions are right the class label adds nothing, and both may name one class.
            if outcome == "correct" and own in (None, other):
                own, other = other, None
            elif outcome is None and own == other:
                outcome, other = "correct", None
        return None if other is not None else (ALL_CLASSES if own is None else own, outcome)


@dataclass(frozen=True)
class Members:
    """A cohort that was counted.

    Attributes:
        size: How many decisions it has, at least one.
        rolled_up: As the cohort's.
        ids: The decisions, ascending; empty where the cohort is rolled up.
        classes: How many decisions explain each class.
    """

    cohort: Cohort
    size: int
    rolled_up: tuple[int, str | None] | None
    ids: tuple[int, ...]
    classes: Mapping[int, int]

    @cached_property
    def class_ids(self) -> tuple[int, ...]:
        """The classes that they explain; empty where the cohort is rolled up over all classes."""
        over_all = self.rolled_up is not None and self.rolled_up[0] == ALL_CLASSES
        return () if over_all else tuple(sorted(self.classes))

    def where(self, table: str = "decomposition") -> tuple[str, dict[str, Any]]:
        """SQL that the rows of its decisions fulfil, and what goes into its holes: by run and class, as rows lie."""
        sql = f"{table}.run_id = :run_id"
        values: dict[str, Any] = {"run_id": self.cohort.run.run_id}
        if 0 < len(self.class_ids) <= _MAX_CLASSES_NAMED:
            sql += f" AND {table}.class_id IN :class_ids"
            values["class_ids"] = self.class_ids
        if self.rolled_up is None:
            # As text: DuckDB parses a list of 10,000 numbers in 6 ms so, and as an expression in 100.
            values["decision_ids"] = str(list(self.ids))
            return f"{sql} AND {table}.decision_id IN (SELECT unnest(CAST(:decision_ids AS INTEGER[])))", values
        conditions, own = self.cohort.conditions()
        return f"{sql} AND {table}.decision_id IN (SELECT decision_id FROM root WHERE {conditions})", values | own


class _Census(NamedTuple):
    ids: list[int] | None
    classes: dict[int, int] | None


class _Shared(NamedTuple):
    shared: int


class Choice(TypedDict):
    """What a client chooses a cohort by; None does not filter."""

    run: RunInfo
    role: str | None
    label_id: int | None
    predicted_id: int | None
    outcome: str | None
    uri_prefix: str | None
    tag: str | None


def settled_root(a: Choice, b: Choice, root: Root | None) -> Root:
    """Which decisions two cohorts compare: what the client named, else what compares like with like.

    Images of one label are compared by what speaks for that label, images of one prediction by what speaks for that.
    Others are compared by their predictions: then classes may differ, which the answer says.

    Raises:
        UsageError: A role was named, and a root that is not OWN.
    """
    has_role = a["role"] is not None or b["role"] is not None
    if root is not None and root is not Root.OWN and has_role:
        raise UsageError(f"root {root.name} says which decisions of both cohorts count: drop `role`, or give root: OWN")
    if root is not None or has_role:
        return root or Root.OWN

    def named(cohort: Choice, class_id: int | None) -> tuple[str, str] | None:
        if class_id is None:
            return None
        entry = cohort["run"].classes[class_id]
        return entry.key, entry.name

    label = named(a, a["label_id"])
    return Root.LABEL if label is not None and label == named(b, b["label_id"]) else Root.PREDICTED


def resolve(
    run: RunInfo,
    role: str | None = None,
    label_id: int | None = None,
    predicted_id: int | None = None,
    outcome: str | None = None,
    uri_prefix: str | None = None,
    tag: str | None = None,
    *,
    root: Root = Root.OWN,
    way_out: str = "drop one of these",
) -> Cohort:
    """A cohort of the decisions that a root says; `role` counts where that is OWN, and is the predicted one if None.

    Raises:
        UsageError: No decision can be in it: roots of role LABEL are those of wrongly predicted images.
    """
    outcomes = set() if outcome is None else {outcome}
    if root is Root.OWN and role == "label":
        outcomes.add("wrong")
    if label_id is not None and predicted_id is not None:
        outcomes.add("correct" if label_id == predicted_id else "wrong")
        outcome = outcome or min(outcomes)
    own = role or "predicted"
    wanted = {Root.LABEL: _role_of_label(outcome), Root.PREDICTED: "predicted", Root.OWN: own}[root]
    cohort = Cohort(run, wanted, label_id, predicted_id, outcome, uri_prefix, tag)
    if len(outcomes) > 1:
        hint = "roots of role LABEL are of wrong predictions alone" if role == "label" else way_out
        raise UsageError(f"cohort ({cohort}) is empty whatever the data: {hint}")
    return cohort


def _role_of_label(outcome: str | None) -> str | None:
    """The role of the decisions that explain class labels; None where it is either."""
    return {"correct": "predicted", "wrong": "label"}.get(outcome or "")


async def census(session: Session, side: str, cohort: Cohort) -> Members:
    """Count a cohort, in one statement unless it is rolled up; UsageError where it is empty."""
    if cohort.rolled_up is not None:
        class_id, outcome = cohort.rolled_up
        role = cohort.role or ""  # a rolled-up cohort has one
        size = cohort.run.roots(class_id, role, outcome)
        mix = cohort.run.root_mix(role, outcome) if class_id == ALL_CLASSES else {class_id: size}
        members = Members(cohort, size, cohort.rolled_up, (), mix)
    else:
        conditions, values = cohort.conditions()
        sql = f"""SELECT list(decision_id ORDER BY decision_id) AS ids, histogram(class_id) AS classes
                  FROM root WHERE {conditions}"""
        (row,) = await session.rows(Template(_Census, sql).filled(**values))
        members = Members(cohort, len(row.ids or ()), None, tuple(row.ids or ()), row.classes or {})
    if not members.size:
        raise UsageError(
            f"cohort {side} ({cohort}) has no decisions; `confusions` and `classes` tell which classes have them"
        )
    return members


async def refuse_overlap(session: Session, a: Members, b: Members) -> None:
    """UsageError where a decision is in both cohorts: nothing sets it apart from itself."""
    one, other = a.cohort, b.cohort
    if one.run is not other.run or _apart(one.role, other.role):
        return
    if a.rolled_up is None and b.rolled_up is None:
        shared = len(set(a.ids) & set(b.ids))
    else:
        if _apart(one.outcome, other.outcome) or _apart(one.label_id, other.label_id):
            return
        if _apart(one.predicted_id, other.predicted_id):
            return
        shared = await shared_count(session, a, b, "decision_id")
    if shared:
        raise UsageError(
            f"cohorts a ({one}) and b ({other}) share {shared} decisions; set them apart by outcome, label or predicted"
        )


async def shared_count(session: Session, a: Members, b: Members, column: str = "image_id") -> int:
    """How many decisions, or images, of one run are in both cohorts; one statement."""
    (one, own), (other, others) = a.cohort.conditions("a_"), b.cohort.conditions("b_")
    sql = f"SELECT {column} FROM root WHERE {one} INTERSECT SELECT {column} FROM root WHERE {other}"
    counted = Template(_Shared, f"SELECT count(*) AS shared FROM ({sql})")
    (row,) = await session.rows(counted.filled(**own, **others))
    return row.shared


def _apart(one: object, other: object) -> bool:
    return one is not None and other is not None and one != other
