"""Finds the rules of each call of a traced network."""

from __future__ import annotations

from torch import fx

# Whose import enters the rules of their operations.
from evigraph.indexer.engine import channels, elementwise, spatial  # noqa: F401
from evigraph.indexer.engine.rules import Rule, RuleContext, maker_of


def rules_of(context: RuleContext, node: fx.Node, on_path: set[fx.Node]) -> list[Rule]:
    """One rule for each input of a call that lies on a path.

    Raises:
        NotLocalError: windows cannot pass through it.
    """
    call = context.graph.call(node)
    maker = maker_of(call.operation)
    if maker is None:
        raise context.not_local(call)
    return maker(context, call, [source for source in node.all_input_nodes if source in on_path])
