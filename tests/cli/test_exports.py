"""`evigraph export edges` and `graph`: formats, standard output, and what is said of them."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

from evigraph.graphapi.files import formats
from evigraph.outputs import STANDARD_OUTPUT, format_of, write
from evigraph.schema.errors import EvidenceError, UsageError
from tests.conftest import Cli
from tests.support import tiny

READERS: dict[str, Callable[[Path], Any]] = {
    "parquet": pyarrow.parquet.read_table,
    "pq": pyarrow.parquet.read_table,
    "arrow": pyarrow.feather.read_table,
    "feather": pyarrow.feather.read_table,
    "arrows": lambda path: pa.ipc.open_stream(path.read_bytes()).read_all(),
    "CSV": pyarrow.csv.read_csv,
}


def test_the_ending_is_the_format(cli: Cli, published: Path, tmp_path: Path) -> None:
    """Whatever the ending, a reader of that format reads it; the number of rows is printed."""
    counts = set()
    for ending, read in READERS.items():
        out = tmp_path / f"edges.{ending}"
        outcome = cli("export", "edges", "--db", published, "--out", out)
        assert outcome.code == 0, outcome.stderr
        table = read(out)
        counts.add(table.num_rows)
        assert outcome.stdout.startswith(f"wrote {out}: {table.num_rows:,} edges, ")
    assert len(counts) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"edges.{ending}" for ending in READERS)


def test_standard_output(cli: Cli, published: Path) -> None:
    """CSV if nothing else is said; what was written is told on standard error."""
    outcome = cli("export", "edges", "--db", published, "--image", "images/0001.png", "--out", "-")
    rows = list(csv.DictReader(io.StringIO(outcome.stdout)))
    assert {row["image_uri"] for row in rows} == {"images/0001.png"}
    assert {row["label"] for row in rows} == {"bee"}
    assert outcome.stderr.startswith(f"wrote {len(rows):,} edges, ")
    assert outcome.stderr.endswith(" kB as csv to standard output\n")
    quiet = cli("export", "edges", "--db", published, "--image", "images/0001.png", "--out", "-", "--quiet")
    assert (quiet.stdout, quiet.stderr) == (outcome.stdout, "")
    assert cli("export", "graph", "--db", published, "--class", "ant", "--out", "-").stdout.startswith("{\n")


def test_layer_is_source_layer(cli: Cli, published: Path) -> None:
    words = ("export", "edges", "--db", published, "--out", "-", "--quiet")
    by_name = [cli(*words, option, "4").stdout for option in ("--layer", "--source-layer")]
    assert by_name[0] == by_name[1]
    assert {row["source_layer"] for row in csv.DictReader(io.StringIO(by_name[0]))} == {"4"}
    assert cli(*words, "--target-layer", "logits", "--source-layer", "1").code == 2


@pytest.mark.slow
def test_a_pipe_carries_every_byte_and_may_end_early(published: Path) -> None:
    words = tiny.command("export", "edges", "--db", published, "--out", "-")
    whole = subprocess.run([*words, "--format", "arrow"], capture_output=True, env=tiny.environment(), check=True)
    assert pa.ipc.open_stream(whole.stdout).read_all().num_rows > 100
    command = f"set -o pipefail; {' '.join(words)} --quiet | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, env=tiny.environment(), check=False, text=True)
    assert done.stdout.startswith('"run","decision_id",')
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("out", "stated", "answer"),
    [
        ("x.csv", None, "csv"), ("x.parquet", None, "parquet"), ("x.arrow", None, "feather"),
        ("x.arrows", None, "arrow"), ("x.arrow", "arrow", "arrow"),
        ("x", "csv", "csv"), ("x.txt", "csv", "csv"), ("-", None, "csv"),
        ("-", "parquet", "parquet"), ("X.PARQUET", None, "parquet"), ("a.b.csv", "csv", "csv"),
    ],
)  # fmt: skip
def test_formats(out: str, stated: str | None, answer: str) -> None:
    assert format_of(Path(out), stated, formats.ENDINGS, "csv") == answer


@pytest.mark.parametrize(
    ("out", "stated", "message"),
    [
        ("x.csv", "parquet", "--format parquet and --out x.csv disagree: .csv is csv; leave --format out, or name the "
         "file x.parquet"),
        ("x.parquet", "arrow", "name the file x.arrows"),
        ("x.xlsx", None, "'.xlsx' says no format; give one of .parquet, .csv, .arrows, .feather, or --format"),
        ("x.csv.gz", None, "the ending '.gz' says no format"),
        ("x", None, "a name without an ending says no format"),
    ],
)  # fmt: skip
def test_formats_that_are_refused(out: str, stated: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        format_of(Path(out), stated, formats.ENDINGS, "csv")


def test_devices_are_written_to_and_stay(tmp_path: Path) -> None:
    assert write(Path("/dev/null"), [b"abc", b"de"]) == 5
    assert Path("/dev/null").is_char_device()
    with pytest.raises(EvidenceError, match="/dev/full cannot be written: No space left"):
        write(Path("/dev/full"), [b"abc"])
    with pytest.raises(ValueError, match="torn"):
        write(tmp_path / "x.csv", _torn())
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_gets_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(UsageError, match="standard output is a terminal; pipe it on"):
        write(STANDARD_OUTPUT, [b"PAR1"], is_text=False)


def _torn() -> Iterator[bytes]:
    yield b"a"
    raise ValueError("torn")
