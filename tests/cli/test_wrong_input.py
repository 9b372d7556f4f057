"""Every wrong input gives one line, exit code 1 or 2, and leaves nothing half-written."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import torch
from safetensors.torch import save_file

from evigraph.schema.database import resolve
from tests.conftest import Cli
from tests.support import tiny
from tests.support.synthetic import synthetic_run


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--model", "vgg61"], 2, "no model 'vgg61'; did you mean 'vgg11' or 'vgg13' or 'vgg16'"),
        (["--model", "timm:resnet_18"], 2, "no timm model 'resnet_18'; did you mean 'resnet18'"),
        (["--model", "no.such.module:factory"], 1, "cannot import 'no.such.module'"),
        (["--model", "tests.support.tiny:netwrk"], 2, "no factory 'netwrk'; did you mean 'network'"),
        (["--model", "tests.support.tiny:draw_images"], 1, "draw_images"),
        (["--model", ":network"], 1, "--model :network: cannot import ''"),
        (["--model", "tests.support.tiny:broken"], 1, "the factory failed, KeyError: 'no such width'"),
        (["--model", "builtins:dict"], 1, "the factory returned dict"),
        (["--weights", "IMAGENET1K"], 2, "(give random, own, a .safetensors or .pth file)"),
        (["--model", "alexnet", "--weights", "IMAGENET1K_V9"], 2, "did you mean 'IMAGENET1K_V1'"),
        (["--weights", "missing.safetensors"], 1, "weights file missing.safetensors does not exist"),
        (["--layers", "0,33"], 2, "no layer '33'"),
        (["--layers", "4,1"], 2, "out of order: '1' does not depend on '4'"),
        (["--layers", "1,1"], 2, "names '1' twice"),
        (["--layers", "1,,4"], 2, "--layers '1,,4' has an empty name"),
        (["--data", "imagefolder:missing"], 1, "missing"),
        (["--data", "photos:x"], 2, "unknown kind of data 'photos:x'; give one of ade20k:DIR, coco-stuff:DIR"),
        (["--data", "imagefolder"], 2, "data 'imagefolder' names no place; give imagefolder:DIR"),
        (["--classes", "missing.txt"], 1, "missing.txt"),
        (["--mean", ".5,.5"], 2, "mean"),
        (["--mean", "a,b,c"], 2, "mean 'a,b,c' is not three numbers"),
        (["--std", "0,1,1"], 2, "must be above 0"),
        (["--pixel-scale", "2"], 2, "'2' is not one of '1', '255'; see"),
        (["--interpolation", "cubic"], 2, "'cubic' is not one of 'bilinear', 'bicubic', 'nearest'; see"),
        (["--channel-order", "rbg"], 2, "'rbg' is not one of 'rgb', 'bgr'"),
        (["--mask-threshold", "1"], 2, "--mask-threshold 1.0 is out of range"),
        (["--top", "0"], 2, "'--top': Input should be greater than or equal to 1, not '0'; see evigraph index --help"),
        (["--device", "tpu"], 2, "Invalid value for '--device': 'tpu' is not one of 'cpu', 'cuda'; see"),
        (["--attack", "pgd", "--attack-target", "4"], 2, "--attack-target 4 is no class; the network has 0 to 3"),
        (["--eps", "8/255"], 2, "--eps is given without --attack, so it would do nothing; give --attack too"),
        (["--verify-layer", "1"], 2, "--verify-layer is given without --verify"),
        (["--max-maps", "9"], 2, "--max-maps is given without --maps"),
        (["--limit", "0"], 2, "--limit"),
        (["--batch-size", "many"], 2, "--batch-size"),
        (["--crop", "2"], 1, "cannot run on an input of (1, 3, 2, 2)"),
        (["--nonsense"], 2, "No such option: --nonsense"),
    ],
)
def test_index_refuses(
    cli: Cli, index_words: list[str], tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    if words[1:2] == ["timm:resnet_18"]:
        pytest.importorskip("timm", reason="the optional extra timm is not installed")
    outcome = cli(*index_words, "--run", tmp_path / "run", *words)
    assert said in outcome.error
    assert outcome.code == code
    assert outcome.stdout == ""
    assert not (tmp_path / "run").exists()


def test_near_layer_names_are_offered(cli: Cli, images: Path, tmp_path: Path) -> None:
    outcome = cli(
        *("index", "--model", "vgg11", "--weights", "random", "--data", f"imagefolder:{images}"),
        *("--run", tmp_path / "run", "--crop", "32", "--layers", "conv4_4"),
    )
    assert "no layer 'conv4_4'; did you mean 'conv4_" in outcome.error
    assert "(the default layers are conv1_1, conv2_1, conv3_2, conv4_2, conv5_2)" in outcome.error
    assert outcome.code == 2


def test_index_refuses_weights_that_do_not_fit(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    other = torch.nn.Sequential(torch.nn.Conv2d(3, 7, 5), torch.nn.Flatten())
    save_file(other.state_dict(), tmp_path / "other.safetensors")
    outcome = cli(*index_words, "--run", tmp_path / "run", "--weights", tmp_path / "other.safetensors")
    assert "do not fit Sequential" in outcome.error
    assert outcome.code == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", b"no tensors at all", b"\x80\x04\x95", b"\xff" * 64])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_index_refuses_damaged_weights(
    cli: Cli, index_words: list[str], tmp_path: Path, content: bytes, suffix: str
) -> None:
    weights = tmp_path / f"weights.{suffix}"
    weights.write_bytes(content)
    outcome = cli(*index_words, "--run", tmp_path / "run", "--weights", weights)
    assert "cannot be read as a state dict" in outcome.error
    assert outcome.code == 1


def test_index_refuses_pickled_weights(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    """Without torch's own advice, which is to run whatever the file holds."""
    torch.save(tiny.network(), tmp_path / "whole.pth")
    outcome = cli(*index_words, "--run", tmp_path / "run", "--weights", tmp_path / "whole.pth")
    assert "it is no file of tensors alone; give a .safetensors file, or a .pth that torch.save(" in outcome.error
    assert "weights_only" not in outcome.error
    assert outcome.code == 1


def test_index_refuses_a_file_as_run_folder(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for run in (tmp_path / "notes.txt", tmp_path / "notes.txt" / "run"):
        outcome = cli(*index_words, "--run", run)
        assert "cannot be written: " in outcome.error
        assert "give another --run folder" in outcome.error
        assert outcome.code == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_index_starts_no_more_workers_than_there_are_batches(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    # So many processes could not be started; eight images of a batch need one.
    words = [*index_words, "--workers", "1000000", "--limit", "8", "--batch-size", "8"]
    assert cli(*words, "--run", tmp_path / "run", "--quiet").code == 0


def test_index_refuses_an_empty_folder(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    outcome = cli(*index_words, "--run", tmp_path / "run", "--data", f"imagefolder:{tmp_path / 'empty'}")
    assert "has no class folders" in outcome.error
    assert outcome.code == 1
    assert not (tmp_path / "run").exists()


def test_index_refuses_folders_that_match_no_class(
    cli: Cli, index_words: list[str], images: Path, tmp_path: Path
) -> None:
    shutil.copytree(images, tmp_path / "images")
    (tmp_path / "images" / "cat").rename(tmp_path / "images" / "catt")
    outcome = cli(
        *(*index_words, "--run", tmp_path / "run", "--data", f"imagefolder:{tmp_path / 'images'}"),
        *("--classes", tiny.class_file(tmp_path)),
    )
    assert "match no class: 'catt'; near 'catt': 'cat'" in outcome.error
    assert outcome.code == 1
    assert not (tmp_path / "run").exists()


def test_index_refuses_a_run_folder_of_other_settings(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert cli(*index_words, "--run", run, "--quiet").code == 0
    before = contents(run)
    outcome = cli(*index_words, "--run", run, "--top", "2")
    assert "was made with top_n = 3, not 2" in outcome.error
    assert outcome.code == 1
    assert contents(run) == before


def test_index_refuses_a_folder_of_other_things(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    outcome = cli(*index_words, "--run", tmp_path)
    assert "is not empty and is no run folder" in outcome.error
    assert outcome.code == 1
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_a_command_in_a_message_can_be_pasted(cli: Cli, tmp_path: Path) -> None:
    db = tmp_path / "my evidence.duckdb"
    failed = cli("check", "--db", db)
    assert failed.code == 1
    assert f"no database {db}; make one with `evigraph publish RUN_DIR --db '{db}'`" in failed.stderr


def test_publish_refuses(cli: Cli, tmp_path: Path) -> None:
    db = tmp_path / "db" / "evidence.duckdb"
    db.parent.mkdir()
    outcome = cli("publish", tmp_path / "missing", "--db", db)
    assert "is no run folder" in outcome.error
    assert outcome.code == 1
    synthetic_run(tmp_path / "unfinished", finish=False)
    outcome = cli("publish", tmp_path / "unfinished", "--db", db)
    assert "is unfinished" in outcome.error
    assert outcome.code == 1
    synthetic_run(tmp_path / "run")
    db.write_text("my notes, which are no database")
    outcome = cli("publish", tmp_path / "run", "--db", db)
    assert "is not a DuckDB database" in outcome.error
    assert outcome.code == 1
    assert db.read_text() == "my notes, which are no database"
    outcome = cli("publish", tmp_path / "run", "--db", db / "evidence.duckdb")
    assert "cannot be written: " in outcome.error
    assert "give another --db" in outcome.error
    assert outcome.code == 1
    assert cli("publish", "--db", db).code == 2


@pytest.fixture(params=["query", "check", "serve", "migrate", "runs list", "runs delete"])
def reading(request: pytest.FixtureRequest) -> list[str]:
    """The words of a command that needs a database, less `--db`."""
    more = {"query": ["{ run { name } }"], "serve": ["--port", "0"], "runs delete": ["scenes"]}
    return [*request.param.split(), *more.get(request.param, [])]


def test_reading_refuses_a_missing_database(cli: Cli, reading: list[str], tmp_path: Path) -> None:
    outcome = cli(*reading, "--db", tmp_path / "evidence.duckdb")
    assert "no database" in outcome.error
    assert "evigraph publish" in outcome.error
    assert outcome.code == 1
    assert not list(tmp_path.iterdir())


def test_reading_refuses_a_file_that_is_no_database(cli: Cli, reading: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes.duckdb").write_text("notes" * 100)
    outcome = cli(*reading, "--db", tmp_path / "notes.duckdb")
    assert "is not a DuckDB database" in outcome.error
    assert outcome.code == 1


def test_reading_refuses_a_foreign_database(cli: Cli, reading: list[str], tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE t (i INTEGER)")
    outcome = cli(*reading, "--db", tmp_path / "other.duckdb")
    assert "not one of evigraph" in outcome.error
    assert outcome.code == 1


def test_reading_refuses_a_newer_database(cli: Cli, reading: list[str], published: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.duckdb"
    shutil.copyfile(resolve(published), newer)
    with duckdb.connect(str(newer)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    outcome = cli(*reading, "--db", newer)
    assert "has revision 9999, newer than" in outcome.error
    assert outcome.code == 1


def test_reading_refuses_a_folder(cli: Cli, reading: list[str], tmp_path: Path) -> None:
    outcome = cli(*reading, "--db", tmp_path)
    assert str(tmp_path) in outcome.error
    assert outcome.code == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["{ run { name } }", "--variables", "{broken"], 2, "--variables '{broken' is not JSON"),
        (["{ run { name } }", "--variables", "[1]"], 2, "--variables '[1]' is not a JSON object"),
        (
            ["question.graphql"],
            2,
            "'question.graphql' is not a GraphQL query; give one as '{ run { name } }', or a file",
        ),
    ],
)
def test_query_refuses(cli: Cli, published: Path, words: list[str], code: int, said: str) -> None:
    outcome = cli("query", "--db", published, *words)
    assert said in outcome.error
    assert outcome.code == code


def test_serve_says_which_port_is_in_use(cli: Cli, published: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome = cli("serve", "--db", published, "--port", str(port))
    assert f"cannot listen on 127.0.0.1 port {port}" in outcome.error
    assert outcome.code == 1


def test_serve_says_which_host_is_none(cli: Cli, published: Path) -> None:
    outcome = cli("serve", "--db", published, "--host", "203.0.113.7", "--port", "0")
    assert "cannot listen on 203.0.113.7" in outcome.error
    assert outcome.code == 1


@pytest.mark.parametrize("place", ["notes.txt/edges.csv", "missing/edges.csv", "folder"])
@pytest.mark.parametrize(
    "words", [["edges", "--format", "csv"], ["graph", "--class", "ant", "--format", "dot"]], ids=["edges", "graph"]
)
def test_export_says_where_it_cannot_write(
    cli: Cli, published: Path, tmp_path: Path, words: list[str], place: str
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    outcome = cli("export", *words, "--db", published, "--out", tmp_path / place)
    assert "cannot be written: " in outcome.error
    assert "give another --out" in outcome.error
    assert outcome.code == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("format_name", ["json", "graphml", "dot"])
def test_the_graph_of_a_class_without_decisions_is_its_root(cli: Cli, published: Path, format_name: str) -> None:
    asked = "{ run { images { nodes { predicted { name } } } } }"
    images = json.loads(cli("query", "--db", published, asked).stdout)["data"]["run"]["images"]["nodes"]
    name = min(set(tiny.CLASSES) - {image["predicted"]["name"] for image in images})
    outcome = cli("export", "graph", "--db", published, "--class", name, "--format", format_name)
    assert outcome.code == 0, outcome.stderr
    assert f"class {name}" in outcome.stdout


def test_debug_shows_where(tmp_path: Path) -> None:
    failed = tiny.evigraph("check", "--db", tmp_path / "no.duckdb", "--debug")
    assert failed.returncode == 1
    assert "Traceback" in failed.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("a tmpfs cannot be mounted here (that takes root)")
    yield disk
    subprocess.run(["umount", disk], check=True, capture_output=True)


def test_index_on_a_full_disk_goes_on_when_there_is_room(
    cli: Cli, index_words: list[str], small_disk: Path, tmp_path: Path
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1_000_000))
    run = small_disk / "run"
    words = [*index_words, "--run", run]
    outcome = cli(*words)
    assert "No space left on device" in outcome.error
    assert outcome.code == 1
    assert not list(run.rglob("*.partial"))
    filler.unlink()
    assert cli(*words, "--quiet").code == 0
    assert cli(*index_words, "--run", tmp_path / "run", "--quiet").code == 0
    tables = {n: c for n, c in contents(run / "shards").items() if n.endswith("parquet")}
    assert tables == {n: c for n, c in contents(tmp_path / "run" / "shards").items() if n.endswith("parquet")}


def test_publish_on_a_full_disk_leaves_the_served_version(
    cli: Cli, index_words: list[str], small_disk: Path, tmp_path: Path
) -> None:
    assert cli(*index_words, "--run", tmp_path / "run", "--quiet").code == 0
    db = small_disk / "evidence.duckdb"
    outcome = cli("publish", tmp_path / "run", "--db", db)
    assert "could not be built" in outcome.error
    assert outcome.code == 1
    assert not [path for path in small_disk.rglob("*") if path.is_file() and path.stat().st_size]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's content by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
