"""docs/cookbook.md: eleven questions, each answered from an empty folder in at most ten lines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs.scripts import Script, differences, printed_by, scripts_of

QUESTIONS = scripts_of("cookbook.md")
IN_EVERY_RUN = (5, 6)
"""Questions that are run by every `make test`; the others, some 15 to 50 s each, where EVIGRAPH_DOCS is set."""


def test_there_are_eleven_of_at_most_ten_lines() -> None:
    assert [script.title.split(".")[0] for script in QUESTIONS] == [str(number) for number in range(1, 12)]
    assert [script.title for script in QUESTIONS if len(script.text.splitlines()) > 10] == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("script", QUESTIONS, ids=[script.title.split(".")[0] for script in QUESTIONS])
def test_it_prints_what_the_page_says(script: Script, tmp_path: Path) -> None:
    if "EVIGRAPH_DOCS" not in os.environ and int(script.title.split(".")[0]) not in IN_EVERY_RUN:
        pytest.skip("set EVIGRAPH_DOCS=1 to run every script of the page")
    assert differences(script.printed, printed_by(script, tmp_path)) == []


@pytest.mark.parametrize(
    ("stated", "printed", "count"),
    [
        ('{"a": [1, 2.0]}', '{"a": [1, 2.0001]}', 0),
        ('{"a": [1, 2.0]}', '{"a": [1, 2.1]}', 1),
        ('{"a": 1}', '{"a": 2}', 1),
        ('{"a": true}', '{"a": 1}', 1),
        ('{"a": null}', '{"b": null}', 1),
        ("took 3.1 s for 12 edges", "took 4 s for 12 edges", 0),
        ("took 3.1 s for 12 edges", "took 3.1 s for 13 edges", 1),
        ("one\ntwo", "one", 1),
    ],
)
def test_what_counts_as_a_difference(stated: str, printed: str, count: int) -> None:
    assert len(differences(stated, printed)) == count
