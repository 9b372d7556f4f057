"""Odd trees of data, drawn by number: each is listed with the right labels and pixels, or refused in one line.

The generator knows what is right, since it draws the labels and pixels first and the files from them; it shares no code
with what reads them. `must` says that a tree can be read for certain, `never` that nobody could know its labels; others
may be read rightly or be refused.
"""

from __future__ import annotations

import io
import json
import os
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from evigraph.indexer.data.classes import ClassList, read_classes
from evigraph.indexer.data.loader import iterate_batches
from evigraph.indexer.data.preprocess import Preprocessing
from evigraph.indexer.data.samples import DataSource
from evigraph.indexer.data.sources import open_source
from evigraph.schema.errors import EvidenceError
from tests.support import FUZZ

SIDE = 8
NAMES = [
    *("tench", "Golden Retriever", "great white shark", "café au lait", "Übung", "black-footed albatross", "jay"),
    *("C++", "T-shirt", "naïve", "ski mask", "Chevrolet Impala", "dalmatian, coach dog", "日本", "ice_cream", "hen"),
]
Random = np.random.Generator
T = TypeVar("T")


@dataclass
class Tree:
    """A tree on the disk and what is right of it."""

    root: Path
    outside: Path
    spec: str = ""
    class_count: int = 1
    names: list[str] | None = None
    """Of the weights, where they have any."""
    class_file: Path | None = None
    labels: dict[str, int | None] = field(default_factory=dict)
    """By uri, of every file that must be listed."""
    pixels: dict[str, np.ndarray] = field(default_factory=dict)
    """(side, side, 3) by uri; files without are to be skipped."""
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    """Names of labels, (side, side), by uri; "" is void."""
    unnamed: set[int] = field(default_factory=set)
    must: bool = True
    never: bool = False


# Images


def drawn(random: Random, mode: str) -> Image.Image:
    shape = {"RGB": (3,), "RGBA": (4,), "CMYK": (4,), "LA": (2,)}.get(mode, ())
    values = random.integers(0, 256, (SIDE, SIDE, *shape), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray((values.astype(np.uint16) << 8) + 77)
    if mode in ("1", "P"):
        coloured = Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))
        return coloured.quantize(16) if mode == "P" else Image.fromarray(values > 127)
    return Image.fromarray(values, mode=None)


def rgb(image: Image.Image, content: bytes, lossless: bool) -> np.ndarray:
    """What the network should see of an image, made from what was drawn, or from what a lossy file holds."""
    if not lossless:
        with Image.open(io.BytesIO(content)) as stored:
            return np.array(stored.convert("RGB"))
    values: np.ndarray = np.asarray(image)
    if image.mode == "I;16":
        values = (values >> 8).astype(np.uint8)
    if image.mode == "P":
        palette = np.zeros((256, 3), dtype=np.uint8)
        flat = np.array(image.getpalette(), dtype=np.uint8).reshape(-1, 3)
        palette[: len(flat)] = flat
        return np.array(palette[values])
    if image.mode == "1":
        values = values.astype(np.uint8) * 255
    if values.ndim == 2:
        return np.stack([values] * 3, axis=2)
    return np.stack([values[:, :, 0]] * 3, axis=2) if image.mode == "LA" else values[:, :, :3]


FILES: list[tuple[str, str, str, dict[str, Any]]] = [
    *(
        (suffix, "PNG", mode, {})
        for suffix in (".png", ".PNG")
        for mode in ("RGB", "L", "LA", "RGBA", "P", "1", "I;16")
    ),
    *((suffix, "JPEG", mode, {}) for suffix in (".jpg", ".JPG", ".jpe", ".jfif", ".Jpeg") for mode in ("RGB", "L")),
    *((suffix, "TIFF", mode, {}) for suffix in (".tif", ".TIFF") for mode in ("RGB", "L", "RGBA", "I;16")),
    *((suffix, "JPEG2000", mode, {"irreversible": False}) for suffix in (".jp2", ".j2k") for mode in ("RGB", "L")),
    (".webp", "WEBP", "RGB", {"lossless": True}),
    (".bmp", "BMP", "RGB", {}),
    (".ppm", "PPM", "RGB", {}),
    (".pgm", "PPM", "L", {}),
    (".tga", "TGA", "RGB", {}),
    (".pcx", "PCX", "RGB", {}),
    (".GIF", "GIF", "P", {}),
    (".avif", "AVIF", "RGB", {}),
    (".qoi", "QOI", "RGB", {}),
    (".jpg", "PNG", "RGB", {}),  # called what it is not
    (".png", "JPEG", "RGB", {}),
]
FILES = [one for one in FILES if (one[1] in Image.SAVE or Image.init()) and one[1] in Image.SAVE]


def encoded(random: Random) -> tuple[str, bytes, np.ndarray]:
    suffix, kind, mode, options = FILES[random.integers(len(FILES))]
    image = drawn(random, mode)
    if kind == "PNG" and random.random() < 0.3:
        texts = PngImagePlugin.PngInfo()
        texts.add_text("notes", "x" * 3_000_000, zip=True)
        options = {"pnginfo": texts}
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    content = buffer.getvalue()
    if kind == "PNG" and random.random() < 0.2:  # a damaged colour profile
        chunk = b"iCCP" + b"icc\0\0" + zlib.compress(b"nonsense" * 9)[:-3]
        at = 33  # behind IHDR
        content = content[:at] + (len(chunk) - 4).to_bytes(4, "big") + chunk + b"\1\2\3\4" + content[at:]
    return suffix, content, rgb(image, content, kind not in ("JPEG", "AVIF"))


ODD_STEMS = (
    "a b",
    "what?",
    "50%",
    "x#1",
    "quote'd",
    'say "x"',
    "line\nbreak",
    "naïve",
    "日本",
    "a.b.c",
    "-dash",
    "a\\b",
)


def put_image(random: Random, tree: Tree, folder: str, label: int | None, stem: str | None = None) -> str:
    """An image, or at times a file that is to be skipped, in a folder; its uri."""
    suffix, content, pixels = encoded(random)
    if stem is None:
        stem = f"{len(tree.labels):03d}" + (ODD_STEMS[random.integers(len(ODD_STEMS))] if random.random() < 0.3 else "")
    uri = f"{folder}/{stem}{suffix}" if folder else f"{stem}{suffix}"
    path = tree.root / uri
    path.parent.mkdir(parents=True, exist_ok=True)
    damage = random.random()
    if damage < 0.04:
        content = b""
    elif damage < 0.08:
        content = (
            content[: len(content) // 2] if suffix.lower() == ".png" and content[:4] == b"\x89PNG" else b"no image"
        )
    elif damage < 0.1:
        path.symlink_to(tree.root / "absent" / "gone.png")
    if not path.is_symlink():
        path.write_bytes(content)
    tree.labels[uri] = label
    if damage >= 0.1:
        tree.pixels[uri] = pixels
    return uri


def sprinkle(random: Random, root: Path) -> None:
    """What systems and people leave in folders, none of which is an image or a class."""
    junk = [
        *("__MACOSX/._a.png", ".git/a.png", ".ipynb_checkpoints/b.png", "@eaDir/c.jpg", "lost+found/d.png"),
        *("Thumbs.db", "desktop.ini", ".DS_Store", "._000.png", "README", "notes.txt", "data.h5", "film.mpg", "x.pdf"),
    ]
    for name in junk:
        if random.random() < 0.25:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"junk")
    if random.random() < 0.2:
        (root / "up").symlink_to(root)
    if random.random() < 0.1:
        (root / os.fsdecode(b"caf\xe9.png")).write_bytes(b"junk")


# Names of folders and labels


def variant(random: Random, name: str) -> str:
    """A class's name as somebody else writes it."""
    ways: list[Callable[[str], str]] = [
        lambda text: text,
        str.upper,
        str.lower,
        lambda text: text.replace(" ", "_"),
        lambda text: text.replace(" ", "-").replace("_", " "),
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: unicodedata.normalize("NFC", text),
    ]
    return ways[random.integers(len(ways))](name)


def wnids(random: Random, count: int) -> list[str]:
    return [f"n{number:08d}" for number in sorted(random.choice(99_999_999, count, replace=False).tolist())]


def write_classes(random: Random, path: Path, names: list[str], keys: list[str] | None) -> Path:
    """A class file of any shape; with keys where there are any."""
    indices = range(len(names))
    quoted = [f'"{name}"' for name in names]
    shapes: dict[str, Callable[[], str]] = {
        "lines.txt": lambda: "\n".join(names),
        "numbered.txt": lambda: "\n".join(f"{i}: {name}" for i, name in enumerate(names)),
        "spaced.txt": lambda: "\n".join(f"{i} {name}" for i, name in enumerate(names)),
        "tabbed.txt": lambda: "\n".join(f"{i}\t{names[i]}" for i in reversed(indices)),
        "last.txt": lambda: "\n".join(f"{name} {i}" for i, name in enumerate(names)),
        "list.json": lambda: json.dumps(names),
        "dict.json": lambda: json.dumps({str(i): name for i, name in enumerate(names)}),
        "to_idx.json": lambda: json.dumps({names[i]: i for i in reversed(indices)}),
        "config.json": lambda: json.dumps({"model_type": "x", "id2label": {str(i): n for i, n in enumerate(names)}}),
        "gist.txt": lambda: "{" + ",\n ".join(f"{i}: {name!r}" for i, name in enumerate(names)) + "}",
        "code.py": lambda: f"classes = {tuple(names)!r}".replace("(", "[", 1)[:-1] + "]",
        "data.yaml": lambda: "nc: 3\nnames:\n" + "\n".join(f"  {i}: {q}" for i, q in enumerate(quoted)),
        "dashes.yml": lambda: "names:\n" + "\n".join(f"- {q}" for q in quoted) + "\nnc: 3",
        "table.csv": lambda: "index,name\n" + "\n".join(f"{i},{quoted[i]}" for i in reversed(indices)),
        "semicolons.csv": lambda: "index;name\n" + "\n".join(f"{i};{q}" for i, q in enumerate(quoted)),
    }
    if keys is not None:
        pairs = list(zip(keys, names, strict=True))
        shapes = {
            "keras.json": lambda: json.dumps({str(i): pair for i, pair in enumerate(pairs)}),
            "synset_words.txt": lambda: "\n".join(f"{key} {name}" for key, name in pairs),
            "table.csv": lambda: "index,wnid,name\n" + "\n".join(f'{i},{k},"{n}"' for i, (k, n) in enumerate(pairs)),
            "tabs.tsv": lambda: "index\twnid\tname\n" + "\n".join(f"{i}\t{k}\t{n}" for i, (k, n) in enumerate(pairs)),
        }
    chosen = sorted(shapes)[random.integers(len(shapes))]
    encoding = ("utf-8", "utf-8", "utf-8-sig", "utf-16")[random.integers(4)]
    text = shapes[chosen]() + ("\n" if random.random() < 0.5 else "")
    file = path / chosen
    file.write_bytes((text.replace("\n", "\r\n") if random.random() < 0.3 else text).encode(encoding))
    return file


# Trees


def folders_by_index(random: Random, tree: Tree) -> list[str]:
    count = tree.class_count = int(random.integers(2, 25))
    style = ("{}", "{:03d}", "class_{:03d}", "Class {}", "label-{}", "cls{}", "{:05d}")[random.integers(7)]
    shift = int(random.random() < 0.25)
    if random.random() < 0.5:
        tree.names = [f"thing {chr(97 + i)}" for i in range(count)]
    # numbers from 1 are those of sorted folders where text has their order, and otherwise of nobody knows what
    folders = [style.format(i + shift) for i in range(count)]
    tree.must = shift == 0
    tree.never = shift == 1 and (tree.names is not None or sorted(folders) != folders)
    return folders


def folders_in_part(random: Random, tree: Tree) -> list[str]:
    count = tree.class_count = int(random.integers(30, 60))
    missing = {int(i) for i in random.choice(count, 20, replace=False)} - {0, count - 1}
    return ["" if i in missing else f"{i:{('d', '04d')[count % 2]}}" for i in range(count)]


def folders_by_name(random: Random, tree: Tree) -> list[str]:
    names = [NAMES[i] for i in random.permutation(len(NAMES))[: random.integers(2, 9)]]
    tree.class_count = len(names)
    if random.random() < 0.5:
        tree.names = names
    else:
        tree.class_file = write_classes(random, tree.outside, names, None)
    return [variant(random, name) for name in names]


def folders_numbered_and_named(random: Random, tree: Tree) -> list[str]:
    names = [NAMES[i] for i in random.permutation(len(NAMES))[: random.integers(2, 9)]]
    tree.class_count, tree.names = len(names), names
    numbers = [int(n) + int(random.integers(2)) for n in random.permutation(len(names))]
    style = ("{:03d}.{}", "{}_{}", "{} {}", "{}-{}")[random.integers(4)]
    tree.must = len(set(numbers)) == len(numbers)
    return [style.format(number, name.replace(" ", "_")) for number, name in zip(numbers, names, strict=True)]


def folders_of_wnids(random: Random, tree: Tree) -> list[str]:
    count = tree.class_count = int(random.integers(2, 9))
    names, keys = NAMES[:count], wnids(random, count)
    keys = [keys[i] for i in random.permutation(count)]
    known = random.random()
    if known < 0.6:
        tree.class_file = write_classes(random, tree.outside, names, keys)
    elif known < 0.8:
        tree.names = names
    tree.must, tree.never = known < 0.6, known >= 0.6
    if random.random() < 0.3:
        tree.must, tree.never = known < 0.8, known >= 0.8
        return [f"{key} {name.partition(',')[0]}" for key, name in zip(keys, names, strict=True)]
    return keys


def folders_in_sorted_order(random: Random, tree: Tree) -> list[str]:
    names = sorted({unicodedata.normalize("NFC", name) for name in NAMES[: random.integers(2, 12)]})
    tree.class_count = len(names)
    if random.random() < 0.3:
        tree.names = [f"other {chr(122 - i)}" for i in range(len(names))]
        tree.must, tree.never = False, True
    return names


def folders_of_odd_names(random: Random, tree: Tree) -> list[str]:
    """Names that look like numbers and are none: in sorted order, or refused."""
    pool = (
        "-1",
        "-0",
        "+2",
        "1.5",
        ".5",
        "1e3",
        "0x1",
        "[0]",
        "(1)",
        "10 9",
        "a",
        "A",
        "_",
        "n1",
        "x-",
        "²",
        "１",
        "7up",
    )
    names = sorted(str(name) for name in random.choice(pool, random.integers(2, 8), replace=False))
    tree.class_count, tree.must = len(names), False
    return names


def folders_of_a_file_in_another_order(random: Random, tree: Tree) -> list[str]:
    names = [NAMES[i] for i in random.permutation(len(NAMES))[: random.integers(2, 9)]]
    tree.class_count = len(names)
    tree.class_file = write_classes(random, tree.outside, names, None)
    tree.names = [names[i] for i in random.permutation(len(names))]
    tree.must, tree.never = tree.names == names, tree.names != names
    return [variant(random, name) for name in names]


FOLDERS = (
    folders_of_odd_names,
    folders_of_a_file_in_another_order,
    folders_by_index,
    folders_in_part,
    folders_by_name,
    folders_numbered_and_named,
    folders_of_wnids,
    folders_in_sorted_order,
)


def draw_imagefolder(random: Random, tree: Tree) -> None:
    folders = FOLDERS[random.integers(len(FOLDERS))](random, tree)
    tree.spec = f"imagefolder:{tree.root}"
    for label, folder in enumerate(folders):
        if folder:
            for _ in range(random.integers(1, 3)):
                put_image(random, tree, folder + ("/deeper/still" if random.random() < 0.15 else ""), label)
            if random.random() < 0.3:
                sprinkle(random, tree.root / folder)
    sprinkle(random, tree.root)
    if random.random() < 0.1:  # an image of no class
        (tree.root / "stray.png").write_bytes(encoded(random)[1])


def draw_folder(random: Random, tree: Tree) -> None:
    tree.spec, tree.class_count = f"folder:{tree.root}", 3
    for _ in range(random.integers(1, 6)):
        put_image(random, tree, ("", "sub", "a?b/c d", "thumbs")[random.integers(4)], None)
    sprinkle(random, tree.root)


def draw_list(random: Random, tree: Tree) -> None:
    names = [name for name in NAMES if "," not in name][: random.integers(2, 9)]
    tree.class_count, by_index = len(names), random.random() < 0.4
    if not by_index or random.random() < 0.5:
        tree.names = names
    mark = (",", ";", "\t")[random.integers(3)]
    headed = random.random() < 0.8
    absolute = random.random() < 0.2
    lines = [mark.join(("uri", "label"))] if headed else []
    for _ in range(random.integers(1, 9)):
        label: int | None = int(random.integers(len(names)))
        stem = f"{len(tree.labels)}" + ("", " b", "é", "?#%")[random.integers(4)]
        uri = put_image(random, tree, ("", "sub dir", "é")[random.integers(3)], label, stem)
        text = str(label) if by_index else variant(random, names[label or 0])
        if headed and random.random() < 0.1:
            tree.labels[uri], text = None, ""
        written = uri
        if absolute:
            written = f"{tree.root.resolve()}/{uri}"
            if random.random() < 0.3:
                written = "file://" + written.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
        elif random.random() < 0.2 and "\\" not in uri:
            written = uri.replace("/", "\\")
        elif random.random() < 0.2:
            written = unicodedata.normalize("NFD", uri)
        lines.append(mark.join((written, text)))
    sprinkle(random, tree.root)
    path = tree.root / ("list.csv", "my list?.txt")[random.integers(2)]
    encoding = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1")[random.integers(5)]
    if encoding == "latin-1":
        try:
            ascii_alone = "\n".join(lines).encode("latin-1").isascii()
        except UnicodeEncodeError:
            encoding, ascii_alone = "utf-8", True
        tree.must, tree.never = ascii_alone, not ascii_alone
    refused = random.random()
    if refused < 0.05:
        lines.append(mark.join(("https://example.org/a.png", lines[-1].rpartition(mark)[2])))
        tree.must, tree.never = False, True
    elif refused < 0.1:
        lines.append(mark.join(("sub/z.png", str(len(names)))))
        tree.must, tree.never = False, True
    path.write_bytes("\n".join(lines).encode(encoding))
    tree.spec = f"list:{path}"


def draw_scenes(random: Random, tree: Tree) -> None:
    """Masks of indices or colours; as VOC's folders or as those of scenes."""
    tree.class_count, cvat, voc = 3, random.random() < 0.5, random.random() < 0.5
    images, masks = ("JPEGImages", "SegmentationClass") if voc else ("images", "masks")
    values = sorted(int(v) for v in random.choice(250, 4, replace=False))
    names = dict(zip(values, ("sky", "sea", "", "background"), strict=True))  # the third is in no list
    colours = {value: (value, 255 - value, value // 2) for value in values}
    for _ in range(random.integers(1, 5)):
        uri = put_image(random, tree, images, None)
        drawn_values = random.choice(values, (SIDE, SIDE))
        mask: Image.Image = Image.fromarray(drawn_values.astype(np.uint8))
        if cvat:
            mask = Image.fromarray(
                np.array([[colours[v] for v in row] for row in drawn_values.tolist()], dtype=np.uint8)
            )
            if random.random() < 0.3:
                mask = mask.quantize(16)
        elif random.random() < 0.3:
            mask = Image.frombytes("P", (SIDE, SIDE), drawn_values.astype(np.uint8).tobytes())
            mask.putpalette([int(v) for v in random.integers(0, 256, 768)])
        stem, suffix = uri.removeprefix(f"{images}/").rpartition(".")[0], (".png", ".PNG", ".bmp")[random.integers(3)]
        if random.random() < 0.3:
            stem = stem.upper()
        (tree.root / masks).mkdir(exist_ok=True)
        mask.save(tree.root / masks / f"{stem}{suffix}", format="BMP" if suffix == ".bmp" else "PNG")
        tree.maps[uri] = np.array([[names[v] for v in row] for row in drawn_values.tolist()])
        if uri in tree.pixels and values[2] in drawn_values:
            r, g, b = colours[values[2]]
            tree.unnamed.add(r * 65536 + g * 256 + b if cvat else values[2])
    if cvat:
        lines = [f"{name}:{','.join(map(str, colours[v]))}::" for v, name in names.items() if name]
        (tree.root / "labelmap.txt").write_text("\n".join(["# label:color_rgb:parts:actions", *lines]))
    else:
        lines = [f"{value},{name}" for value, name in names.items() if name]
        (tree.root / "classes.csv").write_text("\n".join(["mask_value,name", *lines]))
    sprinkle(random, tree.root / images)
    sprinkle(random, tree.root / masks)
    tree.spec = f"{'voc' if voc else 'scenes'}:{tree.root}"


DRAW = (draw_imagefolder, draw_imagefolder, draw_imagefolder, draw_folder, draw_list, draw_list, draw_scenes)


def tried(read: Callable[[], T]) -> tuple[T | None, str]:
    """What is read, or why it is refused; any other exception is a failure."""
    try:
        return read(), ""
    except EvidenceError as error:
        return None, str(error)


def opened(tree: Tree) -> DataSource:
    classes = ClassList.from_names(tree.names) if tree.names else None
    if tree.class_file is not None:
        classes = read_classes(tree.class_file, tree.class_count, tree.names)
    return open_source(tree.spec, classes, tree.class_count)


@pytest.mark.parametrize("seed", range(FUZZ))
def test_a_tree_is_read_rightly_or_refused(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    tree = Tree(tmp_path / ("data", "da?ta", "my data", "dä#ta")[random.integers(4)], tmp_path / "outside")
    tree.root.mkdir()
    tree.outside.mkdir()
    DRAW[random.integers(len(DRAW))](random, tree)
    source, refused = tried(lambda: opened(tree))
    if source is None:
        assert "\n" not in refused
        assert not tree.must, refused
    else:
        assert not tree.never, (sorted(tree.labels), source.notes)
        _check(tree, source)


def _check(tree: Tree, source: DataSource) -> None:
    assert all("\n" not in note for note in source.notes)
    at = {os.path.relpath(os.path.abspath(source.path(s.uri)), tree.root): s for s in source.samples}  # noqa: PTH100
    assert {uri: sample.label_id for uri, sample in at.items()} == tree.labels
    assert [sample.uri for sample in source.samples] == sorted(sample.uri for sample in source.samples)
    uri_of = {sample.uri: uri for uri, sample in at.items()}
    preprocessing = Preprocessing(None, SIDE, mean=(0, 0, 0), std=(1, 1, 1), pixel_scale=255)
    (batch,) = iterate_batches(source, preprocessing, range(len(source.samples)), batch_size=10_000)
    used = [uri_of[source.samples[i].uri] for i in batch.image_ids.tolist()]
    skipped = {uri_of[source.samples[i].uri]: reason for i, reason in batch.skipped}
    assert set(used) == tree.pixels.keys(), skipped
    for uri, pixels in zip(used, batch.pixels, strict=True):
        assert (pixels.permute(1, 2, 0).numpy() == tree.pixels[uri]).all(), uri
    if tree.maps:
        assert batch.maps is not None
        for uri, found in zip(used, batch.maps.tolist(), strict=True):
            assert [[source.context_labels.get(i, "") for i in row] for row in found] == tree.maps[uri].tolist(), uri
    assert {value for value, _ in batch.unnamed} == tree.unnamed


LISTS = {
    "classes.csv": 'index,wnid,name\n0,n01440764,tench\n1,n01443537,"goldfish, Carassius"\n2,n01484850,shark\n',
    "names.txt": "0: tench\n1: goldfish\n2: shark\n",
    "words.txt": "n01440764 tench, Tinca tinca\nn01443537 goldfish\nn01484850 shark\n",
    "dict.json": '{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"], "2": ["n01484850", "shark"]}',
    "gist.txt": "{0: 'tench, Tinca tinca',\n 1: \"goldfish\",\n 2: 'shark'}",
    "data.yaml": "names:\n  0: tench\n  1: 'goldfish'\n  2: shark\n",
    "flow.yaml": "nc: 3\nnames: ['tench', \"goldfish\", shark]\n",
}
PARTS = (
    "\n",
    "\r",
    ",",
    ";",
    "\t",
    ":",
    '"',
    "'",
    "[",
    "]",
    "{",
    "}",
    "0",
    "9" * 5000,
    "-",
    " ",
    "é",
    "\0",
    "\ufeff",
    "[" * 5000,
)


@pytest.mark.parametrize("seed", range(FUZZ))
def test_damaged_text_is_read_or_refused_in_one_line(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    for name, text in LISTS.items():
        for _ in range(5):
            content = bytearray(text.encode())
            for _ in range(random.integers(1, 4)):
                at = int(random.integers(len(content)))
                part = PARTS[random.integers(len(PARTS))].encode(("utf-8", "latin-1")[random.random() < 0.1], "replace")
                content[at : at + int(random.integers(4))] = part
            (tmp_path / name).write_bytes(content)
            for read in (lambda path: read_classes(path, 3), lambda path: open_source(f"list:{path}", None, 3)):
                _, refused = tried(partial(read, tmp_path / name))
                assert "\n" not in refused
