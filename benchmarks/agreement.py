"""Whether an indexing run on windows gives the edges of one by autograd: both runs in full, then every edge compared.

    python -m benchmarks.agreement --model squeezenet1_1 --weights FILE --data imagefolder:DIR [--limit 200] [--double]

The second run records the network itself, untraced, by hooks, and pulls every decision back by autograd over whole
maps; nothing of the first one's rules, folded weights or windows is in it. Rows of both are compared rank by rank:

    same         the same channel and peak, contribution and activation within 1e-5 of the decision's largest
    ties         another channel or peak, whose contribution (activation, for a peak) is within 1e-5 of it too
    beneath      decompositions that one run alone has, since a tie above them led elsewhere
    different    anything else; there should be none

In float32 the two passes round differently before anything is decomposed: a ReLU's input within rounding of zero opens
in one of them alone, and a contribution moves by more than 1e-5. `--double` runs both in float64, where it does not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq
import torch
from torch import nn

from benchmarks.report import Report
from evigraph.indexer.data.settings import PreprocessingOptions, parse_numbers
from evigraph.indexer.engine.hooked import HookedRecorder
from evigraph.indexer.engine.network import Network, prepare
from evigraph.indexer.run import batch, pipeline
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings
from evigraph.schema.ids import image_id_of

WITHIN = 1e-5
"""Of the largest contribution of a decision, or activation of an edge."""

Node = tuple[int, int, int, int, int]
"""(decision_id, layer, channel, y, x)."""
Rows = list[dict[str, Any]]


@dataclass
class Agreement:
    """How many edges of two runs agree, and examples of those that do not."""

    same: int = 0
    ties: int = 0
    beneath: int = 0
    different: int = 0
    largest_difference: float = 0.0
    decompositions: int = 0
    examples: list[str] = field(default_factory=list)

    def differ(self, node: Node, why: str) -> None:
        self.different += 1
        if len(self.examples) < 20:
            self.examples.append(f"{node}: {why}")


def by_autograd(model: nn.Module, *arguments: Any) -> Network:
    """A network whose every segment is decomposed by autograd, over the layers that windows would take."""
    network = prepare(model, *arguments)
    why: list[str | None] = ["autograd is what windows are compared with"] * len(network.layers)
    return replace(network, recorder=HookedRecorder(model, network.layers), fallbacks=why)


def run(settings: IndexSettings, *, autograd: bool, double: bool) -> dict[Node, Rows]:
    """Index, and return the edges of every decomposed node by rank."""
    with ExitStack() as patches:
        if autograd:
            patches.enter_context(mock.patch.object(pipeline, "prepare", by_autograd))
        if double:
            patches.enter_context(mock.patch.dict(batch.PRECISIONS, fp32=torch.float64))
        index(settings)
    edges: dict[Node, Rows] = defaultdict(list)
    for path in sorted((settings.run / "shards").glob("*.edge.parquet")):
        for row in pq.read_table(path).to_pylist():
            edges[_target(row)].append(row)
    for rows in edges.values():
        rows.sort(key=lambda row: int(row["rank"]))
    return dict(edges)


def compare(left: dict[Node, Rows], right: dict[Node, Rows], within: float = WITHIN) -> Agreement:
    """Compare the edges of two runs over the same images."""
    result = Agreement()
    for node in left.keys() & right.keys():
        _compare_decision(result, node, left[node], right[node], within)
    for own, other in ((left, right), (right, left)):
        incoming: dict[Node, list[Node]] = defaultdict(list)
        for node, rows in own.items():
            for row in rows:
                incoming[_source(row)].append(node)
        for node in own.keys() - other.keys():
            # The other run holds an edge into this node as well, and yet did not decompose it.
            if any(_source(row) == node for parent in incoming[node] for row in other.get(parent, [])):
                result.differ(node, "decomposed in one run alone")
            else:
                result.beneath += 1
    return result


def _compare_decision(result: Agreement, node: Node, left: Rows, right: Rows, within: float) -> None:
    result.decompositions += 1
    scale = max(row["contribution"] for row in (*left, *right))
    for row in (*left[len(right) :], *right[len(left) :]):
        if row["contribution"] <= within * scale:
            result.ties += 1
        else:
            result.differ(
                node, f"rank {row['rank']} in one run alone, {row['contribution'] / scale:.2g} of the largest"
            )
    for one, two in zip(left, right, strict=False):
        contribution = abs(one["contribution"] - two["contribution"]) / scale
        activation = abs(one["activation"] - two["activation"]) / max(one["activation"], two["activation"])
        channels = one["source_channel"], two["source_channel"]
        difference = contribution if channels[0] != channels[1] else max(contribution, activation)
        result.largest_difference = max(result.largest_difference, difference)
        if difference > within:
            result.differ(
                node, f"rank {one['rank']}: {_source(one)[2:]}, {_source(two)[2:]} differ by {difference:.2g}"
            )
        elif _source(one) == _source(two):
            result.same += 1
        else:
            result.ties += 1


def _target(row: dict[str, Any]) -> Node:
    return row["decision_id"], row["target_layer"], row["target_channel"], row["target_y"], row["target_x"]


def _source(row: dict[str, Any]) -> Node:
    return row["decision_id"], row["source_layer"], row["source_channel"], row["source_y"], row["source_x"]


def main() -> int:
    options = _arguments()
    report = Report()
    print(report.heading(), file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="evigraph-agreement-") as folder:
        settings = IndexSettings(
            model=options.model,
            weights=options.weights,
            data=options.data,
            run=Path(folder) / "windows",
            layers=options.layers.split(",") if options.layers else None,
            classes=options.classes,
            limit=options.limit,
            execution=Execution(batch_size=options.batch),
            preprocessing=PreprocessingOptions(crop=options.crop, mean=options.mean, std=options.std),
        )
        windows = run(settings, autograd=False, double=options.double)
        autograd = run(replace(settings, run=Path(folder) / "autograd"), autograd=True, double=options.double)
    agreement = compare(windows, autograd)
    images = len({image_id_of(node[0]) for node in windows})
    print(
        f"{options.model}, {images} images, {'float64' if options.double else 'float32'}: {agreement.decompositions} "
        f"decompositions in both runs; {agreement.same} edges the same, {agreement.ties} ties, {agreement.beneath} "
        f"decompositions beneath ties, {agreement.different} different; largest difference "
        f"{agreement.largest_difference:.2g}",
        file=sys.stderr,
    )
    for example in agreement.examples:
        print("  " + example, file=sys.stderr)
    name = f"{options.model}.{'float64' if options.double else 'float32'}.different_edges"
    report.add(
        name,
        agreement.different,
        most=0 if options.double else None,
        images=images,
        decompositions=agreement.decompositions,
        same=agreement.same,
        ties=agreement.ties,
        beneath_ties=agreement.beneath,
        largest_difference=agreement.largest_difference,
        within=WITHIN,
    )
    return report.finish(options.json, strict=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="as for `evigraph index`, and so --weights, --data, --classes")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--classes", type=Path)
    parser.add_argument("--layers", help="by comma; default: those of `evigraph index`")
    parser.add_argument("--limit", type=int, help="only the first images")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int)
    for name in ("mean", "std"):
        parser.add_argument(f"--{name}", metavar="R,G,B", type=partial(parse_numbers, f"--{name}"))
    parser.add_argument("--double", action="store_true", help="float64 instead of float32")
    parser.add_argument("--json", metavar="FILE", help='where the figures go; "-" is standard output')
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
