"""`evigraph explain` as a user calls it: the tree, the files, and one line for what is wrong."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from evigraph.graphapi.files.canvas import percent
from tests.conftest import Cli
from tests.support import tiny


@pytest.fixture
def words(images: Path, tmp_path: Path) -> list[str | Path]:
    """A right `explain` command."""
    image = images / "bee" / "0001.png"
    classes = ("--classes", tiny.class_file(tmp_path))
    return ["explain", image, "--model", tiny.MODEL, "--weights", "random", *classes, *tiny.INPUT]


def data(cli: Cli, *words: str | Path) -> dict[str, Any]:
    done = cli(*words, "--json")
    assert done.code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_tree(cli: Cli, words: list[str | Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The class first, 80 columns, no codes of colours, every drawn edge with its numbers once, and what is left."""
    monkeypatch.setenv("COLUMNS", "80")
    found = data(cli, *words, "--top", "2")["decision"]
    printed = cli(*words, "--top", "2", "--nodes", "40").stdout
    lines = printed.splitlines()
    assert lines[0] == (
        f"{found['class']['name']}  logit {found['logit']:.3f}, {percent(found['probability'])}, predicted"
    )
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in printed
    for edge in found["edges"]:
        name = f"{edge['source_layer']} {edge['source_channel']} at {edge['source_y']},{edge['source_x']}"
        numbers = (f"{edge['contribution']:.3g}", percent(edge["share"]), percent(edge["importance"]))
        one = re.compile(
            rf"── {re.escape(name)}( \*)? +{re.escape(numbers[0])} +{re.escape(numbers[1])} +{numbers[2]}$"
        )
        assert any(one.search(line) for line in lines), name
    roots = [node for node in found["nodes"] if node["layer"] == "logits"]
    left = 1 - sum(edge["share"] for edge in found["edges"] if edge["target_layer"] == "logits")
    rest = next(line for line in lines if line.startswith("└── rest"))
    assert rest.split()[1:4] == ["rest", "of", str(roots[0]["positive_count"] - 2)]
    assert percent(left) in rest
    shallow = cli(*words, "--depth", "1").stdout
    assert [line[:3] for line in shallow.splitlines() if line.startswith(("├", "└", "│"))] == ["├──"] * 3 + ["└──"]
    assert cli(*words, "--quiet").stdout == ""


def test_the_page_is_whole(cli: Cli, words: list[str | Path], tmp_path: Path) -> None:
    """Nothing from elsewhere, no script, both decisions, and a table of what is drawn."""
    page = tmp_path / "page.html"
    edge = data(cli, *words)["decision"]["edges"][0]
    done = cli(*words, "--edit", f"remove:{edge['source_layer']}/{edge['source_channel']}", "--out", page)
    assert done.code == 0, done.stderr
    assert f"wrote {page}: " in done.stdout
    text = page.read_text(encoding="utf-8")
    # An XML parser reads it, less the head that HTML allows.
    body = ElementTree.fromstring(text[text.index("<body>") : text.index("</html>")])
    assert not re.search(r"<script|\bon\w+=|javascript:", text)
    found = re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)', text)
    assert found
    assert all(one.startswith("data:image/jpeg;base64,") for pair in found for one in pair if one)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    assert [h.text for h in body.iter("h2")] == [
        *("The evidence", "Decided again without some of it", "The evidence that is left", "The edges that are drawn"),
        "How it was made",
    ]
    assert len(list(body.iter("{http://www.w3.org/2000/svg}svg"))) == 2
    for table in body.iter("table"):
        head = table.findall("thead/tr/th")
        assert all(cell.get("scope") == "col" for cell in head)
        assert {len(row) for row in table.iter("tr")} == {len(head)}
        assert table.find("caption") is not None
    (command,) = body.iter("pre")
    assert (command.text or "").startswith("evigraph explain ")
    assert f"--edit remove:{edge['source_layer']}" in (command.text or "")


def test_pictures_and_data(cli: Cli, words: list[str | Path], tmp_path: Path) -> None:
    heights = {}
    for edits in ([], ["--edit", "remove:7/1"]):
        for ending in ("svg", "png", "json"):
            out = tmp_path / f"x.{ending}"
            assert cli(*words, *edits, "--out", out, "--quiet").code == 0
        svg = ElementTree.fromstring((tmp_path / "x.svg").read_text(encoding="utf-8"))
        with Image.open(io.BytesIO((tmp_path / "x.png").read_bytes())) as png:
            size = (round(2 * float(svg.get("width", 0))), round(2 * float(svg.get("height", 0))))
            assert png.size == pytest.approx(size, abs=1)
        heights[bool(edits)] = float(svg.get("height", 0))
        stored = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
        printed = data(cli, *words, *edits)
        assert stored.pop("command") != printed.pop("command")
        assert stored == printed
    assert heights[True] > 1.5 * heights[False]


def test_the_keys_are_documented(cli: Cli, words: list[str | Path]) -> None:
    """docs/explain.md names every key, and no other."""
    page = (tiny.ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([a-z0-9_]+)`", row.split("|")[1])}
    found = data(cli, *words, "--edit", "remove:7/1", "--edit", "occlude:1/0")
    assert found["what_if"] is not None
    left_out = {"settings", "layers"}
    keys: set[str] = set()

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            keys.update(value)
            for name, inner in value.items():
                if name not in left_out:
                    visit(inner)
        elif isinstance(value, list):
            for inner in value:
                visit(inner)

    visit(found)
    assert keys == documented


def test_what_if_is_told(cli: Cli, words: list[str | Path]) -> None:
    found = data(cli, *words, "--edit", "remove:7/1")
    printed = cli(*words, "--edit", "remove:7/1").stdout
    before, after = found["decision"], found["what_if"]["decision"]
    line = next(line for line in printed.splitlines() if line.startswith("without it"))
    assert line.split()[2:4] == [f"{after['logit']:.3f}", f"{before['logit'] - after['logit']:.3f}"]
    assert "taken away: 7 channel 1, its map set to 0" in printed


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--class", "bees"], 2, "no class 'bees'; did you mean 'bee'"),
        (["--edit", "remove:8/1"], 2, "no layer '8'"),
        (["--out", "x.pdf"], 2, "--out x.pdf: the ending '.pdf' says no format; give one of .html, .svg, .png, .json"),
        (["--out", "x"], 2, "a name without an ending says no format"),
        (["--out", "-"], 2, "--out - is not for explain"),
        (["--out", "none/x.svg"], 1, "none/x.svg cannot be written"),
        (["--nodes", "0"], 2, "--nodes: 0 is not within 1 and 40"),
        (["--depth", "0"], 2, "--depth: 0 is below 1"),
        (["--data", "folder:x"], 2, "--data is given without --run"),
        (["--image", "x.png"], 2, "--image is given without --run"),
        (["--mask-threshold", ".4"], 2, "--mask-threshold is given without --merge-overlaps"),
    ],
)
def test_one_line_for_what_is_wrong(
    cli: Cli,
    words: list[str | Path],
    more: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    failed = cli(*words, *more, "--quiet")
    assert failed.code == code, failed.stderr
    assert said in failed.error
    assert [file.name for file in tmp_path.iterdir()] == ["classes.txt"]


def test_an_image_of_a_run(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli(*index_words, "--run", run, "--top", "5").code == 0
    done = cli("explain", "--run", run, "--image", "bee/0001.png", "--top", "1")
    assert "note: the run stores the same: " in done.stdout
    assert "bee/0001.png, run run" in done.stdout
    whole = data(cli, "explain", "--run", run, "--image", "bee/0001.png")
    assert {edge["rank"] for edge in whole["decision"]["edges"]} == set(range(5))
    failed = cli("explain", "--run", run, "--image", "bee/1.png")
    assert (failed.code, "no image 'bee/1.png'" in failed.error) == (2, True)
