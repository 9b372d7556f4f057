"""`evigraph layers`, and what a run says of its first batch, on networks whose answers are known by construction."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.settings import PreprocessingOptions
from evigraph.indexer.engine.network import prepare
from evigraph.indexer.evidence.method import Method
from evigraph.indexer.model.survey import upper_end
from evigraph.indexer.run.candidates import look_at_layers
from evigraph.indexer.run.cores import _quota, cores_for
from evigraph.indexer.run.first_look import alternatives, fit_note
from evigraph.indexer.run.inputs import default_note, preprocessing_line
from evigraph.indexer.run.looking import evidence_of, values_of
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import Execution, IndexSettings, LayersSettings
from evigraph.indexer.weights.loading import LoadedModel
from tests.conftest import Cli
from tests.support import tiny


class Saturated(nn.Sequential):
    """Two stages whose ReLU6 is at 6 nearly everywhere, behind linear maps."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU6(),
            nn.Conv2d(4, 6, 3, padding=1, stride=2),
            nn.ReLU6(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 4),
        )
        # The upper stage is at 6 only where the lower one mostly is, so that the logits still depend on the image.
        for layer, bias in ((self[0], 8), (self[2], -130)):
            assert isinstance(layer, nn.Conv2d)
            nn.init.uniform_(layer.weight, 0.5, 1)
            assert layer.bias is not None
            nn.init.constant_(layer.bias, bias)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.draw_images(tmp_path_factory.mktemp("candidates") / "set", 12)


@pytest.mark.parametrize(
    ("activation", "end"),
    [
        (nn.ReLU6(), 6.0),
        (nn.Hardtanh(-2, 2), 2.0),
        (nn.Sigmoid(), 0.999),
        (nn.Tanh(), 0.9995),
        (nn.ReLU(), None),
        (nn.SiLU(), None),
        (nn.Hardswish(), None),
        (nn.PReLU(5), None),
    ],
)
def test_where_an_activation_function_is_flat(activation: nn.Module, end: float | None) -> None:
    assert upper_end(activation) == (None if end is None else pytest.approx(end, abs=1e-4))


def test_kinds_and_reasons() -> None:
    settings = LayersSettings(preprocessing=PreprocessingOptions(crop=16))
    by_name = {one.map.name: one for one in look_at_layers(f"{__name__}:Saturated", settings).candidates}
    assert [(name, one.map.kind, one.reason.is_default) for name, one in by_name.items()] == [
        ("0", "linear", False),
        ("1", "after ReLU6", True),
        ("2", "linear", False),
        ("3", "after ReLU6", True),
        ("4", "pooled", False),
    ]
    assert by_name["0"].reason.why == "after no activation"
    assert by_name["3"].reason.why == "the last after an activation at 8 x 8"
    assert by_name["4"].reason.why == "one place only"


def test_values_are_those_of_the_network() -> None:
    model = Saturated().eval()
    pixels = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(3)) * 30
    network = prepare(model, 16)
    seen = values_of(network, pixels)
    with torch.no_grad():
        lower = model[1](model[0](pixels))
    assert seen["0"].saturated is None
    assert seen["1"].saturated == pytest.approx(float((lower == 6).double().mean()))
    assert seen["1"].zero == pytest.approx(float((lower == 0).double().mean()))
    assert 0 < (seen["1"].zero or 0) < 1
    assert seen["1"].dead_channels == 0


class Untraceable(nn.Module):
    """Control flow on values."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.body(x)
        if float(maps.sum()) > 1e9:
            maps = maps * 2
        logits: Tensor = self.head(maps.mean((2, 3)))
        return logits


def test_a_network_that_cannot_be_traced(images: Path) -> None:
    settings = LayersSettings(
        data=f"folder:{images}", images=3, preprocessing=replace(tiny.PREPROCESSING, crop=16, resize=16)
    )
    report = look_at_layers(f"{__name__}:Untraceable", settings)
    assert any("could not be traced" in note for note in report.notes)
    (activated,) = [one for one in report.candidates if one.chosen]
    assert activated.map.kind == "after activation functions"
    assert activated.map.stride is None
    assert activated.values
    assert activated.values.zero is not None
    assert activated.values.saturated is None  # which function it is is not known
    json.dumps(report.to_json())


def test_barren_layers_are_told_of_at_once_with_better_ones(images: Path, tmp_path: Path) -> None:
    told: list[str] = []

    class Told:
        def start(self, total: int, done: int) -> None:
            pass

        def advance(self, images: int, skipped: int) -> None:
            told.append("advance")

        def note(self, text: str) -> None:
            told.append(text)

    settings = IndexSettings(
        model=f"{__name__}:Saturated",
        weights="random",
        data=f"imagefolder:{images}",
        run=tmp_path / "run",
        execution=Execution(workers=0, batch_size=4),
        preprocessing=tiny.PREPROCESSING,
    )
    report = index(settings, Told())
    note, *rest = told
    assert "the layers 1,3 are barren" in note
    assert "better" in note
    assert "--layers 0,2 (0% of nodes" in note
    assert rest == ["advance"] * 3
    assert note in report.notes
    better = index(replace(settings, run=tmp_path / "better", layers=("0", "2")))
    assert not any("barren" in note for note in better.notes)
    assert better.barren_count < better.node_count / 2


def test_what_is_offered_was_measured() -> None:
    model = Saturated().eval()
    network = prepare(model, 16)
    pixels = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert alternatives(network) == [["0", "2"]]
    roots = evidence_of(network, pixels, Method())[-1]
    assert roots.node_count == 2
    assert evidence_of(network, pixels, Method())[0].barren_share == 1
    assert evidence_of(prepare(model, 16, ["0", "2"]), pixels, Method())[0].barren_share < 0.5


def test_small_images_that_are_enlarged() -> None:
    note = fit_note(Preprocessing(), [(32, 32), (32, 40), (30, 32)])
    assert note
    assert "the first 3 images are 32 x 32 pixels (median) and are enlarged 8.0 times" in note
    assert fit_note(Preprocessing(), [(375, 500), (32, 32), (333, 500)]) is None
    padded = fit_note(Preprocessing(resize=None), [(32, 32)])
    assert padded
    assert "padded with black to 224 x 224" in padded


def test_numbers_that_nobody_gave(tmp_path: Path) -> None:
    loaded = LoadedModel(nn.Identity(), "", Preprocessing(), None)
    settings = IndexSettings(model="own:net", weights="net.pth", data="folder:x", run=tmp_path)
    note = default_note(settings, Preprocessing(), loaded)
    assert note
    assert note.startswith(
        "nothing says what the network was trained with: ImageNet's resize 256, crop 224, mean 0.485,"
    )
    assert default_note(settings, Preprocessing(), replace(loaded, preprocessing_from="the weights W")) is None
    assert default_note(replace(settings, weights="random"), Preprocessing(), loaded) is None
    whole = replace(settings, preprocessing=tiny.PREPROCESSING)
    assert default_note(whole, Preprocessing(), loaded) is None
    options = PreprocessingOptions(crop=(160, 240))
    line = preprocessing_line(
        options, Preprocessing(crop=(160, 240)), replace(loaded, preprocessing_from="the weights W")
    )
    assert line.startswith("resize 256, crop 160,240, mean")
    assert line.endswith("bilinear: from the weights W; crop from the options")


@pytest.mark.parametrize(
    ("cpus", "threads", "workers"), [(1, 1, 0), (2, 1, 1), (4, 3, 1), (8, 6, 2), (16, 12, 4), (64, 60, 4)]
)
def test_threads_and_processes_fit_the_cpus(
    cpus: int, threads: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores = cores_for(Execution(), cpus)
    assert (cores.threads, cores.workers) == (threads, workers)
    assert cores_for(Execution(threads=5, workers=3), cpus).threads == 5
    assert cores_for(Execution(workers=3), cpus).threads == max(1, cpus - 3)


def test_the_quota_of_a_control_group_counts(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("0::/a/b\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert _quota(tmp_path / "own", tmp_path) is None
    (tmp_path / "a" / "cpu.max").write_text("250000 100000\n")
    (tmp_path / "a" / "b" / "cpu.max").write_text("max 100000\n")
    assert _quota(tmp_path / "own", tmp_path) == 2.5
    (tmp_path / "old").write_text("4:cpu,cpuacct:/x\n")
    (tmp_path / "cpu" / "x").mkdir(parents=True)
    (tmp_path / "cpu" / "x" / "cpu.cfs_quota_us").write_text("150000")
    (tmp_path / "cpu" / "x" / "cpu.cfs_period_us").write_text("100000")
    assert _quota(tmp_path / "old", tmp_path) == 1.5


def test_lines_of_progress_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from evigraph import progress

    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for quiet, expected in ((False, "evigraph: 30 of 100 images, 0.5 images/s, 0:02:20 left, 1 skipped\n"), (True, "")):
        with progress.IndexProgress(quiet) as told:
            told.start(100, 10)
            now[0] += 20
            told.advance(10, 0)
            now[0] += 20
            told.advance(10, 1)
        assert capsys.readouterr().err == expected


def test_the_command(cli: Cli, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    words = ("layers", tiny.MODEL, *tiny.INPUT, "--data", f"imagefolder:{images}", "--images", "4")
    table = cli(*words)
    assert (table.code, table.stderr) == (0, "")
    assert "default: the last after an activation at 16 x 16" in table.stdout
    monkeypatch.setenv("COLUMNS", "30")
    assert cli(*words).code == 0
    report = json.loads(cli(*words, "--json").stdout)
    assert [one["name"] for one in report["layers"] if one["default"]] == ["1", "4", "7"]
    assert report["image_count"] == 4
    assert report["logits"]["node_count"] == 4
    assert next(one for one in report["layers"] if one["name"] == "1")["nodes"] is None  # S1
