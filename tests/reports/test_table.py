"""The table says what the tests hold."""

from __future__ import annotations

import re

from tests.reports.table import README, reports, written


def test_the_table_is_of_the_tests() -> None:
    assert README.read_text() == written(), "run `python -m tests.reports.table`"


def test_every_case_has_a_source_and_an_answer() -> None:
    for one in reports():
        assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+|https?://\S+", one.source), one
        assert one.answer, one
        assert "|" not in one.answer, one
