"""The root of all queries: runs, and any object by its global id."""

from __future__ import annotations

from typing import Annotated

import strawberry

from evigraph.graphapi.store.names import check_channel, chosen_run, find_layer, find_run, unnamed_note
from evigraph.graphapi.types import ids
from evigraph.graphapi.types.base import (
    UNSET,
    After,
    Connection,
    First,
    Info,
    NodeInterface,
    described,
    given,
    listed_here,
)
from evigraph.graphapi.types.channel import channel_node
from evigraph.graphapi.types.image import decision_node, image_node
from evigraph.graphapi.types.layers_classes import class_node, layer_node
from evigraph.graphapi.types.loaders import Context
from evigraph.graphapi.types.run import Run, run_node
from evigraph.schema.errors import NotFoundError


@strawberry.type
class Query:
    @described("Any object by its id.")
    async def node(self, info: Info, id: strawberry.ID) -> NodeInterface | None:
        type_name, parts = ids.decode(str(id))
        run = find_run(info.context.session.runs, parts[0])
        if type_name == "Run":
            return run_node(run)
        if type_name == "Layer":
            return layer_node(run, find_layer(run, parts[1]))
        if type_name == "Class":
            index = ids.number(parts[1], id)
            if index not in run.classes:
                raise NotFoundError("class", str(index), (), f"in run {run.name!r}")
            return class_node(run, run.classes[index])
        if type_name == "Channel":
            layer, index = find_layer(run, parts[1]), ids.number(parts[2], id)
            check_channel(run, layer, index)
            return channel_node(run, layer.layer_id, index)
        return await _row_node(info.context, type_name, run.run_id, ids.number(parts[1], id))

    @described("The newest first; those that meet every condition, so that one query asks the same of all of them.")
    def runs(
        self,
        info: Info,
        names: Annotated[
            list[str] | None, strawberry.argument(description="These, of which each must be there.")
        ] = UNSET,
        search: Annotated[str | None, strawberry.argument(description="What names hold, in any case.")] = UNSET,
        model: Annotated[str | None, strawberry.argument(description="Of this network, as `model` has it.")] = UNSET,
        dataset: Annotated[str | None, strawberry.argument(description="Of these data, as `dataset` has it.")] = UNSET,
        first: First = UNSET,
        after: After = UNSET,
    ) -> Connection[Run]:
        every = info.context.session.runs
        names, search, model, dataset = given(names), given(search), given(model), given(dataset)
        chosen = every if names is None else [find_run(every, name) for name in dict.fromkeys(names)]
        nodes = [
            run_node(run)
            for run in sorted(chosen, key=every.index)
            if (search is None or search.casefold() in run.name.casefold())
            and model in (None, run.model)
            and dataset in (None, run.dataset)
        ]
        return listed_here(info.context, "runs", nodes, _age, first, after)

    @described(
        "The run of this name. Where no name is given the database's default run, which `publish --default` names, or "
        "the newest: `chosenBy` says which, and so does `extensions.notes` of the answer where there are several runs."
    )
    def run(self, info: Info, name: str | None = UNSET) -> Run | None:
        runs = info.context.session.runs
        name = given(name)
        if name is None and not runs:
            return None
        run, asked = chosen_run(runs, name)
        if (note := unnamed_note(runs, name)) is not None:
            info.context.note(note)
        return run_node(run, asked)


def _age(run: Run) -> tuple[int, int]:
    """Ascending from the newest, and unchanged when runs are added or removed."""
    return -round(run.created_at.timestamp() * 1e6), -run.run.run_id


async def _row_node(context: Context, type_name: str, run_id: int, row_id: int) -> NodeInterface:
    run = context.session.version.run(run_id)
    if type_name == "Image":
        for image in await context.images.load((run_id, row_id)):
            return image_node(run, image)
    else:
        for decision in await context.decisions.load((run_id, row_id)):
            return decision_node(run, decision)
    raise NotFoundError(type_name.lower(), str(row_id), (), f"in run {run.name!r}")
