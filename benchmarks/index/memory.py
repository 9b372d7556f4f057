"""Peak memory of a batch, measured in a process of its own: `python -m benchmarks.index.memory NAME PHASE ...`.

Three processes load the same network and the same batch; one does nothing more, one runs plain inference, one the
engine. On the CPU the figure is the largest resident set while it runs (VmHWM of /proc/self/status, which is reset
before), so torch itself and the weights are in it; ru_maxrss will not do, since a process inherits that of the one
which started it. On a GPU the figure is torch.cuda.max_memory_allocated, weights included.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.index.inputs import network, pictures
from benchmarks.index.kernels import Engine, plain

PHASES = ("loaded", "plain", "engine")
_ROOT = Path(__file__).parents[2]


def peaks(name: str, weights: Path | None, side: int, batch: int, top_n: int, device: str) -> dict[str, int]:
    """Peak bytes of each of `PHASES`; for plain inference that of the layout that takes less."""

    def measured(phase: str, layout: str) -> int:
        command = [sys.executable, "-m", "benchmarks.index.memory", name, phase, layout]
        command += [str(side), str(batch), str(top_n), device, *([str(weights)] if weights else [])]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
        return int(done.stdout.split()[-1])

    return {
        "loaded": measured("loaded", "contiguous"),
        "plain": min(measured("plain", layout) for layout in ("contiguous", "channels_last")),
        "engine": measured("engine", "channels_last"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak bytes of one phase, in this process.")
    parser.add_argument("name")
    parser.add_argument("phase", choices=PHASES)
    parser.add_argument("layout")
    for number in ("side", "batch", "top_n"):
        parser.add_argument(number, type=int)
    parser.add_argument("device")
    parser.add_argument("weights", type=Path, nargs="?")
    options = parser.parse_args()
    device = torch.device(options.device)
    # Statistics of the normalisations from two pictures: a full batch in training would be the peak itself.
    model, _ = network(options.name, options.weights, options.side, batch=2)
    model = model.to(device)
    pixels = pictures(options.batch, options.side).to(device)
    if options.phase == "plain":
        run = plain(model, pixels, options.layout)
        del model
        _forget_peak(device)
        for _ in range(2):
            run()
    elif options.phase == "engine":
        engine = Engine.of(model, pixels, options.top_n)
        _forget_peak(device)
        for _ in range(2):
            engine.run()
    else:
        _forget_peak(device)
    print(_peak(device))


def _forget_peak(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")


def _peak(device: torch.device) -> int:
    """Bytes."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status").read_text().splitlines()
    (kibibytes,) = (int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    return kibibytes * 1024


if __name__ == "__main__":
    main()
