"""Finds the rules of each call of a traced network."""

from __future__ import annotations

from torch import fx

# Whose import enters the rules of their operations.
from evigraph.indexer.engine import channels, elementwise, spatial  # noqa: F401
from evigraph.indexer.engine.rules import Rule, RuleContext, maker_of
from evigraph.indexer.model.plain import forward_hooks


def rules_of(context: RuleContext, node: fx.Node, on_path: set[fx.Node]) -> list[Rule]:
    """One rule for each input of a call that lies on a path.

    Raises:
        NotLocalError: windows cannot pass through it.
    """
    call = context.graph.call(node)
    maker = maker_of(call.operation)
    # What hooks do to a module's output or its gradient, no rule knows.
    if maker is None or (call.module is not None and forward_hooks(call.module)):
        raise context.not_local(call)
    return maker(context, call, [source for source in node.all_input_nodes if source in on_path])
