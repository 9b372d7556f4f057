"""One image on the spot: the rows of `index`, and what plain torch says without a channel or a region."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from evigraph.indexer.explain.edits import asked_edit
from evigraph.indexer.explain.explain import Explained, explain_image
from evigraph.indexer.explain.settings import ExplainSettings
from evigraph.indexer.run.pipeline import index
from evigraph.indexer.run.settings import AttackSettings, Execution, IndexSettings
from evigraph.indexer.shards.folder import RunFolder
from evigraph.indexer.verify.settings import VerifySettings
from evigraph.schema.errors import DataError, EvidenceError, NotFoundError, RunFolderError, UsageError
from tests.indexer.reference import Reference
from tests.support import tiny

LAYERS = ("1", "4", "7")
OF_EDGE = (
    *("target_layer", "target_channel", "target_y", "target_x", "source_layer", "source_channel", "source_y"),
    *("source_x", "contribution", "share", "rank", "feature", "activation", "importance"),
)
OF_NODE = (
    *("target_layer", "target_channel", "target_y", "target_x", "importance", "positive_sum", "positive_count"),
    "evidence_count",
)
OF_DECISION = ("class_id", "logit", "probability", "cut_node_count", "cut_importance")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, the file of classes, and weights with which the classes differ."""
    made = tmp_path_factory.mktemp("explain")
    tiny.draw_images(made / "set", 12)
    tiny.class_file(made)
    torch.manual_seed(3)
    network = tiny.network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    torch.save(network.state_dict(), made / "weights.pth")
    return made


@pytest.fixture(scope="module")
def indexed(folder: Path) -> IndexSettings:
    """A run, one image a batch, every decision verified."""
    settings = IndexSettings(
        model=tiny.MODEL,
        weights=str(folder / "weights.pth"),
        data=f"imagefolder:{folder / 'set'}",
        classes=folder / "classes.txt",
        run=folder / "run",
        layers=LAYERS,
        verify=VerifySettings("all", top=2),
        execution=Execution(workers=0, batch_size=1, shard_size=5),
        preprocessing=tiny.PREPROCESSING,
    )
    index(settings)
    return settings


def asking(folder: Path, **changed: Any) -> ExplainSettings:
    given: dict[str, Any] = {
        "model": tiny.MODEL,
        "weights": str(folder / "weights.pth"),
        "classes": folder / "classes.txt",
        "layers": LAYERS,
        "preprocessing": tiny.PREPROCESSING,
    }
    return ExplainSettings(**given | changed)


def rows(run: Path, table: str) -> pa.Table:
    with RunFolder.open_for_reading(run) as opened:
        return pa.concat_tables([opened.read(shard, table) for shard in range(opened.shard_count)])


def uris(run: Path) -> dict[int, str]:
    images = rows(run, "image")
    return dict(zip(images["image_id"].to_pylist(), images["uri"].to_pylist(), strict=True))


def of_decision(run: Path, table: str, decision_id: int, columns: Sequence[str]) -> pa.Table:
    found = rows(run, table)
    return found.filter(pc.equal(found["decision_id"], decision_id)).select(list(columns))


@pytest.mark.parametrize(
    "method", [{}, {"top_n": 5, "max_nodes": 4}, {"top_n": 2, "merge_overlaps": True, "mask_threshold": 0.3}]
)
def test_the_rows_are_those_of_index(
    folder: Path, indexed: IndexSettings, tmp_path: Path, method: dict[str, Any]
) -> None:
    """Bit for bit: of the predicted class, and by `--class` of the label where that is another one."""
    asked = asking(folder, **method)
    run = tmp_path / "run"
    index(replace(indexed, run=run, method=asked.method, verify=None))
    decisions, named = rows(run, "decision").to_pylist(), uris(run)
    assert {row["role"] for row in decisions} == {"predicted", "label"}
    for decision in decisions:
        class_name = None if decision["role"] == "predicted" else str(decision["class_id"])
        found = explain_image(folder / "set" / named[decision["image_id"]], asked, class_name).outcome
        for table, columns in (("decision", OF_DECISION), ("edge", OF_EDGE), ("decomposition", OF_NODE)):
            stored = of_decision(run, table, decision["decision_id"], columns)
            assert stored.num_rows
            assert found.tables[table].select(list(columns)).to_pylist() == stored.to_pylist()


def test_a_class_by_name_key_and_index(folder: Path) -> None:
    image = folder / "set" / "bee" / "0001.png"
    (folder / "keys.csv").write_text("index,key,name\n0,n0,ant\n1,n1,bee\n2,n2,cat\n3,n3,dog\n")
    asked = asking(folder, classes=folder / "keys.csv")
    found = [explain_image(image, asked, name).outcome for name in ("cat", "n2", "2")]
    assert [one.explained.class_id for one in found] == [2, 2, 2]
    assert found[0].tables["edge"].equals(found[1].tables["edge"])
    assert sum(one.probability for one in found[0].said) == pytest.approx(1)
    assert found[0].predicted == max(found[0].said, key=lambda said: said.logit)
    with pytest.raises(NotFoundError, match="no class 'catt'; did you mean 'cat'"):
        explain_image(image, asked, "catt")


class Without(nn.Module):
    """Sets channels of a map to 0."""

    kept: Tensor

    def __init__(self, total: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("kept", torch.ones(total, 1, 1))
        self.kept[list(channels)] = 0

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width), of the same shape."""
        return x * self.kept


def zeroing(channels: Sequence[int]) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    """A forward hook that sets channels of a module's output to 0."""

    def hook(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        output = output.clone()
        output[:, list(channels)] = 0
        return output

    return hook


def pixels_of(path: Path) -> Tensor:
    with Image.open(path) as image:
        values = torch.tensor(list(image.convert("RGB").tobytes()), dtype=torch.float64)
    return (values.view(tiny.SIDE, tiny.SIDE, 3).permute(2, 0, 1) / 255 - 0.5) / 0.5


@pytest.mark.parametrize("removed", [{"7": (3,)}, {"4": (5,)}, {"1": (2,), "7": (0, 8)}])
@pytest.mark.parametrize("model", ["tests.support.tiny:network", "tests.support.tiny:Untraceable"])
def test_removed_channels_against_plain_torch(folder: Path, removed: dict[str, tuple[int, ...]], model: str) -> None:
    """In float64: the logits behind hooks on the modules, and every edge of a network that has the zeros built in."""
    image, modules = folder / "set" / "bee" / "0001.png", list(LAYERS)
    weights = torch.load(folder / "weights.pth", weights_only=True)
    prefix, asked = "", asking(folder, model=model, top_n=4)
    if model.endswith("Untraceable"):
        prefix = "network."
        torch.save({f"{prefix}{name}": value for name, value in weights.items()}, folder / "untraceable.pth")
        own = tuple(f"{prefix}{name}" for name in LAYERS)
        asked = asking(folder, model=model, top_n=4, weights=str(folder / "untraceable.pth"), layers=own)
    edits = [f"remove:{prefix}{layer}/{channel}" for layer, channels in removed.items() for channel in channels]
    what_if = explain_image(image, asked, "cat", edits).what_if
    assert what_if is not None

    network = tiny.network().double().eval()
    network.load_state_dict(weights)
    for layer, channels in removed.items():
        network[int(layer)].register_forward_hook(zeroing(channels))
    with torch.no_grad():
        logits = network(pixels_of(image)[None])[0]
    assert [said.logit for said in what_if.outcome.said] == pytest.approx(logits.tolist(), rel=1e-4, abs=1e-4)

    built = tiny.network()
    built.load_state_dict(weights)
    for module in built:
        if isinstance(module, nn.ReLU):
            module.inplace = False
    for layer, total in zip(modules, (6, 8, 10), strict=True):
        built[int(layer)] = nn.Sequential(built[int(layer)], Without(total, removed.get(layer, ())))
    reference = Reference(built, [f"{layer}.1" for layer in modules], pixels_of(image))
    compare(what_if.outcome.rows("edge"), what_if.outcome.rows("decomposition"), reference, 4)


def compare(edges: list[dict[str, Any]], nodes: list[dict[str, Any]], reference: Reference, top_n: int) -> None:
    """Every edge of a decision with the paper's equations in float64."""
    assert edges
    for node in nodes:
        layer, channel, y, x = at = [node[name] for name in OF_NODE[:4]]
        own = [e for e in edges if [e[name] for name in OF_EDGE[:4]] == at]
        expected = reference.edges(layer - 1, channel, y, x, top_n)
        assert [(e["source_channel"], e["source_y"], e["source_x"]) for e in own] == [
            (e.channel, e.y, e.x) for e in expected
        ]
        for name in ("contribution", "share", "feature", "activation"):
            assert [e[name] for e in own] == pytest.approx([getattr(e, name) for e in expected], rel=1e-3, abs=1e-6)


def test_occluded_regions_are_those_of_verification(indexed: IndexSettings) -> None:
    """The same evidence, hidden by the same box and by the same control, changes the logit alike."""
    tests = [row for row in rows(indexed.run, "verification").to_pylist() if row["method"] == "occlude"]
    tests = [row for row in tests if row["decision_id"] % 2 == 0]
    named, logits = uris(indexed.run), rows(indexed.run, "decision")
    before = dict(zip(logits["decision_id"].to_pylist(), logits["logit"].to_pylist(), strict=True))
    asked, compared = ExplainSettings(run=indexed.run), 0
    for test in tests[:12]:
        layer = LAYERS[test["source_layer"]]
        asked = replace(asked, image=named[test["decision_id"] // 2])
        what_if = explain_image(None, asked, None, [f"occlude:{layer}/{test['source_channel']}"]).what_if
        assert what_if is not None
        (edit,) = what_if.edits
        assert (edit.y, edit.x, edit.is_evidence) == (test["source_y"], test["source_x"], True)
        logit = before[test["decision_id"]]
        assert what_if.outcome.explained.logit - logit == pytest.approx(test["logit_change"], abs=1e-5)
        assert what_if.outcome.predicted.class_id == test["predicted_id"]
        assert edit.disturbance == pytest.approx(test["disturbance"], rel=1e-4)
        assert what_if.of_grey is not None
        assert what_if.of_grey.class_id == test["empty_predicted_id"]
        assert (what_if.control is None) == (test["control_logit_change"] is None)
        if what_if.control is not None:
            own = what_if.control[what_if.outcome.explained.class_id]
            assert own.logit - logit == pytest.approx(test["control_logit_change"], abs=1e-5)
            region = what_if.controls[0].region if what_if.controls else None
            assert region is not None
            assert region.start == (test["control_top"], test["control_left"])
            compared += 1
    assert compared


def test_edits_together(folder: Path) -> None:
    """Each is found in the whole decision; no control touches what an edit takes away."""
    image = folder / "set" / "bee" / "0001.png"
    edges = explain_image(image, asking(folder)).outcome.rows("edge")
    first, second = [e["source_channel"] for e in edges if e["source_layer"] == 2][:2]
    low = next(e for e in edges if e["source_layer"] == 0)
    texts = [f"remove:7/{first}", f"remove:7/{second}", f"occlude:1/{low['source_channel']}", "occlude:1/0"]
    texts = list(dict.fromkeys(texts))
    what_if = explain_image(image, asking(folder), None, texts).what_if
    assert what_if is not None
    assert what_if.controls is not None
    assert len({edit.channel for edit in (*what_if.edits, *what_if.controls) if edit.layer == "7"}) == 4
    hidden = torch.zeros(tiny.SIDE, tiny.SIDE, dtype=torch.bool)
    for edit in what_if.edits:
        hidden |= edit.region.mask((tiny.SIDE, tiny.SIDE)) if edit.region else False
    assert hidden.any()
    for control in what_if.controls:
        assert control.region is None or not (control.region.mask((tiny.SIDE, tiny.SIDE)) & hidden).any()
    changed = explain_image(image, asking(folder), None, texts[:1]).what_if
    assert changed is not None
    assert changed.outcome.explained.logit != what_if.outcome.explained.logit


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("remove:8/1", NotFoundError, r"no layer '8'.*the run's layers are 1, 4, 7"),
        ("remove:7/10", NotFoundError, r"no channel '10' in layer '7', which has channels 0 to 9 \(this decision's ev"),
        ("removed:7/1", NotFoundError, "no edit 'removed'; did you mean 'remove'"),
        ("remove:7", UsageError, "'remove:7' is not METHOD:LAYER/CHANNEL"),
        ("remove:7/x", UsageError, "give one such as occlude:conv4_3/21"),
        ("7/1", UsageError, "is not METHOD:LAYER/CHANNEL"),
    ],
)
def test_wrong_edits(folder: Path, text: str, error: type[EvidenceError], said: str) -> None:
    with pytest.raises(error, match=said):
        explain_image(folder / "set" / "bee" / "0001.png", asking(folder), None, [text])


def test_edits_of_what_is_not_there(folder: Path, tmp_path: Path) -> None:
    """A silent channel can be removed, without effect, but it has no place to occlude; nothing is taken away twice."""
    weights = torch.load(folder / "weights.pth", weights_only=True)
    weights["6.bias"][4] = -100.0
    torch.save(weights, tmp_path / "silent.pth")
    asked, image = asking(folder, weights=str(tmp_path / "silent.pth")), folder / "set" / "bee" / "0001.png"
    explained = explain_image(image, asked, None, ["remove:7/4"])
    assert explained.what_if is not None
    assert explained.what_if.outcome.said == explained.outcome.said
    assert explained.what_if.edits[0].disturbance == 0
    with pytest.raises(UsageError, match="channel 4 of layer '7' is 0 everywhere in this image"):
        explain_image(image, asked, None, ["occlude:7/4"])
    with pytest.raises(UsageError, match="--edit remove:7/4 is given twice"):
        explain_image(image, asked, None, ["remove:7/4", "remove:7/4"])
    assert asked_edit("remove:features.0/12").layer == "features.0"


def test_an_image_of_a_run(indexed: IndexSettings) -> None:
    named = uris(indexed.run)
    decisions = rows(indexed.run, "decision").to_pylist()
    label = next(row for row in decisions if row["role"] == "label")
    asked = ExplainSettings(run=indexed.run, image=named[label["image_id"]])
    for class_name in (None, str(label["class_id"])):
        explained = explain_image(None, asked, class_name)
        assert explained.stored is not None
        assert "the run stores the same: " in explained.stored
        assert explained.run == "run"
        assert explained.label_ids == (label["class_id"],)
    other = next(i for i in range(4) if i not in (label["class_id"], explained.outcome.predicted.class_id))
    assert "no decision for this class" in str(explain_image(None, asked, str(other)).stored)
    with pytest.raises(NotFoundError, match=r"no image 'bee/0001\.pn'; did you mean 'bee/0001\.png'.* in run 'run'"):
        explain_image(None, replace(asked, image="bee/0001.pn"))
    with pytest.raises(UsageError, match="--top 4 is more than run 'run' keeps of each decomposition, 3"):
        explain_image(None, replace(asked, top_n=4))


def test_a_run_of_other_things_is_refused(folder: Path, indexed: IndexSettings, tmp_path: Path) -> None:
    asked = ExplainSettings(run=indexed.run, image="bee/0001.png")
    torch.save(tiny.network().state_dict(), tmp_path / "other.pth")
    with pytest.raises(RunFolderError, match="was made with weights_sha256"):
        explain_image(None, replace(asked, weights=str(tmp_path / "other.pth")))
    moved = shutil.copytree(folder / "set", tmp_path / "set")
    assert "the same" in str(explain_image(None, replace(asked, data=f"imagefolder:{moved}")).stored)
    (moved / "bee" / "0001.png").unlink()
    with pytest.raises(DataError, match="no longer what run 'run' holds"):
        explain_image(None, replace(asked, data=f"imagefolder:{moved}"))
    with pytest.raises(RunFolderError, match="is no run folder"):
        explain_image(None, replace(asked, run=tmp_path))


@contextmanager
def changed_shard(run: Path, to: Path) -> Iterator[Path]:
    """A copy of a run whose first shard of edges is not what was written."""
    copy = shutil.copytree(run, to)
    with RunFolder.open_for_reading(copy) as opened:
        (opened.shard_file(0, "edge")).write_bytes(b"no parquet")
    yield copy


def test_a_run_that_holds_something_else(indexed: IndexSettings, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    uri = uris(indexed.run)[0]
    with changed_shard(indexed.run, tmp_path / "run") as run, RunFolder.open_for_reading(run) as opened:
        asked = ExplainSettings(run=run, image=uri)
        with pytest.raises(RunFolderError, match="shard 0 cannot be read"):
            explain_image(None, asked)
        edges = rows(indexed.run, "edge").slice(0, 0)
        pq.write_table(edges, opened.shard_file(0, "edge"))
        assert "the run stores it otherwise" in str(explain_image(None, asked).stored)
    unfinished = shutil.copytree(indexed.run, tmp_path / "unfinished")
    for file in unfinished.rglob("*.json"):
        if file.parent != unfinished:
            file.unlink()
    assert "has not indexed this image yet" in str(explain_image(None, replace(asked, run=unfinished)).stored)


def test_an_attacked_run_is_attacked_again(indexed: IndexSettings, tmp_path: Path) -> None:
    attack = AttackSettings("pgd", steps=2)
    run = tmp_path / "attacked"
    index(replace(indexed, run=run, attack=attack, verify=None))
    explained = explain_image(None, ExplainSettings(run=run, image="bee/0001.png"))
    assert "the run stores the same" in str(explained.stored)
    clean = explain_image(None, ExplainSettings(run=indexed.run, image="bee/0001.png"))
    assert clean.outcome.explained.logit != explained.outcome.explained.logit


def test_one_output_is_two_classes(folder: Path) -> None:
    asked = asking(folder, model="tests.indexer.test_explain:one_logit", weights="random", classes=None)
    image = folder / "set" / "bee" / "0001.png"
    both = [explain_image(image, asked, name, ["remove:7/1"]) for name in ("negative", "positive")]
    assert both[0].outcome.explained.logit == -both[1].outcome.explained.logit
    assert [one.is_sigmoid for one in both] == [True, True]
    after = [one.what_if.outcome.explained.logit for one in both if one.what_if]
    assert after[0] == -after[1]


def one_logit() -> nn.Module:
    """A factory."""
    return tiny.network(1)


@pytest.mark.parametrize(
    ("path", "changed", "error", "said"),
    [
        ("missing.png", {}, DataError, "image .*missing.png does not exist"),
        ("set", {}, DataError, "is no file"),
        ("classes.txt", {}, DataError, "classes.txt cannot be used: not an image"),
        ("set/bee/0001.png", {"model": None}, UsageError, "without --model; give --model and --weights, or --run"),
        ("set/bee/0001.png", {"weights": None}, UsageError, "without --weights"),
        ("set/bee/0001.png", {"run": Path("run")}, UsageError, "is given beside --run"),
        (None, {}, UsageError, "no image is given; give IMAGE with"),
        (None, {"run": Path("run")}, UsageError, "--run is given without --image"),
        (None, {"run": Path("run"), "image": "x"}, UsageError, "--model is given beside --run, which says that itself"),
    ],
)
def test_what_cannot_be_explained(
    folder: Path, path: str | None, changed: dict[str, Any], error: type[EvidenceError], said: str
) -> None:
    with pytest.raises(error, match=said):
        explain_image(folder / path if path else None, asking(folder, **changed))


def test_what_is_known_of_it(folder: Path) -> None:
    explained: Explained = explain_image(folder / "set" / "bee" / "0001.png", asking(folder))
    assert explained.description.layers[-1].name == "logits"
    assert explained.run is None
    assert explained.stored is None
    assert explained.what_if is None
    maps = explained.outcome.rows("activation_map")
    assert len(maps) == explained.outcome.tables["edge"].num_rows
    (thumbnail,) = explained.outcome.rows("thumbnail")
    assert (thumbnail["width"], thumbnail["height"]) == (tiny.SIDE, tiny.SIDE)
