"""Turns the operations between two layers into rules, once for a network and an input size.

1. The operations on paths from the lower to the upper layer are walked from the top down.
2. Each gives a rule for each of its inputs on a path; the frame of an operation is what all its users need of it.
3. Where pooling is the only way up from the lower layer, A is formed on the pooled map, since both kinds of pooling
   are linear once the maxima are chosen: sum(G * F) = sum(g * pooled F). Only the kept channels go through the
   pooling. An average behind a 1 x 1 convolution (DenseNet's transitions) may as well come before it.
4. Concatenations of a dense block share one gradient (`indexer.engine.blocks`).
5. The scale of a batch normalisation before ReLU and convolution is folded into that convolution's weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import fx

from evigraph.indexer.engine.blocks import Part, gather
from evigraph.indexer.engine.builder import rules_of
from evigraph.indexer.engine.folding import Convolution
from evigraph.indexer.engine.rules import Rule, RuleContext, space
from evigraph.indexer.engine.spatial import Convolve, Pool
from evigraph.indexer.engine.windows import DECISION, Frame, union, whole
from evigraph.indexer.model.graph import Graph, between
from evigraph.indexer.model.registry import Shapes


@dataclass(frozen=True)
class SegmentPlan:
    """The way back from an upper layer to a lower one.

    Attributes:
        source: the lower layer's operation.
        target: the upper layer's.
        rules: in the order of the gradient, each with the frame of its operation's output.
        frames: of each operation's output.
        boundary: the pooling that A is formed behind; None where it is formed on the source itself.
        end: the operation that the gradient ends at: the source, the boundary, or the convolution that changed places
            with it.
        parts: what the segment's dense blocks concatenate.
        reads: operations whose values must be recorded.
        bytes_per_decision: of the largest window, in float32.
    """

    source: fx.Node
    target: fx.Node
    rules: tuple[Rule, ...]
    frames: dict[fx.Node, Frame]
    boundary: Pool | None
    end: fx.Node
    parts: dict[fx.Node, Part]
    reads: frozenset[fx.Node]
    bytes_per_decision: int


def compile_segment(
    graph: Graph,
    source: fx.Node,
    target: fx.Node,
    shapes: Shapes,
    convolutions: dict[fx.Node, Convolution],
    layers: frozenset[fx.Node],
) -> SegmentPlan:
    """The plan of one segment.

    Args:
        graph: the traced network.
        source: the lower layer's operation.
        target: the upper layer's.
        shapes: of every operation's output, for a batch of one.
        convolutions: of the whole network.
        layers: operations whose values are wanted beside the decomposition.

    Raises:
        NotLocalError: an operation between the two has no rule; names it.
    """
    path = between(graph.nodes, source, target)
    on_path = set(path)
    context = RuleContext(graph, shapes, convolutions, set(path[1:]))
    frames: dict[fx.Node, list[Frame]] = {node: [] for node in path}
    frames[target].append(whole(1, 1) if space(shapes[target]) == (1, 1) else DECISION)
    settled: dict[fx.Node, Frame] = {}
    rules: list[Rule] = []
    for node in reversed(path[1:]):
        if not frames[node]:
            continue  # a step within an operation that one rule takes at once
        settled[node] = union(frames[node], *space(shapes[node]))
        for rule in rules_of(context, node, on_path):
            frames[rule.source].append(rule.frame(settled[node]))
            rules.append(rule)
    boundary = _boundary(rules, source)
    end = source
    if boundary is not None:
        end = boundary.node
        rules.remove(boundary)
        last = rules[-1] if rules else None
        if isinstance(last, Convolve) and last.source is source:
            # The convolution, which stood between the source and the pooling, now follows it on the way down.
            rules[-1] = replace(last, node=boundary.node, source=last.node, shape=space(shapes[boundary.node]))
            boundary = replace(boundary, source=source)
            end = last.node
            settled[end] = settled[boundary.node]
    else:
        settled[source] = union(frames[source], *space(shapes[source]))
    sizes = {node: (shapes[node][1], *space(shapes[node])) for node in settled}
    rules, parts = gather(rules, settled, sizes, layers)
    reads = {read for rule in rules for read in rule.reads} | {source}
    if boundary is not None and end is boundary.node:
        reads.add(end)
    largest = max(shapes[node][1] * frame.size[0] * frame.size[1] for node, frame in settled.items())
    return SegmentPlan(source, target, tuple(rules), settled, boundary, end, parts, frozenset(reads), 4 * largest)


def _boundary(rules: list[Rule], source: fx.Node) -> Pool | None:
    """The pooling that is the only way up from the source, or an average that is so but for a 1 x 1 convolution."""
    ways_up = [rule for rule in rules if rule.source is source]
    if len(ways_up) != 1:
        return None
    first = ways_up[0]
    if isinstance(first, Pool):
        return first
    above = [rule for rule in rules if rule.source is first.node]
    if len(above) != 1 or not isinstance(above[0], Pool) or above[0].largest or not isinstance(first, Convolve):
        return None
    return above[0] if first.by_place and above[0].window.padding == (0, 0) else None
