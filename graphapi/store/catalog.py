"""What is small in a database: its runs, their layers, classes, context labels and counts of roots.

Read once when a version is opened, since every request needs it and a version never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from sqlalchemy import Connection, Row, and_, func, select

from evigraph.schema.pictures import PictureSettings
from evigraph.schema.tables.dataset import Class, ContextLabel, Layer, Run
from evigraph.schema.tables.evidence import ALL_LAYERS, Localization
from evigraph.schema.tables.rollups import ALL_CLASSES, ANY_OUTCOME, ClassRoots, ClassStat


@dataclass(frozen=True)
class LayerInfo:
    """A row of `layer`; stride and receptive field in input pixels."""

    layer_id: int
    name: str
    module: str
    channels: int
    height: int
    width: int
    stride: int | None
    receptive_field: int | None


@dataclass(frozen=True)
class ClassInfo:
    """A row of `class` with its counts of labelled images."""

    class_id: int
    key: str
    name: str
    image_count: int
    correct_count: int


class Depicted(Protocol):
    """What a picture of a decision asks of its run, so that other things may be drawn as runs are."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def top_n(self) -> int:
        """Channels kept of each decomposition."""
        ...

    @property
    def pictures(self) -> PictureSettings | None:
        """Where the layers' places lie in the input, and what is kept; None where that is not known."""
        ...

    @property
    def layers(self) -> Sequence[LayerInfo]:
        """Lowest first, the logits last."""
        ...

    @property
    def classes(self) -> Mapping[int, ClassInfo]:
        """By index."""
        ...


@dataclass(frozen=True, eq=False)
class RunInfo:
    """A row of `run` with its layers (lowest first), classes (by index) and context labels.

    `pictures` says which pictures it keeps; None where it keeps none. `root_counts` holds `class_roots`, the
    denominator of every rate: joining it took a third of the time of the hottest statements. `finds_overlaps` says
    whether it has rows of `overlap` where masks do; `localized_layers` are the layers that have rows in `localization`,
    less ALL_LAYERS.
    """

    run_id: int
    name: str
    model: str
    weights_sha256: str
    dataset: str
    dataset_sha256: str
    top_n: int
    max_nodes: int | None
    mask_threshold: float
    indexer_version: str
    created_at: datetime
    finished_at: datetime
    image_count: int
    skipped_count: int
    decision_count: int
    edge_count: int
    labelled_count: int
    correct_count: int
    is_default: bool
    finds_overlaps: bool
    pictures: PictureSettings | None
    layers: tuple[LayerInfo, ...]
    classes: dict[int, ClassInfo]
    context_labels: dict[int, str]
    root_counts: dict[tuple[str, str], dict[int, int]]
    localized_layers: frozenset[int]

    def roots(self, class_id: int | None, role: str, outcome: str | None) -> int:
        """How many roots there are of a class, role and outcome; None for all."""
        of_class = self.root_counts.get((role, outcome or ANY_OUTCOME), {})
        return of_class.get(ALL_CLASSES if class_id is None else class_id, 0)

    def root_mix(self, role: str, outcome: str | None) -> dict[int, int]:
        """How many roots there are of each class that has any."""
        of_class = self.root_counts.get((role, outcome or ANY_OUTCOME), {})
        return {class_id: count for class_id, count in of_class.items() if class_id != ALL_CLASSES and count}

    @cached_property
    def classes_called(self) -> dict[tuple[str, str], list[ClassInfo]]:
        """Classes under ("index" | "key" | "name", text): more than one where they share it."""
        by_text: dict[tuple[str, str], list[ClassInfo]] = {}
        for entry in self.classes.values():
            for way, text in (("index", str(entry.class_id)), ("key", entry.key), ("name", entry.name)):
                by_text.setdefault((way, text), []).append(entry)
        return by_text

    def layer(self, layer_id: int) -> LayerInfo:
        """The layer of this id, which need not be its place in the list."""
        return next(layer for layer in self.layers if layer.layer_id == layer_id)


def read_catalog(connection: Connection) -> tuple[RunInfo, ...]:
    """All runs, the newest first; six statements, whatever the number of runs."""
    run = Run.__table__.c
    columns: list[Any] = [run[name] for name in RunInfo.__annotations__ if name in run and name != "is_default"]
    columns.append(func.coalesce(run.is_default, False).label("is_default"))
    columns.append(run.settings["max_nodes"].as_integer().label("max_nodes"))
    columns.append(func.coalesce(run.settings["overlaps"].as_boolean(), False).label("finds_overlaps"))
    columns.append(run.settings["pictures"].label("pictures"))
    runs = connection.execute(select(*columns).order_by(run.created_at.desc(), run.run_id.desc())).all()
    layers = _by_run(
        connection.execute(
            select(Layer.run_id, *(getattr(Layer, name) for name in LayerInfo.__annotations__)).order_by(
                Layer.run_id, Layer.layer_id
            )
        ).all()
    )
    stat = and_(ClassStat.run_id == Class.run_id, ClassStat.class_id == Class.class_id)
    classes = _by_run(
        connection.execute(
            select(
                Class.run_id,
                Class.class_id,
                Class.key,
                Class.name,
                ClassStat.image_count,
                ClassStat.correct_count,
            )
            .outerjoin(ClassStat, stat)
            .order_by(Class.run_id, Class.class_id)
        ).all()
    )
    context_labels = _by_run(
        connection.execute(select(ContextLabel.run_id, ContextLabel.label_id, ContextLabel.name)).all()
    )
    root = ClassRoots.__table__.c
    roots: dict[int, dict[tuple[str, str], dict[int, int]]] = {}
    for run_id, role, outcome, class_id, decisions in connection.execute(
        select(root.run_id, root.role, root.outcome, root.class_id, root.decisions)
    ):
        roots.setdefault(run_id, {}).setdefault((role, outcome), {})[class_id] = decisions
    localized = _by_run(
        connection.execute(
            select(Localization.run_id, Localization.layer_id)
            .where(Localization.class_id == ALL_CLASSES, Localization.layer_id > ALL_LAYERS)
            .distinct()
        ).all()
    )
    return tuple(
        RunInfo(
            **{**row._mapping, "pictures": row.pictures and PictureSettings.from_json(row.pictures)},
            layers=tuple(LayerInfo(*values) for values in layers.get(row.run_id, ())),
            classes={
                class_id: ClassInfo(class_id, key, name, images or 0, correct or 0)
                for class_id, key, name, images, correct in classes.get(row.run_id, ())
            },
            context_labels=dict(context_labels.get(row.run_id, ())),
            root_counts=roots.get(row.run_id, {}),
            localized_layers=frozenset(layer_id for (layer_id,) in localized.get(row.run_id, ())),
        )
        for row in runs
    )


def _by_run(rows: Iterable[Row[*tuple[Any, ...]]]) -> dict[int, list[tuple[Any, ...]]]:
    """Rows under their first column, the run, without it."""
    grouped: dict[int, list[tuple[Any, ...]]] = {}
    for run_id, *values in rows:
        grouped.setdefault(run_id, []).append(tuple(values))
    return grouped
