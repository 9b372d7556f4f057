"""The commands on right input: from images to an answer, and serving it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import torch
from torch import nn

from tests.conftest import Cli
from tests.support import PATIENCE_S, tiny


def test_index_publish_check_query(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    run, db = tmp_path / "my runs" / "tiny", tmp_path / "my evidence.duckdb"
    indexed = cli(*index_words, "--run", run)
    assert indexed.code == 0, indexed.stderr
    assert indexed.stderr == ""
    assert "run tiny: 24 images over 1, 4, 7" in indexed.stdout
    assert f"next: evigraph publish '{run}'" in indexed.stdout
    published = cli("publish", run, "--db", db)
    assert published.code == 0
    assert f"published tiny to {db}" in published.stdout
    assert f"next: evigraph serve --db '{db}'" in published.stdout
    checked = cli("check", "--db", db)
    assert checked.code == 0
    assert "BROKEN" not in checked.stdout
    answer = cli("query", "--db", db, "{ run { name imageCount accuracy layers { name height } } }")
    assert answer.code == 0
    found = json.loads(answer.stdout)["data"]["run"]
    assert found["imageCount"] == 24
    assert [layer["name"] for layer in found["layers"]] == ["1", "4", "7", "logits"]
    assert [layer["height"] for layer in found["layers"]] == [32, 16, 8, 1]


def test_json_is_all_that_is_printed(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    indexed = cli(*index_words, "--run", tmp_path / "run", "--json")
    report = json.loads(indexed.stdout)
    assert indexed.stderr == ""
    assert report["image_total"] == report["new_image_count"] == report["labelled_count"] == 24
    assert report["skipped_count"] == 0
    assert report["accuracy"] == report["correct_count"] / 24
    published = json.loads(cli("publish", tmp_path / "run", "--db", tmp_path / "e.duckdb", "--json").stdout)
    assert published["runs"] == ["run"]
    assert published["edge_count"] == report["edge_count"]
    checks = json.loads(cli("check", "--db", tmp_path / "e.duckdb", "--json").stdout)
    assert len(checks) > 10
    assert all(result["ok"] for result in checks)


def test_quiet_prints_nothing_but_notes(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    db = tmp_path / "e.duckdb"
    guessed = cli(*index_words, "--run", tmp_path / "guessed", "--quiet")
    assert guessed.stdout == ""
    assert guessed.error.startswith("evigraph: note: labels: the folders are the classes, in sorted order")
    for words in (
        [*index_words, "--run", tmp_path / "run", "--classes", tiny.class_file(tmp_path)],
        ["publish", tmp_path / "run", "--db", db],
        ["check", "--db", db],
    ):
        outcome = cli(*words, "--quiet")
        assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", "")


def test_query_takes_variables_and_standard_input(published: Path) -> None:
    query = 'query ($layer: String!) { run { channelSupport(layer: $layer, class: "ant") { edges { cursor } } } }'
    piped = subprocess.run(
        tiny.command("query", "--db", published, "-", "--variables", '{"layer": "4"}'),
        input=query, capture_output=True, text=True, timeout=PATIENCE_S, cwd=tiny.ROOT, check=True,
    )  # fmt: skip
    assert "data" in json.loads(piped.stdout)
    assert piped.stderr == ""


def test_one_of_several_operations_is_carried_out(cli: Cli, published: Path) -> None:
    both = "query Name { run { name } } query Count { run { imageCount } }"
    answer = cli("query", "--db", published, both, "--operation", "Count")
    assert json.loads(answer.stdout) == {"data": {"run": {"imageCount": 12}}}
    for text, said in (
        (both, "set operationName (on the command line --operation) to one of Name, Count"),
        ("query Name { run { name } } { run { imageCount } }", "not all are named; send one alone"),
    ):
        refused = cli("query", "--db", published, text)
        assert refused.code == 1
        assert said in json.loads(refused.stdout)["errors"][0]["message"]


def test_query_with_errors_prints_them_and_fails(cli: Cli, published: Path) -> None:
    answer = cli("query", "--db", published, '{ run { channelSupport(layer: "44") { edges { cursor } } } }')
    assert answer.code == 1
    assert json.loads(answer.stdout)["errors"][0]["extensions"]["code"] == "NOT_FOUND"


def test_skipped_images_are_counted_by_reason(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    images = tiny.draw_images(tmp_path / "images", 12)
    (images / "ant" / "0001.png").write_bytes(b"")
    (images / "bee" / "text.png").write_text("no image")
    words = [*index_words, "--data", f"imagefolder:{images}", "--run", tmp_path / "run"]
    report = json.loads(cli(*words, "--json").stdout)
    assert report["skipped"] == {"empty file": 1, "not an image": 1}
    assert report["image_total"] == 14
    again = cli(*words)
    assert "2 skipped (1 empty file, 1 not an image)" in again.stdout
    assert "0 indexed now" in again.stdout


def test_a_run_without_a_single_image_fails(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    images = tiny.draw_images(tmp_path / "images", 12)
    for number, image in enumerate(sorted(images.rglob("*.png"))):
        image.write_bytes(b"" if number else b"no image")
    words = [*index_words, "--data", f"imagefolder:{images}", "--run", tmp_path / "run"]
    for _ in range(2):  # the second time every shard is there
        failed = cli(*words, "--quiet")
        assert (failed.code, failed.stdout) == (1, "")
        assert failed.stderr.startswith(f"evigraph: none of the 12 images of imagefolder:{images} could be used")
        assert "(11 empty file, 1 not an image)" in failed.stderr
        assert failed.stderr.count("\n") == 1


def test_why_a_network_is_slow_is_said_once(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    # A network that cannot be traced falls back as a whole, for one reason.
    words = [*index_words, "--model", "tests.support.tiny:Untraceable", "--run", tmp_path / "run"]
    slow = [line for line in cli(*words).stdout.splitlines() if "by autograd" in line]
    assert len(slow) == 1
    assert "whole maps: down to network.1, network.4, network.7, since Untraceable cannot be traced" in slow[0]
    fallbacks = json.loads(cli(*words, "--json").stdout)["fallbacks"]
    assert list(fallbacks) == ["network.1", "network.4", "network.7"]
    assert len(set(fallbacks.values())) == 1


def test_version_and_schema(cli: Cli) -> None:
    assert cli("--version").stdout.startswith("evigraph 0.")
    assert "type Query {" in cli("schema").stdout


def test_a_model_is_as_it_was_after_indexing(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evigraph.indexer.data.settings import PreprocessingOptions
    from evigraph.indexer.run.pipeline import index
    from evigraph.indexer.run.settings import Execution, IndexSettings

    model = tiny.network().train()
    model[0].weight.requires_grad_(False)
    model[3].eval()
    seen: list[torch.Size] = []
    model[4].register_forward_hook(lambda _module, _args, output: seen.append(output.shape))
    before = _state_of(model)
    monkeypatch.setattr(tiny, "network", lambda: model)
    index(
        IndexSettings(
            model=tiny.MODEL,
            weights="own",
            data=f"imagefolder:{images}",
            run=tmp_path / "run",
            execution=Execution(workers=0),
            limit=8,
            preprocessing=PreprocessingOptions(resize=0, crop=tiny.SIDE),
        )
    )
    after = _state_of(model)
    # `index` hands a network over for inference: evaluation mode is asked for, anything else must be as it was.
    assert after[1:] == before[1:]


def _state_of(model: nn.Module) -> tuple[object, ...]:
    return (
        [module.training for module in model.modules()],
        [getattr(module, "inplace", None) for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [parameter.grad for parameter in model.parameters()],
        {name: value.tolist() for name, value in model.state_dict().items()},
        [[len(getattr(m, h)) for h in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")]
         for m in model.modules()],
        [type(module) for module in model.modules()],
    )  # fmt: skip


@contextmanager
def serving(db: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and its address."""
    server = subprocess.Popen(
        tiny.command("serve", "--db", db, "--port", "0"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tiny.ROOT,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert "/graphql" in line, line
        yield server, line.split(" at ")[1].split("/graphql")[0]
    finally:
        server.kill()
        server.communicate()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_and_stops(published: Path, stop: signal.Signals) -> None:
    with serving(published) as (server, address):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                health = httpx.get(f"{address}/healthz")
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert health.json()["status"] == "ok"
        answer = httpx.post(f"{address}/graphql", json={"query": "{ run { imageCount } }"}, timeout=PATIENCE_S)
        assert answer.json() == {"data": {"run": {"imageCount": 12}}}
        server.send_signal(stop)
        _, errors = server.communicate(timeout=PATIENCE_S)
        assert "Traceback" not in errors
        assert server.returncode in {0, 130, -stop}
