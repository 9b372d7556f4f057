"""`evigraph extend` as a user calls it: what it says, and one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import Cli


def test_extend_says_what_it_added_and_what_comes_next(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    assert cli(*index_words, "--run", run).code == 0
    done = cli("extend", run, "--thumbnails", "32", "--workers", "0")
    assert done.code == 0
    assert "thumbnail: 24 rows" in done.stdout
    assert f"next: evigraph publish {run}" in done.stdout
    again = cli("extend", run, "--thumbnails", "32", "--json")
    assert json.loads(again.stdout)["added"] == {}
    for words, code, said in (
        (["--thumbnails", "64"], 2, "--thumbnails 32 already"),
        ([], 2, "nothing is asked for"),
        (["--max-maps", "3"], 2, "--max-maps is given without --maps"),
        (["--maps", "--weights", "missing.pth"], 1, "missing.pth"),
        (["--context-layers", "1"], 2, "no semantic maps"),
        (["--verify", "wrong", "--verify-layer", "nine"], 2, "no layer to verify 'nine'"),
    ):
        failed = cli("extend", run, *words)
        assert failed.code == code, failed.error
        assert said in failed.error


def test_extend_refuses_what_is_no_finished_run(cli: Cli, index_words: list[str], tmp_path: Path) -> None:
    missing = cli("extend", str(tmp_path / "none"), "--maps")
    assert (missing.code, "no run folder" in missing.error) == (1, True)
    run = tmp_path / "run"
    assert cli(*index_words, "--run", str(run)).code == 0
    (run / "finished.json").unlink()
    unfinished = cli("extend", str(run), "--maps")
    assert (unfinished.code, "unfinished" in unfinished.error) == (1, True)
