"""docs/attacks.md: how the features of the true and the wrong class's channels move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.docs.figures.reading import answer, rows, unlike_table, unsaid

PAGE = "attacks.md"
SHOWN = (
    ("pgd, WRONG", "pgd", "true"),
    ("pgd, WRONG", "pgd", "wrong"),
    ("noise, WRONG", "noise", "true"),
    ("noise, WRONG", "noise", "wrong"),
    ("noise, CORRECT", "right", "true"),
)
"""Lines of the page's table, each with the question and the side in the file that its command wrote."""


def wrong(place: Path) -> Iterator[str]:
    """What the page says otherwise than its runs."""
    shift = answer(place / "shift.json")
    made = [[line, side, *_row(shift[asked][side])] for line, asked, side in SHOWN]
    yield from unlike_table(PAGE, [["other, outcome", "side"], *made])
    yield from unsaid(PAGE, _prose(shift, place / "evidence.duckdb"))


def _row(change: dict[str, Any]) -> list[str]:
    counts = [str(change[name]) for name in ("images", "matchedImages", "channels", "matched")]
    means = [f"{change['before']:.1f}", f"{change['after']:.1f}", f"{change['change']:+.1f}"]
    return [*counts, *means, f"{change['standardError']:.1f}", str(change["rose"])]


def _prose(shift: dict[str, Any], database: Path) -> Iterator[str]:
    right = dict(rows(database, "SELECT name, correct_count FROM run"))
    yield f"{right['clean']} right when clean, {right['pgd']} after pgd, {right['noise']} after noise"
    pgd, noise = ([_below(shift[asked][side]) for side in ("true", "wrong")] for asked in ("pgdBelow", "noiseBelow"))
    yield f"pgd {pgd[0].replace('(', '(standard error ')} for the true class, {pgd[1]} for the wrong one"
    yield f"noise {noise[0]}, {noise[1]}"
    lost = [
        (side["channels"] - side["matched"], side["channels"])
        for side in (shift["pgd"]["true"], shift["noise"]["true"])
    ]
    yield f"{lost[0][0]} of {lost[0][1]} channels of the true class are not evidence in the attacked image at all"
    yield f"under noise {lost[1][0]} of {lost[1][1]} are not"
    logits = {
        name: values
        for name, *values in rows(
            database,
            """SELECT run.name, median(logit), max(logit) FROM decision JOIN run USING (run_id)
               WHERE role = 'predicted' GROUP BY ALL""",
        )
    }
    yield f"with a median logit of {logits['pgd'][0]:.0f} for the wrong class where no clean logit is above"
    yield f"above {logits['clean'][1]:.1f}"


def _below(change: dict[str, Any]) -> str:
    return f"{change['change']:+.1f} ({change['standardError']:.1f})"
