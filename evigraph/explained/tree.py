"""A decision as a tree in the terminal: the class, and beneath each channel its evidence in the layer below.

1. The channels of the pyramid are listed. One that supports several is unfolded beneath the one that it does most for.
2. Beneath each the line `rest` has what its evidence that is not listed comes to.
3. Numbers stand in columns at the right: the contribution, its share of what the channel above has, and the part of
   the whole decision.
"""

from __future__ import annotations

from collections import defaultdict

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from evigraph.explained.depicted import Depiction
from evigraph.explained.whatif import remarks, repeated
from evigraph.graphapi.files.canvas import percent
from evigraph.graphapi.questions.evidence import EvidenceRow, NodeKey

WIDEST = 100
"""Columns that are used, however wide the terminal is: numbers far from their names are hard to follow."""
_INDENT = 4
_HEAD, _NUMBERS = ("contribution", "share", "importance"), (13, 9, 12)
"""Of the columns of numbers, and how wide they are."""
_SHORTEST = 12
"""Columns of a channel's name, however deep it stands."""


def print_explained(first: Depiction, console: Console) -> None:
    """Print a decision and what was found without some of its evidence."""
    width, said, predicted = min(WIDEST, console.width), first.outcome.explained, first.outcome.predicted
    with console.capture() as drawn:
        line = f"  logit {said.logit:.3f}, {percent(said.probability)}, {first.role}"
        console.print(Text.assemble((first.class_name, "bold"), line))
        if said != predicted:
            name = first.run.classes[predicted.class_id].name
            console.print(Text(f"predicted: {name}, logit {predicted.logit:.3f}, {percent(predicted.probability)}"))
        console.print(Text(f"{first.image_name}, {first.made_by}"))
        head = "".join(name.rjust(length) for name, length in zip(_HEAD, _NUMBERS, strict=True))
        console.print(Text("layer, channel at y,x".ljust(width - len(head)) + head, style="dim"), no_wrap=True)
        branches = _Branches(first, width)
        console.print(branches.tree(), no_wrap=True, width=width)
        if branches.is_repeated:
            console.print(Text("* its own evidence stands beneath another channel", style="dim"))
        _print_what_if(first, console)
    print("\n".join(line.rstrip() for line in drawn.get().splitlines()))


class _Branches:
    """The lines of one decision's tree."""

    def __init__(self, shown: Depiction, width: int) -> None:
        self._shown, self._width = shown, width
        rows = shown.pyramid.rows
        self._drawn = {node.key for row in rows for node in row.nodes}
        self._importance = {node.key: node.importance for row in rows for node in row.nodes}
        self._below: defaultdict[NodeKey, list[EvidenceRow]] = defaultdict(list)
        best: dict[NodeKey, EvidenceRow] = {}
        for _, _, row in shown.graph.edges:
            source = _source(row)
            if source in self._drawn and _target(row) in self._drawn:
                self._below[_target(row)].append(row)
                if source not in best or row.importance > best[source].importance:
                    best[source] = row
        self._parent = {source: _target(row) for source, row in best.items()}
        self._lowest = rows[-1].layer.layer_id

    @property
    def is_repeated(self) -> bool:
        """Whether a channel stands beneath several."""
        return sum(map(len, self._below.values())) > len(self._parent)

    def tree(self) -> Tree:
        """The whole of it."""
        root = self._shown.graph.nodes[0].key
        tree = Tree(self._line(self._shown.class_name, ("", "", percent(1)), 0, "bold"), guide_style="dim")
        self._grow(tree, root, 1)
        return tree

    def _grow(self, branch: Tree, node: NodeKey, depth: int) -> None:
        if node[0] == self._lowest:
            return
        edges = sorted(self._below[node], key=lambda row: row.rank)
        for row in edges:
            source = _source(row)
            is_here = self._parent[source] == node
            name = f"{self._shown.layer_name(source[0])} {source[1]} at {source[2]},{source[3]}"
            numbers = (f"{row.contribution:.3g}", percent(row.share), percent(row.importance))
            child = branch.add(self._line(name if is_here else f"{name} *", numbers, depth, "" if is_here else "dim"))
            if is_here:
                self._grow(child, source, depth + 1)
        left = max(0.0, 1 - sum(row.share for row in edges))
        decomposition = self._shown.nodes.get(node)
        if decomposition is None:
            branch.add(self._line("not decomposed", ("", "", ""), depth, "dim"))
        elif not decomposition["positive_count"]:
            branch.add(self._line("no positive evidence", ("", "", ""), depth, "dim"))
        elif decomposition["positive_count"] > len(edges):
            count, kept = decomposition["positive_count"] - len(edges), decomposition["evidence_count"] - len(edges)
            name = f"rest of {count}" + (f", {kept} kept" if kept else "")
            branch.add(self._line(name, ("", percent(left), percent(left * self._importance[node])), depth, "dim"))

    def _line(self, name: str, numbers: tuple[str, str, str], depth: int, style: str) -> Text:
        right = "".join(number.rjust(length) for number, length in zip(numbers, _NUMBERS, strict=True))
        room = max(_SHORTEST, self._width - _INDENT * depth - len(right))
        name = name if len(name) <= room else name[: room - 1] + "\u2026"
        return Text(name.ljust(room) + right, style=style)


def _print_what_if(first: Depiction, console: Console) -> None:
    explained, classes = first.explained, first.run.classes
    if explained.what_if is None:
        return
    console.print()
    console.print(Text(_row("decided again", "logit", "drop", "probability", "predicted"), style="dim"), no_wrap=True)
    for one in repeated(explained, explained.what_if):
        predicted = f"{classes[one.predicted.class_id].name} ({percent(one.predicted.probability)})"
        line = _row(
            one.name, f"{one.explained.logit:.3f}", one.drop_text, percent(one.explained.probability), predicted
        )
        console.print(Text(line), no_wrap=True, overflow="ellipsis")
    for remark in remarks(explained, explained.what_if):
        console.print(Text(remark))


def _row(name: str, logit: str, drop: str, probability: str, predicted: str) -> str:
    return f"{name:13}{logit:>9}{drop:>9}{probability:>13}  {predicted}"


def _source(row: EvidenceRow) -> NodeKey:
    return (row.source_layer, row.source_channel, row.source_y, row.source_x)


def _target(row: EvidenceRow) -> NodeKey:
    return (row.target_layer, row.target_channel, row.target_y, row.target_x)
