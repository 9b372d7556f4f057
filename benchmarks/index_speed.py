"""How fast the decomposition engine is, as ratios to plain inference in one run on the same batches.

    python -m benchmarks.index_speed [--networks vgg16,resnet18] [--json FILE [--merge]]

Per network:

    plain          inference_mode, contiguous and channels-last; the faster one counts
    engine         the batch recorded and the predicted class of every image decomposed down to S1
    naive          one decision at a time by autograd over whole maps, on one image, times the batch
    by hand        1 + the multiply-adds of the windows / those of the forward pass, for the decisions of this batch
    memory         peak of a process that runs the engine / of one that runs plain inference (index/memory.py)
    end to end     images/s of `evigraph index` / of a plain DataLoader and inference on the same JPEG files, and how
                   many times as long `index --guided 4` takes

Plain inference and engine take turns and the least of the repeats counts, so that a machine that drifts hits both.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from benchmarks.index import end_to_end, memory
from benchmarks.index.counting import backward_multiply_adds, forward_multiply_adds
from benchmarks.index.inputs import network, pictures
from benchmarks.index.kernels import LAYOUTS, Engine, EngineTimes, plain
from benchmarks.index.naive import NaiveRun, explain_naively
from benchmarks.index.timing import Clock
from benchmarks.report import Report, table
from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.model.graph import frozen

RATIO_AT_MOST = {
    "vgg16": 1.15,
    "alexnet": 1.4,
    "squeezenet1_1": 1.8,
    "resnet18": 2.2,
    "resnet50": 3.5,
    "mobilenet_v2": 2.5,
    "densenet121": 7.0,
}
NAIVE_AT_LEAST = {"vgg16": 100.0}
END_TO_END_AT_LEAST = {"vgg16": 0.8, "resnet18": 0.4}
MEMORY_AT_MOST = 2.5
GUIDED_AT_MOST = 3.0


@dataclass(frozen=True)
class Kernel:
    """What one network took for a batch: seconds, and multiply-adds of the whole batch."""

    plain: dict[str, float]
    engine: float
    times: EngineTimes
    naive: NaiveRun
    batch: int
    forward_macs: int
    window_macs: list[int]

    @property
    def layout(self) -> str:
        return min(self.plain, key=self.plain.__getitem__)

    @property
    def inference(self) -> float:
        return self.plain[self.layout]

    @property
    def ratio(self) -> float:
        return self.engine / self.inference

    @property
    def by_hand(self) -> float:
        return 1 + sum(self.window_macs) / self.forward_macs

    @property
    def naive_speedup(self) -> float:
        return self.naive.seconds * self.batch / self.engine

    @property
    def decomposition_speedup(self) -> float:
        """The naive way, which holds one forward pass, over the engine without its own."""
        return self.naive.seconds * self.batch / sum(self.times.segments)


def measure_kernel(model: nn.Module, pixels: Tensor, top_n: int, repeats: int) -> tuple[Kernel, Engine]:
    """Time plain inference, the engine and the naive way on one batch."""
    clock = Clock(pixels.device)
    engine = Engine.of(model, pixels, top_n)
    recorder = engine.network.recorder
    if not isinstance(recorder, WindowedRecorder):
        raise TypeError(f"{type(model).__name__} was not traced: {engine.network.fallbacks[0]}")
    runs: dict[str, Callable[[], object]] = {layout: plain(model, pixels, layout) for layout in LAYOUTS}
    runs["engine"] = engine.run
    for run in runs.values():
        run()
    seconds = {name: float("inf") for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            seconds[name] = min(seconds[name], clock.time(run))
    times = min((engine.run_timed(clock) for _ in range(repeats)), key=lambda t: t.record + sum(t.segments))
    with frozen(model):
        naive = explain_naively(recorder.graph, recorder.nodes, pixels[:1], top_n, clock)
        forward = forward_multiply_adds(recorder.graph, pixels[:1])
    window = [d * n for d, n in zip(times.decisions, backward_multiply_adds(recorder, forward), strict=True)]
    kernel = Kernel(
        plain={layout: seconds[layout] for layout in LAYOUTS},
        engine=seconds["engine"],
        times=times,
        naive=naive,
        batch=len(pixels),
        forward_macs=sum(forward.values()) * len(pixels),
        window_macs=window,
    )
    return kernel, engine


def add_kernel(report: Report, name: str, kernel: Kernel, engine: Engine, weights: str) -> None:
    """The figures of one network's batch."""
    layers = [layer.name for layer in engine.network.layers]
    report.add(
        f"{name}.engine_over_inference",
        kernel.ratio,
        most=RATIO_AT_MOST.get(name),
        by_multiply_adds=kernel.by_hand,
        inference_s=kernel.plain,
        engine_s=kernel.engine,
        record_s=kernel.times.record,
        segment_s=dict(zip(layers, kernel.times.segments, strict=True)),
        decisions=dict(zip(layers, kernel.times.decisions, strict=True)),
        forward_multiply_adds=kernel.forward_macs,
        window_multiply_adds=dict(zip(layers, kernel.window_macs, strict=True)),
        fallbacks={layer: why for layer, why in zip(layers, engine.network.fallbacks, strict=True) if why},
        batch=kernel.batch,
        weights=weights,
    )
    report.add(
        f"{name}.naive_over_engine",
        kernel.naive_speedup,
        naive_s_per_image=kernel.naive.seconds,
        naive_images=1,
        naive_decisions_per_image=sum(kernel.naive.decisions),
    )
    report.add(
        f"{name}.naive_over_decomposition",
        kernel.decomposition_speedup,
        least=NAIVE_AT_LEAST.get(name),
        decomposition_s=sum(kernel.times.segments),
    )


def print_segments(name: str, kernel: Kernel, engine: Engine) -> None:
    """Where the time of one network goes."""
    layers = engine.network.layers
    uppers = [*(layer.name for layer in layers[1:]), "logits"]
    rows = [["record", "", f"{1e3 * kernel.times.record:.1f}", f"{kernel.forward_macs / 1e9:.2f}", ""]]
    for level in reversed(range(len(layers))):
        rows.append(
            [
                f"{uppers[level]} -> {layers[level].name}",
                str(kernel.times.decisions[level]),
                f"{1e3 * kernel.times.segments[level]:.1f}",
                f"{kernel.window_macs[level] / 1e9:.2f}",
                engine.network.fallbacks[level] or "windows",
            ]
        )
    print(f"\n{name}, batch of {kernel.batch}")
    print(table(["part", "decisions", "ms", "G multiply-adds", "how"], rows), flush=True)


def main() -> int:
    options = _arguments()
    report = Report()
    # With `--json -` the tables go to standard error, so that standard output is JSON alone.
    out = sys.stderr if options.json == "-" else sys.stdout
    sys.stdout, stdout = out, sys.stdout
    print(report.heading())
    rows = []
    if options.merge:
        report.figures.update(_earlier(Path(options.json), report.machine))
    for name in options.networks.split(","):
        model, weights = network(name, options.weights, options.side)
        pixels = pictures(options.batch, options.side).to(options.device)
        kernel, engine = measure_kernel(model.to(options.device), pixels, options.top, options.repeats)
        add_kernel(report, name, kernel, engine, weights)
        print_segments(name, kernel, engine)
        row = _row(name, kernel)
        row.append("" if options.skip_memory else _memory(report, name, options))
        row.append("" if options.skip_end_to_end else _end_to_end(report, name, model, kernel.layout, options))
        rows.append(row)
        del model, engine
    header = ["network", "plain ms", "layout", "engine ms", "ratio", "limit", "by hand", "x naive", "alone"]
    print("\n" + table([*header, "memory", "end to end"], rows))
    print(
        "\nx naive: naive autograd's time (one image measured, times the batch) over the engine's, and over that of its"
    )
    print("decomposition alone; by hand: multiply-adds; memory: peak over that of inference.")
    sys.stdout = stdout
    return report.finish(options.json, options.strict)


def _earlier(path: Path, machine: dict[str, Any]) -> dict[str, Any]:
    """The figures of an earlier result, if there is one; it must be of the same machine."""
    if not path.is_file():
        return {}
    earlier = json.loads(path.read_text())
    for key in ("cpu", "cores", "gpu", "python", "packages"):
        if earlier["machine"][key] != machine[key]:
            raise SystemExit(f"{path} is of another machine ({key} {earlier['machine'][key]}); leave out --merge")
    figures: dict[str, Any] = earlier["figures"]
    return figures


def _row(name: str, kernel: Kernel) -> list[str]:
    limit = RATIO_AT_MOST.get(name)
    return [
        name,
        f"{1e3 * kernel.inference:.1f}",
        kernel.layout,
        f"{1e3 * kernel.engine:.1f}",
        f"{kernel.ratio:.2f}",
        "" if limit is None else f"{limit:g}",
        f"{kernel.by_hand:.2f}",
        f"{kernel.naive_speedup:.0f}",
        f"{kernel.decomposition_speedup:.0f}",
    ]


def _memory(report: Report, name: str, options: argparse.Namespace) -> str:
    peak = memory.peaks(name, options.weights, options.side, options.batch, options.top, options.device)
    own = {phase: max(1, peak[phase] - peak["loaded"]) for phase in ("plain", "engine")}
    report.add(
        f"{name}.memory_over_inference",
        peak["engine"] / peak["plain"],
        most=MEMORY_AT_MOST,
        peak_bytes=peak,
        above_loaded_network=own["engine"] / own["plain"],
        measured_by="VmHWM of a process each" if options.device == "cpu" else "torch.cuda.max_memory_allocated",
    )
    return f"{peak['engine'] / peak['plain']:.2f}"


def _end_to_end(report: Report, name: str, model: nn.Module, layout: str, options: argparse.Namespace) -> str:
    both = end_to_end.measure(
        name,
        model.cpu(),
        options.images,
        options.batch,
        options.top,
        layout,
        options.device,
        min(options.repeats, 3),
    )
    value = both.index_images_per_s / both.plain_images_per_s
    report.add(f"{name}.end_to_end", value, least=END_TO_END_AT_LEAST.get(name), **asdict(both))
    guided = both.index_images_per_s / both.guided_images_per_s
    report.add(f"{name}.guided_over_index", guided, most=GUIDED_AT_MOST)
    print(f"{name}: index with guided pictures takes {guided:.2f} times as long as without")
    return f"{value:.2f} ({both.index_images_per_s:.1f}/s)"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(RATIO_AT_MOST), help="torchvision names, by comma")
    parser.add_argument("--weights", type=Path, help="a folder with state dicts called NAME.*; default: random")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", type=int, default=224, help="of the input, in pixels")
    parser.add_argument("--top", type=int, default=3, help="channels kept of each decomposition")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=192, help="JPEG files of the end to end runs")
    parser.add_argument("--skip-end-to-end", action="store_true")
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--json", metavar="FILE", help='where the figures go; "-" is standard output')
    parser.add_argument("--merge", action="store_true", help="keep what the file of --json says beside it")
    parser.add_argument("--strict", action="store_true", help="exit code 1 where a figure misses its limit")
    options = parser.parse_args()
    if options.merge and options.json in {None, "-"}:
        parser.error("--merge needs --json FILE")
    return options


if __name__ == "__main__":
    sys.exit(main())
