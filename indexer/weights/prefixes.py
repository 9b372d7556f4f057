"""What wrappers and training scripts put around the names of a network's tensors."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from torch import Tensor

WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Words that wrappers put into names, anywhere: `features.module.0.weight` of the ImageNet example's VGG."""


def without_wrappers(names: Iterable[str]) -> dict[str, str]:
    """The names by themselves less the words of wrappers; by themselves as they are where two would be one."""
    short = {".".join(word for word in name.split(".") if word not in WRAPPERS): name for name in names}
    return short if len(short) == len(list(names)) else {name: name for name in names}


def prefixes_of(names: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Beginnings, "" among them, under which some names end as the first or the last of the wanted ones do."""
    listed, ends = list(names), [name for name in wanted if not name.lower().startswith("aux")]
    found = {""}
    for end in (*ends[:1], *ends[-1:]):
        found |= {name[: -len(end)] for name in listed if name.endswith("." + end)}
    return sorted(found, key=len)


def beginning(names: Iterable[str]) -> str:
    """The words that all names begin with, as where a network wraps another."""
    words = [name.split(".")[:-1] for name in names]
    same = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))
    return "".join(f"{column[0]}." for column in same)


def under(prefix: str, names: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What lies under a prefix, by the rest of the names."""
    return {name[len(prefix) :]: value for name, value in names.items() if name.startswith(prefix)}
