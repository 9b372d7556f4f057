"""A state dict made to fit a network: which one of a file, under which names.

1. Every state dict of the file is rewritten towards the network's names: what wrappers (DataParallel, torch.compile,
   averaging) and training scripts put around them is cut, or added where the network has it; counters of training
   that no network reads are left out; old names become the new ones.
2. The one whose names are the network's, all of them and no others, is taken. Where several are, weights as trained go
   before averages of them, and what cannot be told apart is refused; the file's other state dicts are said.
3. Nothing else is left out and nothing is kept at its initial value: a file that has more or less is refused.
"""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from evigraph.indexer.weights.advice import advice
from evigraph.indexer.weights.checkpoints import Checkpoint, Held, StateDict
from evigraph.indexer.weights.prefixes import WRAPPERS, beginning, prefixes_of, under, without_wrappers
from evigraph.indexer.weights.usable import check_finite
from evigraph.indexer.weights.versions import adapt, with_present_names
from evigraph.schema.errors import ModelError

_COUNTERS = frozenset({"total_ops", "total_params", "n_averaged"})
"""Last words of tensors that profilers (thop) and averaging (torch.optim.swa_utils) leave behind."""
_BATCHES = "num_batches_tracked"
_TRAINING_ONLY = re.compile(
    r"(criterion|loss|.*_loss|loss_.*|.*metrics?|(train|val|valid|test)_\w+|.*_(acc|accuracy|f1))\."
)
"""Beginnings of the names of a LightningModule's losses and metrics."""
_AVERAGE = re.compile(r"(^|[_.])(ema|swa|averaged?|avg|shadow|polyak)([_.]|$)|^averaged")
_WHOLE = ("", "state_dict", "model_state_dict", "model_state", "model", "net", "network", "net_state_dict", "module",
          "weights", "params", "state", "model_ema", "state_dict_ema", "ema", "ema_state_dict")  # fmt: skip
"""Names under which scripts keep a whole network; the earlier goes first where several fit."""
_PARTS = re.compile(r"(backbone|encoder|features?|feature_extractor|trunk|body|base|stem)\.?$")
"""Names under which scripts keep a part of one, whose rest lies beside it."""


@dataclass(frozen=True)
class Match:
    """A state dict by the network's names.

    Attributes:
        held: the state dict of the file.
        prefix: what was cut from the beginning of its names, less wrappers.
        tensors: by the network's names, as far as they are its.
        missing, unknown: names of the network that the file lacks, and the other way round.
        said: what was done, in words.
    """

    held: Held
    prefix: str
    tensors: StateDict
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    said: tuple[str, ...]

    @property
    def named(self) -> bool:
        """Whether the names are the network's."""
        return not self.missing and not self.unknown

    @property
    def part(self) -> str:
        """As FILE#PART names it."""
        return "/".join((*self.held.keys, *([self.prefix.rstrip(".")] if self.prefix else [])))

    @property
    def averaged(self) -> bool:
        """Whether it is an average of weights, as its name says."""
        return any(_AVERAGE.search(word) for word in (*self.held.keys, self.prefix))


def choose(checkpoint: Checkpoint, model: nn.Module) -> Match:
    """The state dict of a file that is the network's.

    Raises:
        ModelError: none is, or several are and nothing tells which is meant.
    """
    matches = [match for held in checkpoint.held for match in _matches(held, model)]
    named = [match for match in matches if match.named]
    if not named:
        own = model.state_dict()
        best = max(matches, key=lambda match: (_agreement(match, own), len(match.held.tensors)))
        raise _misfit(best, checkpoint, model)
    pool = [match for match in named if not match.averaged] or named
    ranked = sorted(pool, key=_rank)
    best = ranked[0]
    if len(ranked) > 1 and _rank(ranked[1]) == _rank(best) and not _equal(best, ranked[1]):
        parts = ", ".join(repr(match.part) for match in ranked)
        raise ModelError(
            f"weights {checkpoint.path} hold several state dicts that fit {type(model).__name__}: {parts}; "
            f"say which with --weights {checkpoint.path}#PART"
        )
    beside = _beside(best, checkpoint, named)
    if _PARTS.search(best.part) and any(match is None for _, match in beside):
        rest = ", ".join(repr(part) for part, match in beside if match is None)
        raise ModelError(
            f"weights {checkpoint.path} hold {best.part!r}, which fits {type(model).__name__}, beside {rest}: a part "
            f"of a larger network; build that with --model package.module:factory, or give "
            f"{checkpoint.path}#{best.part} if the part alone is meant"
        )
    others = [f"{part!r}{', an average' if match and match.averaged else ''}" for part, match in beside]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        fits = next((part for part, match in beside if match is not None), None)
        taken = "" if fits is None else f" (as --weights {checkpoint.path}#{fits} takes one)"
        said = f"left {', '.join(others[:3])}{more}{taken}"
        best = replace(best, said=(*best.said, said))
    return best


def fitted(build: Callable[..., nn.Module], checkpoint: Checkpoint) -> tuple[nn.Module, tuple[str, ...]]:
    """A network with the weights of a file, and what was done with them, a sentence each.

    Args:
        build: makes the network; is given `num_classes` where the weights have another number than it has.
        checkpoint: the file.

    Raises:
        ModelError: no state dict of the file is the network's, or several are and nothing tells which is meant.
    """
    model = build()
    match = choose(checkpoint, model)
    version = adapt(model, match.tensors)
    classes = _class_count_of(match.tensors, model)
    if classes is not None:
        model = build(num_classes=classes)
        adapt(model, match.tensors)
    match = _without_other_auxiliary(match, model)
    if _reshaped(match, model):
        raise _misfit(match, checkpoint, model)
    tensors, cast = _cast(match, model, checkpoint)
    check_finite(model, tensors, f"weights {checkpoint.path}")
    own = model.state_dict()
    # The names and shapes are those of the network's present version: nothing is to be rewritten for an older one.
    state = OrderedDict(tensors)
    state._metadata = getattr(own, "_metadata", {})  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        if version is not None:
            warnings.simplefilter("ignore")  # that it is an earlier one
        model.load_state_dict(state, strict=False)
    for name, value in own.items():
        # What a file lacks of heads of training is used by nobody; if it were after all, nothing would be told.
        if name not in tensors and value.is_floating_point():
            value.fill_(float("nan"))
    said = "; ".join([*match.said, *cast])
    return model, tuple(note for note in (said and f"weights of {checkpoint.path.name}: {said}", version) if note)


def _cast(match: Match, model: nn.Module, checkpoint: Checkpoint) -> tuple[StateDict, list[str]]:
    """The tensors in float32, and in words which other kinds they were of."""
    own, tensors, kinds = model.state_dict(), dict(match.tensors), set()
    for name, value in tensors.items():
        wanted = own[name]
        if value.is_quantized or (wanted.is_floating_point() and not (value.is_floating_point() or value.is_complex())):
            raise ModelError(
                f"weights {checkpoint.path} are quantized: {name} is {_kind(value)}, through which no gradient goes; "
                "give the weights of the float network"
            )
        if value.is_complex() != wanted.is_complex() or value.is_meta or value.layout != torch.strided:
            what = f"is {_kind(value)} where the network has {_kind(wanted)}"
            what = "has no values" if value.is_meta else what
            what = "is stored sparse" if value.layout != torch.strided else what
            raise ModelError(f"weights {checkpoint.path} cannot be used: {name} {what}; save them as float32")
        if value.is_floating_point() and value.dtype != torch.float32:
            kinds.add(_kind(value))
            tensors[name] = value.float()
    return tensors, [f"cast {' and '.join(sorted(kinds))} to float32"] if kinds else []


def _reshaped(match: Match, model: nn.Module) -> list[str]:
    """Names of tensors of another shape than the network's."""
    own = model.state_dict()
    return sorted(name for name, value in match.tensors.items() if value.shape != own[name].shape)


def _class_count_of(state: Mapping[str, Tensor], model: nn.Module) -> int | None:
    """The number of classes of a state dict whose last layer alone is of another size than the network's."""
    own = model.state_dict()
    other = [name for name in own if name in state and own[name].shape != state[name].shape and not _auxiliary(name)]
    if not other or any(own[name].shape[1:] != state[name].shape[1:] for name in other):
        return None
    counts = {state[name].shape[0] for name in other}
    return counts.pop() if len(counts) == 1 else None


def _without_other_auxiliary(match: Match, model: nn.Module) -> Match:
    """A match less its auxiliary heads where these are of another number of classes, as where the last layer alone is
    trained anew.
    """
    if not any(_auxiliary(name) for name in _reshaped(match, model)):
        return match
    tensors = {name: value for name, value in match.tensors.items() if not _auxiliary(name)}
    said = "auxiliary heads, which only training uses, are left out, as they are of another number of classes"
    return replace(match, tensors=tensors, said=(*match.said, said))


def _auxiliary(name: str) -> bool:
    """Whether a tensor is of a head that only training uses; a file may have it or not, as the network may."""
    return name.lower().startswith("aux")


def _rank(match: Match) -> int:
    """Where a match stands among those that fit: the earlier, the likelier the whole network as it was trained."""
    words = [*match.held.keys, *match.prefix.rstrip(".").split(".")] if match.prefix else list(match.held.keys)
    return max((_WHOLE.index(word) if word in _WHOLE else len(_WHOLE) for word in words), default=0)


def _agreement(match: Match, own: Mapping[str, Tensor]) -> int:
    """How many tensors are the network's by name and shape."""
    return sum(value.shape == own[name].shape for name, value in match.tensors.items())


def _equal(one: Match, other: Match) -> bool:
    return all(torch.equal(value, other.tensors[name]) for name, value in one.tensors.items() if name in other.tensors)


def _beside(best: Match, checkpoint: Checkpoint, named: Sequence[Match]) -> list[tuple[str, Match | None]]:
    """What else of the file holds weights: its part, and the match where it fits too."""
    found: list[tuple[str, Match | None]] = [(match.part, match) for match in named if match is not best]
    taken = {match.held.keys for match in named}
    for held in checkpoint.held:
        inner = held.keys[: len(best.held.keys)] == best.held.keys or best.held.keys[: len(held.keys)] == held.keys
        if held.keys not in taken and not inner and not re.match(r"criterion|loss|metric", held.keys[0]):
            found.append(("/".join(held.keys), None))
    return found


def _matches(held: Held, model: nn.Module) -> Iterator[Match]:
    """A state dict rewritten towards a network's names: every way that fits, else the one that fits best."""
    own = model.state_dict()
    plain = without_wrappers(own)
    given = {name: value for name, value in held.tensors.items() if name in own or name.split(".")[-1] not in _COUNTERS}
    said = []
    counters = [name for name in held.tensors if name not in given]
    if counters:
        leaves = sorted({name.split(".")[-1] for name in counters})
        said.append(f"left out {len(counters)} {'counter' if len(counters) == 1 else 'counters'} ({', '.join(leaves)})")
    names = {short: given[name] for short, name in without_wrappers(given).items()}
    wrapped = sorted({word for name in given for word in name.split(".")} & WRAPPERS)
    wrapping = sorted({word for name in own for word in name.split(".")} & WRAPPERS)
    if wrapped != wrapping:
        said += [f"cut {word + '.'!r}" for word in wrapped if word not in wrapping]
        said += [f"added {word + '.'!r}" for word in wrapping if word not in wrapped]
    names, renamed = with_present_names(names, plain)
    said += renamed
    tried: list[Match] = []
    for begin in dict.fromkeys(["", beginning(plain)]):
        wanted = {name[len(begin) :]: full for name, full in plain.items()}
        prefixes = prefixes_of(names, wanted)
        whole = [
            prefix for prefix in prefixes if prefix and _match(prefix, held, under(prefix, names), wanted, []).named
        ]
        done = [*said, *([f"added the prefix {begin!r}"] if begin else [])]
        tried += [_cut(prefix, held, names, wanted, done, whole) for prefix in prefixes]
        fitting = [match for match in tried if match.named]
        if fitting:
            yield from fitting
            return
    yield max(tried, key=lambda match: _agreement(match, own))


def _cut(
    prefix: str, held: Held, names: StateDict, plain: Mapping[str, str], said: list[str], whole: Sequence[str]
) -> Match:
    """What lies under a prefix; names outside it are unknown ones, but for what lies under others that fit as well."""
    outside = [name for name in names if not name.startswith((prefix, *whole))]
    harmless = [name for name in outside if _TRAINING_ONLY.match(name)]
    said = [*said, *([f"cut the prefix {prefix!r}"] if prefix else [])]
    if harmless:
        said.append(f"left out {len(harmless)} of losses and metrics (first: {harmless[0]})")
    match = _match(prefix, held, under(prefix, names), plain, said)
    return replace(match, unknown=(*match.unknown, *(name for name in outside if name not in harmless)))


def _match(prefix: str, held: Held, names: StateDict, plain: Mapping[str, str], said: list[str]) -> Match:
    """What fits of a state dict whose names are rewritten."""
    lacking = [name for name in plain if name not in names]
    counters = [name for name in lacking if name.endswith(_BATCHES)]
    heads = [name for name in lacking if _auxiliary(name)]
    more = [name for name in names if name not in plain]
    dropped = [name for name in more if name.endswith(_BATCHES) and name.replace(_BATCHES, "running_mean") in names]
    trained = [name for name in more if _auxiliary(name)]
    if counters:
        said = [*said, f"the file lacks {len(counters)} {_BATCHES}, which only training reads"]
    if heads or trained:
        said = [*said, "auxiliary heads, which only training uses, are " + ("not in the file" if heads else "left out")]
    if dropped:
        said = [*said, f"left out {len(dropped)} {_BATCHES}"]
    if held.keys:
        said = [f"took {'/'.join(held.keys)!r}", *said]
    return Match(
        held=held,
        prefix=prefix,
        tensors={plain[name]: value for name, value in names.items() if name in plain},
        missing=tuple(plain[n] for n in lacking if n not in counters and n not in heads),
        unknown=tuple(n for n in more if n not in dropped and n not in trained),
        said=tuple(said),
    )


def _misfit(match: Match, checkpoint: Checkpoint, model: nn.Module) -> ModelError:
    """Why a file is not the network's, with what it holds and what to do."""
    own = model.state_dict()
    parts = [
        f"{len(names)} {what} (first: {names[0]})"
        for what, names in (("missing", sorted(match.missing)), ("unknown", sorted(match.unknown)))
        if names
    ]
    others = _reshaped(match, model)
    if others and (match.named or _class_count_of(match.tensors, model) is None):
        first = others[0]
        parts.append(f"{len(others)} of another shape ({first}: {tuple(match.tensors[first].shape)}, "
                     f"not {tuple(own[first].shape)})")  # fmt: skip
    where = f" in {match.part!r}" if match.part else ""
    holds = f"; {checkpoint.shown_keys()}" if checkpoint.keys else ""
    return ModelError(
        f"weights {checkpoint.path} do not fit {type(model).__name__}: of {len(own)} tensors{where} {', '.join(parts)}"
        f"{holds}; {advice(model, match.missing, match.unknown, _outputs(match, model))}"
    )


def _outputs(match: Match, model: nn.Module) -> int | None:
    """How many outputs weights have that are the network's but for that."""
    return _class_count_of(match.tensors, model) if match.named else None


def _kind(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
