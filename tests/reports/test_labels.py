"""Labels: a folder or a list's label is the class that its key, name or index says, or is refused with what to give."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from evigraph.indexer.data.classes import ClassEntry, ClassList, read_classes
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.data.sources import open_source
from evigraph.indexer.run import pipeline
from evigraph.indexer.run.report import accuracy_note
from evigraph.indexer.weights import loading
from evigraph.schema.errors import EvidenceError
from tests.conftest import Cli
from tests.reports.table import report
from tests.support import tiny
from tests.support.refusals import refusal_of

IMAGENET = Path(__file__).parents[3] / "shared" / "data" / "imagenet1000.csv"
BIRDS = ("Black footed Albatross", "Laysan Albatross", "Sooty Albatross")
DOGS = ("Chihuahua", "Japanese spaniel", "Shih-Tzu", "golden retriever")


def folders(root: Path, names: Sequence[str]) -> Path:
    """A folder of one image for each name; a name that ends in a slash has none."""
    for name in names:
        (root / name).mkdir(parents=True)
        if not name.endswith("/"):
            Image.new("RGB", (2, 2)).save(root / name / "1.png")
    return root


def opened(root: Path, class_count: int, classes: ClassList | Sequence[str] | None = None) -> DataSource:
    known = classes if isinstance(classes, ClassList) or classes is None else ClassList.from_names(classes)
    return open_source(f"imagefolder:{root}", known, class_count)


def labels(source: DataSource) -> dict[str, int | None]:
    return {sample.uri.partition("/")[0]: sample.label_id for sample in source.samples}


def refusal(root: Path, class_count: int, classes: ClassList | Sequence[str] | None = None) -> str:
    message = refusal_of(lambda: opened(root, class_count, classes))
    assert "--classes FILE" in message
    return message


NAMED = [f"thing {chr(97 + i)}" for i in range(26)]


@pytest.mark.parametrize(
    ("style", "count", "names"),
    [
        pytest.param("{}", 1000, None, marks=report("modestyachts/ImageNetV2#10", "folder 100 is class 100, said")),
        pytest.param("{}", 365, None, marks=report("CSAILVision/places365#22", "folder 10 is class 10, not class 2")),
        pytest.param("{}", 26, None, marks=report("NVIDIA/DIGITS#665", "folders 0 to 25 are classes 0 to 25")),
        pytest.param("{}", 27, None, marks=report("deeplearning4j/deeplearning4j#3859", "folder 10 is class 10")),
        pytest.param(
            "{}", 102, None, marks=report("pytorch/pytorch#22566", "folder 2 is class 2, and how it was read")
        ),
        pytest.param("{:05d}", 10, None, marks=report("LINs-lab/RDED#10", "folder 00007 is class 7, said")),
        ("{:03d}", 26, NAMED),
        ("class_{:03d}", 12, None),
        ("Class {}", 12, NAMED[:12]),
        ("cls{}", 30, None),
        ("label-{}", 11, None),
        ("idx={}", 14, NAMED[:14]),
        ("#{}", 12, None),
    ],
)
def test_folders_named_by_index(tmp_path: Path, style: str, count: int, names: list[str] | None) -> None:
    wanted = {style.format(i): i for i in (*range(0, count, 50 if count > 100 else 3), count - 1)}
    root = folders(tmp_path, [style.format(i) + ("" if style.format(i) in wanted else "/") for i in range(count)])
    source = opened(root, count, names)
    assert labels(source) == wanted
    (said,) = source.notes
    assert said.startswith("labels: ")
    assert "class indices" in said


@report("modestyachts/ImageNetV2#4", "with names of the weights folder 0 is still class 0, tench")
def test_a_part_of_index_folders_with_names_known(tmp_path: Path) -> None:
    source = opened(folders(tmp_path, ["0", "2", "17", "9"]), 26, NAMED)
    assert labels(source) == {"0": 0, "2": 2, "17": 17, "9": 9}
    assert source.labels_by == "index"
    assert "'17' is class 17 (thing r)" in source.notes[0]


@pytest.mark.parametrize(
    ("names", "count", "known", "said"),
    [
        pytest.param(
            [str(i) for i in range(1, 101)],
            100,
            None,
            "numbered to 100, and the 100 outputs from 0 to 99",
            marks=report("pytorch/vision#714", "folders 1 to 100 may be counted or sorted: refused"),
        ),
        pytest.param(
            [str(i) for i in range(1, 40)],
            1000,
            None,
            "whether '1' is output 1 or output 0 cannot be told",
            marks=report("raoyongming/DynamicViT#17", "folders numbered by ImageNet's devkit are refused"),
        ),
        pytest.param(
            [f"{i:04d}" for i in range(1, 1001)],
            1000,
            None,
            "numbered to 1000",
            marks=report("fra31/sparse-rs#4", "the devkit's numbers are another order: refused"),
        ),
        (["1", "2", "3"], 3, ("a", "b", "c"), "numbered to 3"),
        (["s1", "s2", "s10"], 3, None, "no class order"),
        (["person_0", *(f"person_{i}" for i in range(1, 12))], 12, None, "counted by their number or sorted as text"),
        pytest.param(
            ["002.Laysan_Albatross", "003.Sooty_Albatross"],
            4,
            None,
            "whether '2' is output 2 or output 1 cannot be told",
            marks=report("JDAI-CV/DCL#35", "CUB counts from 1: a part of its folders is refused without their names"),
        ),
        (["1", "2", "3", "5", "6"], 9, None, "whether '1' is output 1 or output 0 cannot be told"),
        (["004", "001", "003"], 102, None, "whether '1' is output 1 or output 0 cannot be told"),
        (["1", "01"], 5, None, "have one number"),
        ([*map(str, range(11)), "other"], 12, None, "no class order"),
        pytest.param(
            [str(i) for i in range(1000)],
            1001,
            None,
            "whether output 0 is a background",
            marks=report("mlcommons/inference#550", "indices for 1001 outputs may be off by one: refused"),
        ),
        pytest.param(
            ["65", "188"],
            1001,
            None,
            "whether output 0 is a background",
            marks=report("ageron/handson-ml#61", "1001 outputs and indices of 1000 classes: refused"),
        ),
        pytest.param(
            [str(i) for i in range(10)],
            11,
            None,
            "whether output 0 is a background",
            marks=report("tensorflow/tpu#507", "one output more than folders: refused"),
        ),
        (["0", "1"], 3, ("background", "cat", "dog"), "whether output 0 is a background"),
    ],
)
def test_numbers_that_may_mean_two_things_are_refused(
    tmp_path: Path, names: list[str], count: int, known: Sequence[str] | None, said: str
) -> None:
    message = refusal(folders(tmp_path, names), count, known)
    assert said in message or said == "no class order"


def test_numbers_from_1_whose_order_is_that_of_the_text(tmp_path: Path) -> None:
    source = opened(folders(tmp_path, ["1", "2", "3"]), 3)
    assert labels(source) == {"1": 0, "2": 1, "3": 2}
    assert "count from 1: '1' is class 0, '2' is class 1" in source.notes[0]


@pytest.mark.parametrize(
    ("names", "known", "expected"),
    [
        pytest.param(
            ["001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"],
            BIRDS,
            [0, 1, 2],
            marks=report("msight-tech/research-ms-loss#7", "CUB's folders are matched by the name behind the number"),
        ),
        (["7_thing h", "3-thing d"], NAMED, [7, 3]),
        (["2_thing_a", "1_thing_c"], NAMED, [0, 2]),  # the numbers are something else
        (["n02085620-Chihuahua", "n02086240-Shih-Tzu"], DOGS, [0, 2]),
        (["Golden_Retriever", "SHIH TZU", "japanese-spaniel"], DOGS, [3, 2, 1]),
        (["tench", "great_white_shark"], ("tench, Tinca tinca", "great white shark, white shark"), [0, 1]),
        (["1_crane", "0_crane"], ("crane", "crane"), [1, 0]),
        (["tench, Tinca tinca", "goldfish, Carassius auratus"], ("goldfish", "tench"), [1, 0]),
    ],
)
def test_names_in_other_dress(tmp_path: Path, names: list[str], known: Sequence[str], expected: list[int]) -> None:
    source = opened(folders(tmp_path, names), len(known), known)
    assert labels(source) == dict(zip(names, expected, strict=True))
    assert source.labels_by == "normalised name"
    assert source.notes[0].startswith("labels: ")


@pytest.mark.parametrize("names", [["-1", "0"], ["0.5", "1.5"], ["+0", "-0"], ["10", "9", "a"]])
def test_signs_and_fractions_are_no_indices(tmp_path: Path, names: list[str]) -> None:
    source = opened(folders(tmp_path, names), len(names))
    assert labels(source) == {name: index for index, name in enumerate(sorted(names))}
    assert source.labels_by == "sorted folders"
    assert "in sorted order" in source.notes[0]


def test_two_folders_of_one_loose_name_are_refused(tmp_path: Path) -> None:
    root = folders(tmp_path, ["Cat", "cat_"])
    with pytest.raises(EvidenceError, match="may both be class 0"):
        opened(root, 2, ("cat", "dog"))
    root = folders(tmp_path / "more", ["crane"])
    with pytest.raises(EvidenceError, match="ambiguous"):
        opened(root, 2, ("Crane", "CRANE"))


class TestWnids:
    KEYED = ClassList(
        (
            ClassEntry(0, "n02119789", "kit fox"),
            ClassEntry(1, "n01440764", "tench"),
            ClassEntry(2, "n02100735", "setter"),
        )
    )

    @report("huggingface/pytorch-image-models#107", "the 1000 ids sorted are the outputs' order, said")
    @pytest.mark.skipif(not IMAGENET.exists(), reason="../shared/data is not here")
    def test_all_of_imagenet(self, tmp_path: Path) -> None:
        keys = [entry.key for entry in read_classes(IMAGENET).entries]
        root = folders(tmp_path, [key + ("" if i % 100 == 7 else "/") for i, key in enumerate(keys)])
        for known in (None, [entry.name for entry in read_classes(IMAGENET).entries]):
            source = opened(root, 1000, known)
            assert labels(source) == {keys[i]: i for i in range(7, 1000, 100)}
            assert "'n01440764' is class 0 and 'n15075141' class 999" in source.notes[0]
        # a thousand others, and a network of other classes
        assert "no id of a class is known" in refusal(root, 1000, [f"bird {i}" for i in range(1000)])
        assert "no id of a class is known" in refusal(root, 1001)
        (root / keys[0]).rename(root / "n00000001")
        assert "no id of a class is known" in refusal(root, 1000)

    @pytest.mark.parametrize(
        ("names", "count", "known"),
        [
            pytest.param(
                ["n02119789", "n02100735"],
                1000,
                None,
                marks=report("srebuffi/iCaRL#14", "a part of ImageNet without ids of the classes: refused"),
            ),
            pytest.param(
                ["n02119789", "n02100735", "n02110185"],
                3,
                None,
                marks=report("Jiacheng8/CV-DD#5", "folders of ids are never put in sorted order unasked"),
            ),
            (["n02119789", "n02100735"], 2, ("fox", "setter")),
            (["n02119789 fox", "n02100735 wolf"], 2, ("fox", "setter")),
        ],
    )
    def test_without_ids_of_classes(
        self, tmp_path: Path, names: list[str], count: int, known: Sequence[str] | None
    ) -> None:
        assert "WordNet ids such as" in refusal(folders(tmp_path, names), count, known)

    def test_by_the_id_in_front(self, tmp_path: Path) -> None:
        source = opened(folders(tmp_path, ["n01440764 tench", "n02100735_English_setter"]), 3, self.KEYED)
        assert labels(source) == {"n01440764 tench": 1, "n02100735_English_setter": 2}
        assert source.labels_by == "key"
        with pytest.raises(EvidenceError, match="has the id of class 1 and the name of class 0"):
            opened(folders(tmp_path / "more", ["n01440764 kit fox"]), 3, self.KEYED)


def test_sorted_folders_are_said_and_only_taken_where_nothing_is_known(tmp_path: Path) -> None:
    root = folders(tmp_path, ["ant", "bee", "cat/", "dog"])
    source = opened(root, 4)
    assert labels(source) == {"ant": 0, "bee": 1, "dog": 3}
    assert (
        "in sorted order, as torchvision's ImageFolder takes them: 'ant' is class 0, 'bee' is class 1, "
        "'cat' is class 2 ... 'dog' is class 3 (1 of them without images); give --classes FILE" in source.notes[0]
    )
    assert "3 of 3 folders" in refusal(root, 4, ("w", "x", "y", "z"))
    assert "4 class folders and the network 5 outputs" in refusal(root, 5)


def test_splits_are_no_classes(tmp_path: Path) -> None:
    root = folders(tmp_path, ["train", "val"])
    with pytest.raises(EvidenceError, match=r"holds the splits 'train', 'val' .* such as imagefolder:.*/val"):
        opened(root, 2)
    assert labels(opened(root, 2, ("val", "train"))) == {"train": 1, "val": 0}


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(
            ["train", "test", "extra"],
            marks=report("fastai/fastai#1552", "a folder of a split is no class, whatever lies beside"),
        ),
        ["training_set", "test_set"],
        ["seg_train", "seg_test", "seg_pred"],
        ["Train Images", "Validation Images"],
        ["test2017"],
    ],
)
def test_splits_by_other_names_are_no_classes(tmp_path: Path, names: Sequence[str]) -> None:
    assert "holds the splits" in refusal(folders(tmp_path, names), len(names))


def test_what_only_begins_as_a_split_is_a_class(tmp_path: Path) -> None:
    names = ["bus", "train", "trained", "tram", "valley"]
    assert labels(opened(folders(tmp_path, names), 5)) == dict(zip(names, range(5), strict=True))


def test_accents_of_macos_that_sort_otherwise_are_refused(tmp_path: Path) -> None:
    names = ["zoo", "éclair", "arc"]
    root = folders(tmp_path / "composed", names)
    assert labels(opened(root, 3)) == {"arc": 0, "zoo": 1, "éclair": 2}
    refusal(folders(tmp_path / "apart", [unicodedata.normalize("NFD", name) for name in names]), 3)


class TestOrderOfTheClassFile:
    WEIGHTS = ("tench", "goldfish", "great white shark", "tiger shark")

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(
                "kit fox\ntench, Tinca tinca\ngreat_white_shark\ngoldfish\n",
                marks=report("tensorflow/lucid#65", "a file in the devkit's order is refused for these weights"),
            ),
            pytest.param(
                json.dumps({"0": "goldfish", "1": "tench", "2": "Great White Shark", "3": "tiger shark"}),
                marks=report("keras-team/keras#10083", "a list in another order than the weights' is refused"),
            ),
            pytest.param(
                "index,wnid,name\n0,n3,tiger shark\n1,n1,tench\n2,n0,goldfish\n3,n2,great white shark\n",
                marks=report("BVLC/caffe#4106", "a CSV in another order than the weights' is refused"),
            ),
        ],
    )
    def test_another_order_than_the_weights_is_refused(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "classes.txt"
        path.write_text(text)
        assert len(read_classes(path, 4)) == 4
        with pytest.raises(EvidenceError, match="is not in the order of these weights"):
            read_classes(path, 4, self.WEIGHTS)

    @pytest.mark.skipif(not IMAGENET.exists(), reason="../shared/data is not here")
    @report("pytorch/vision#3429", "ImageNet's list and torchvision's names are in one order: accepted")
    def test_imagenet_and_torchvision(self) -> None:
        from torchvision.models import ResNet18_Weights

        names = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
        assert read_classes(IMAGENET, 1000, names).notes == ()

    @pytest.mark.skipif(not IMAGENET.exists(), reason="../shared/data is not here")
    @report("poloclub/bluff#2", "ImageNet's ids in another order than networks' outputs are told of")
    def test_ids_of_imagenet_in_another_order(self, tmp_path: Path) -> None:
        lines = [f"{entry.key} {entry.name}" for entry in read_classes(IMAGENET).entries]
        (tmp_path / "words.txt").write_text("\n".join(lines))
        assert read_classes(tmp_path / "words.txt", 1000).notes == ()
        (tmp_path / "words.txt").write_text("\n".join(reversed(lines)))
        assert "in another order than the outputs" in read_classes(tmp_path / "words.txt", 1000).notes[0]

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(
                json.dumps({"n02119789": 0, "n02100735": 1, "n02110185": 2}),
                marks=report("srebuffi/iCaRL#14", "ids that are not in sorted order are told of"),
            ),
            "n02119789\nn02110185\nn02100735\n",
            "n02119789 kit fox\nn02100735 setter\nn02110185 husky\n",
        ],
    )
    def test_ids_in_another_order_than_sorted(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "wnids.txt").write_text(text)
        (note,) = read_classes(tmp_path / "wnids.txt", 3).notes
        assert "in another order than sorted, as torchvision's ImageFolder has them" in note

    def test_names_of_another_network(self, tmp_path: Path) -> None:
        (tmp_path / "c.txt").write_text("a\nb\nc\nd\n")
        (note,) = read_classes(tmp_path / "c.txt", 4, self.WEIGHTS).notes
        assert "no name in" in note
        assert "0 is 'tench' there" in note


class TestLists:
    def listed(self, tmp_path: Path, rows: str, classes: Sequence[str] | None, count: int) -> DataSource:
        (tmp_path / "a.png").touch()
        (tmp_path / "list.csv").write_text(f"uri,label\n{rows}")
        return open_source(f"list:{tmp_path / 'list.csv'}", ClassList.from_names(classes) if classes else None, count)

    @report("open-mmlab/mmpretrain#11", "labels are indices from 0, which is said; 1000 of 1000 is refused")
    def test_indices(self, tmp_path: Path) -> None:
        source = self.listed(tmp_path, "a.png,0\nb.png,012\nc.png,25.0\n", NAMED, 26)
        assert [sample.label_id for sample in source.samples] == [0, 12, 25]
        assert source.notes == ("labels: class indices from 0 (3 different): '0' is class 0 (thing a)",)
        assert "(the least is 1)" in self.listed(tmp_path, "a.png,1\n", None, 3).notes[0]
        with pytest.raises(EvidenceError, match="line 3: label: no class '26'"):
            self.listed(tmp_path, "a.png,1\nb.png,26\n", NAMED, 26)
        with pytest.raises(EvidenceError, match="whether output 0 is a background"):
            self.listed(tmp_path, "a.png,65\n", None, 1001)

    def test_names_in_other_dress(self, tmp_path: Path) -> None:
        source = self.listed(tmp_path, "a.png,Golden_Retriever\nb.png,shih tzu\nc.png,Chihuahua\n", DOGS, 4)
        assert [sample.label_id for sample in source.samples] == [3, 2, 0]
        assert "class names without regard to case and to what separates words (2 different)" in source.notes[0]

    @pytest.mark.parametrize("label", ['"Shih-Tzu,Chihuahua"', '"golden_retriever, Shih-Tzu"'])
    def test_several_labels_are_not_the_first(self, tmp_path: Path, label: str) -> None:
        with pytest.raises(EvidenceError, match=r"line 2: label: .* names several classes; give one"):
            self.listed(tmp_path, f"a.png,{label}\n", DOGS, 4)
        assert self.listed(tmp_path, 'a.png,"Chihuahua, a dog"\n', DOGS, 4).samples[0].label_id == 0

    @pytest.mark.parametrize("label", ["-1", "nan", "None", "unlabeled"])
    def test_no_label_is_an_empty_cell(self, tmp_path: Path, label: str) -> None:
        with pytest.raises(EvidenceError, match="leave the cell empty where an image has no label"):
            self.listed(tmp_path, f"a.png,{label}\n", DOGS, 4)

    def test_names_that_are_numbers(self, tmp_path: Path) -> None:
        source = self.listed(tmp_path, "a.png,5\nb.png,0\n", ("5", "0", "7"), 3)
        assert [sample.label_id for sample in source.samples] == [0, 1]
        with pytest.raises(EvidenceError, match="line 3: label: '1' is an index and '5' the name of class 0"):
            self.listed(tmp_path, "a.png,5\nb.png,1\n", ("5", "0", "7"), 3)


class TestAccuracy:
    @pytest.mark.parametrize(
        ("labelled", "correct", "classes", "promised", "said"),
        [
            pytest.param(
                1000, 1, 1000, 0.85, "far below the 0.85", marks=report("raoyongming/DynamicViT#17", "0.1% is told of")
            ),
            pytest.param(
                50000, 527, 1000, 0.734, "far below the 0.73", marks=report("pytorch/examples#550", "1% is told of")
            ),
            pytest.param(
                500, 1, 1000, None, "no better than chance", marks=report("fra31/sparse-rs#4", "1 of 500 is told of")
            ),
            (20, 0, 1000, 0.8, "far below the 0.80"),
            (60, 25, 2, None, "no better than chance among 2 classes"),
            (60, 40, 2, None, None),
            (3, 0, 1000, 0.7, None),
            (1000, 500, 1000, 0.8, None),
            (49, 0, 10, None, None),
            (0, 0, 10, 0.8, None),
        ],
    )
    def test_far_too_low(
        self, labelled: int, correct: int, classes: int, promised: float | None, said: str | None
    ) -> None:
        note = accuracy_note(labelled, correct, classes, promised)
        assert (note is None) if said is None else (note is not None and said in note and "preprocessing" in note)

    def test_it_is_printed(self, tmp_path: Path, cli: Cli) -> None:
        data = tiny.draw_images(tmp_path / "images", 60)
        for index, path in enumerate(sorted(data.glob("*/*.png"))):
            path.rename(data / tiny.CLASSES[(index + 1) % 4] / f"{index}.png")
        run = ("index", "--model", tiny.MODEL, "--weights", "random", *tiny.INPUT, "--run", tmp_path / "run", "--json")
        shown = cli(*run, "--data", f"imagefolder:{data}")
        assert shown.code == 0, shown.stderr
        found = json.loads(shown.stdout)
        told = [note for note in found["notes"] if note.startswith("accuracy ")]
        assert bool(told) == (found["correct_count"] <= 60 / 4 + 2 * (60 / 4 * 3 / 4) ** 0.5)
        assert any(note.startswith("labels: the folders are the classes, in sorted order") for note in found["notes"])

    def test_what_weights_promise_is_compared(self, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        load = loading.load_model
        monkeypatch.setattr(pipeline, "load_model", lambda *a, **k: replace(load(*a, **k), promised_accuracy=0.99))
        data = tiny.draw_images(tmp_path / "images", 24)
        run = ("index", "--model", tiny.MODEL, "--weights", "random", *tiny.INPUT, "--json", "--data")
        shown = cli(*run, f"imagefolder:{data}", "--run", tmp_path / "run")
        assert shown.code == 0, shown.stderr
        assert "far below the 0.99 that these weights are published with" in json.loads(shown.stdout)["notes"][-1]
        attacked = cli(*run, f"imagefolder:{data}", "--run", tmp_path / "attacked", "--attack", "noise")
        assert "far below" not in attacked.stdout

    def test_torchvision_says_what_it_promises(self) -> None:
        from torchvision.models import ResNet18_Weights

        assert loading._promised(ResNet18_Weights.IMAGENET1K_V1.meta) == pytest.approx(0.69758)
        assert loading._promised({}) is None
