"""The names most like one that stands for nothing.

1. Those that hold it, by how they do: as a whole, a synonym, a word, a beginning, a word's beginning, any part.
2. Then those of the smallest edits, of the whole name, one of its synonyms or one of its words. Of many names only some
   are looked at closely, those that share the most pairs of letters, the rarest pairs first: the time is bounded
   whatever is asked for.
"""

from __future__ import annotations

import difflib
import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

_HOLDING = 1000
"""Names that hold what is asked which are looked at, the shortest ones."""
_CLOSE = 50
"""Names whose edits are counted, some 7 µs each."""
_SHARED = 20_000
"""Pairs of letters, over all names, that are followed: about 1 ms."""
_CUTOFF = 0.6
_SPACE, _WORD = re.compile(r"\s"), re.compile(r"\w{3,}")


def near_matches(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The names most like `name`, best first, compared without case.

    First the same in another case, then one of its synonyms ("tench" of "tench, Tinca tinca"), then those that have
    it among their words, that begin with it, that have a word that does, that hold it; shorter ones first. Last those
    of the smallest edits, to the whole or to a synonym or word of it.
    """
    names = _names(tuple(known))
    part = name.casefold().strip()
    near = _holding(part, names.folded, limit) if len(part) > 1 else []
    if len(near) < limit:
        near += _closest(part, (name for name in names.alike(part) if name not in near), limit)
    return [names.folded[other] for other in near[:limit]]


def _holding(part: str, names: Iterable[str], limit: int) -> list[str]:
    """The names that hold a part, best first; all without case."""
    left = heapq.nsmallest(_HOLDING, (name for name in names if part in name), key=len)
    exact = re.escape(part)
    near: list[str] = []
    for way in (rf"\A{exact}\Z", rf"(\A|,)\s*{exact}\s*(,|\Z)", rf"\b{exact}\b", rf"\A{exact}", rf"\b{exact}", exact):
        if len(near) >= limit:
            break
        like = re.compile(way).search
        near += [name for name in left if like(name) and name not in near]
    return near[:limit]


def _closest(part: str, names: Iterable[str], limit: int) -> list[str]:
    """The names of the smallest edits, best first; a slip in one word of a long name counts as one in that word."""
    matcher = difflib.SequenceMatcher(b=part)

    def likeness(other: str) -> float:
        matcher.set_seq1(other)
        return matcher.ratio() if matcher.real_quick_ratio() >= _CUTOFF <= matcher.quick_ratio() else 0.0

    scored = []
    for name in names:
        pieces = {name, *(synonym.strip() for synonym in name.split(","))}
        if not _SPACE.search(part):
            pieces.update(_WORD.findall(name))
        if (score := max(map(likeness, pieces))) >= _CUTOFF:
            scored.append((-score, len(name), name))
    return [name for _, _, name in heapq.nsmallest(limit, scored)]


class _Names:
    """Names without case, and which of them have which pairs of letters."""

    def __init__(self, known: tuple[str, ...]) -> None:
        self.folded: dict[str, str] = {}
        """From a name without case to the first that is so."""
        for name in known:
            self.folded.setdefault(name.casefold(), name)
        self._having: defaultdict[str, list[str]] = defaultdict(list)
        if len(self.folded) > _CLOSE:
            for folded in self.folded:
                for pair in _pairs(folded):
                    self._having[pair].append(folded)

    def alike(self, part: str) -> Iterable[str]:
        """The names whose edits are to be counted: all of them if they are few."""
        if len(self.folded) <= _CLOSE:
            return self.folded
        shared: Counter[str] = Counter()
        left = _SHARED
        for having in sorted((self._having.get(pair, []) for pair in _pairs(part)), key=len):
            shared.update(having[:left])
            left -= len(having)
            if left <= 0:
                break
        return [name for name, _ in shared.most_common(_CLOSE)]


@lru_cache(maxsize=4)
def _names(known: tuple[str, ...]) -> _Names:
    """Made once for the classes of a run: it takes 0.2 s for 21,000 classes with their keys."""
    return _Names(known)


def _pairs(name: str) -> set[str]:
    """Letters that follow each other, the first and the last with a line break beside them."""
    return {before + after for before, after in pairwise(f"\n{name}\n")}
