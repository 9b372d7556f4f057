"""The network explained is the network given: its logits and its gradients, or a refusal by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from evigraph.indexer.engine.hooked import HookedRecorder
from evigraph.indexer.engine.network import Network, prepare
from evigraph.indexer.engine.sameness import SampleCheck
from evigraph.indexer.engine.windowed import WindowedRecorder
from evigraph.indexer.evidence.decisions import Decisions
from evigraph.indexer.model.graph import frozen
from evigraph.schema.errors import ModelError
from tests.conftest import Cli
from tests.indexer.exactness import engine_maps, everywhere
from tests.reports.table import report
from tests.support import tiny

SIDE = 16


class Stages(nn.Module):
    """Two convolutions with activation functions, `low` and `high`, and what `between` does of the lower map."""

    def __init__(self, between: Callable[[Stages, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.low = nn.Conv2d(3, 6, 3, padding=1), nn.SiLU()
        self.pool, self.second, self.high = nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
        self.head = nn.Linear(8, 5)
        self.between = between
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, pixels: Tensor) -> Tensor:
        value = self.between(self, self.low(self.first(pixels)))
        value = self.high(self.second(self.pool(value)))
        logits: Tensor = self.head(value.mean((2, 3)))
        return logits


LAYERS = ("low", "high")


def stages(between: Callable[[Any, Tensor], Tensor], **modules: nn.Module) -> Stages:
    """The network in float64 and evaluation mode."""
    return Stages(between, **modules).double().eval()


def pixels_of(model: nn.Module, count: int = 3) -> Tensor:
    """Seeded inputs of the network's type."""
    pixels = torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    return pixels.to(next(model.parameters()).dtype)


def assert_explained(model: nn.Module, layers: Sequence[str] = LAYERS, network: Network | None = None) -> Network:
    """Assert that logits and evidence are those of the untouched network, by its own backward pass."""
    network = network or prepare(model, SIDE, layers)
    pixels = pixels_of(model)
    with frozen(network.model):
        record = network.recorder.record(pixels)
        found = [
            engine_maps(segment, everywhere(upper), lower.shape)
            for segment, lower, upper in zip(
                record.segments, record.features, [*record.features[1:], record.logits], strict=True
            )
        ]
    places: dict[str, tuple[Any, Tensor]] = {}
    handles = [
        model.get_submodule(path).register_forward_hook(
            lambda _m, _a, output, path=path: places.__setitem__(path, (get_gradient_edge(output), output.clone()))
        )
        for path in layers
    ]
    leaf = pixels.clone().requires_grad_()
    logits = model(leaf.clone())
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(record.logits, logits.detach())
    uppers = [*(places[path][1] for path in layers[1:]), logits]
    for path, upper, maps, segment_features in zip(layers, uppers, found, record.features, strict=True):
        begin, lower = places[path]
        torch.testing.assert_close(segment_features, lower.detach())
        torch.testing.assert_close(maps, own_maps(begin, lower.detach(), upper, everywhere(upper.detach())))
    return network


def own_maps(begin: Any, lower: Tensor, upper: Tensor, decisions: Decisions) -> Tensor:
    """Gradient times feature by the network's own backward pass, one decision at a time."""
    maps = []
    whole = upper if upper.ndim == 4 else upper[:, :, None, None]
    for row in range(len(decisions)):
        d = decisions.at(torch.tensor([row]))
        seed = torch.zeros_like(whole, requires_grad=False)
        seed[d.image, d.channel, d.y, d.x] = d.sign.to(seed.dtype)
        (gradient,) = torch.autograd.grad(upper, begin, seed.view_as(upper), retain_graph=True)
        maps.append((gradient * lower)[d.image[0]])
    return torch.stack(maps)


# (a) Writing in place


def _data(_: Stages, x: Tensor) -> Tensor:
    x.data.mul_(2)
    return x + 1


def _copied(_: Stages, x: Tensor) -> Tensor:
    y = x * 2
    y.copy_(x.roll(1, 1))
    return y + x


def _part(_: Stages, x: Tensor) -> Tensor:
    x = x * 1
    x[:, 0] = 0
    return x


def _view(_: Stages, x: Tensor) -> Tensor:
    x = x * 1
    y = x.view(len(x), -1)
    y.mul_(0.5)
    return x


def _slice(_: Stages, x: Tensor) -> Tensor:
    x = x * 1
    x[:, :3].relu_()
    return x


def _alias(_: Stages, x: Tensor) -> Tensor:
    x = x * 1
    same = x.contiguous()
    x += 1
    return same * x


def _masked(_: Stages, x: Tensor) -> Tensor:
    y = x * 1
    z = y.masked_fill_(y > 0.2, 0.2)
    return y + z


def _twice(self: Stages, x: Tensor) -> Tensor:
    for _ in range(3):
        x = x + self.inner(self.act(x))  # type: ignore[operator]
    return x


IN_PLACE: dict[str, Callable[[], Stages]] = {
    "functional": lambda: stages(lambda _, x: F.relu(x := x * 1, inplace=True) * 0.5 + x),
    "method": lambda: stages(lambda _, x: (y := x * 1).relu_() + y),
    "added": lambda: stages(lambda _, x: (y := x * 1).add_(1) * y),
    "set to 0": lambda: stages(_part),
    "masked": lambda: stages(_masked),
    "copied into": lambda: stages(_copied),
    "through a view": lambda: stages(_view),
    "through a slice": lambda: stages(_slice),
    "under two names": lambda: stages(_alias),
    "data": lambda: stages(_data),
    "clamp": lambda: stages(lambda _, x: torch.clamp_(y := x * 1, -0.1, 0.2) + y),
    "dropout": lambda: stages(lambda _, x: F.dropout(y := x * 1, 0.5, False, True) + y),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_what_is_written_in_place_is_read_afterwards(name: str) -> None:
    assert_explained(IN_PLACE[name]())


@report("meta-pytorch/captum#156", "the map is the convolution's, though the ReLU behind it writes into it")
def test_a_map_that_the_next_module_overwrites_is_kept() -> None:
    model = stages(lambda self, x: self.relu(x), relu=nn.ReLU(inplace=True))
    assert_explained(model)
    prepared = prepare(model, SIDE, ("first", "high"))
    with frozen(model):
        features = prepared.recorder.record(pixels_of(model)).features[0]
    torch.testing.assert_close(features, model.first(pixels_of(model)))


@pytest.mark.parametrize("act", [nn.ReLU, nn.Hardtanh, nn.ELU, nn.ReLU6], ids=lambda act: act.__name__)
@report("rosinality/vq-vae-2-pytorch#60", "the stored logits are those of the network that writes in place")
def test_activation_in_place_before_the_shortcut(act: Callable[..., nn.Module]) -> None:
    assert_explained(stages(_twice, act=act(inplace=True), inner=nn.Conv2d(6, 6, 3, padding=1)))


def test_a_result_written_into_another_tensor_is_refused() -> None:
    """Of it torch itself has no gradient."""
    with pytest.raises(ModelError, match=r"does not run with a gradient.*out="):
        prepare(stages(lambda _, x: torch.add(x, x, out=torch.empty_like(x))), SIDE)


# (b) Backward passes of the network's own


class Round(torch.autograd.Function):
    """The straight-through estimator of quantised networks."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x * 8) / 8

    @staticmethod
    def backward(_ctx: Any, *gradients: Any) -> Any:
        return gradients[0]


class Reverse(torch.autograd.Function):
    """The gradient reversal of domain-adversarial networks, which gives back its input."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(_ctx: Any, *gradients: Any) -> Any:
        return -gradients[0]


class Guided(torch.autograd.Function):
    """A ReLU that lets only positive gradients back, in the form with a context of its own."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clamp(min=0)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:  # noqa: ARG004 - torch gives them by name
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0].clamp(min=0) * (ctx.saved_tensors[0] > 0)


class Same(torch.autograd.Function):
    """Gives back its very input, and half of its gradient."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return x

    @staticmethod
    def backward(_ctx: Any, *gradients: Any) -> Any:
        return gradients[0] / 2


ROUND = Round.apply
SAME = Same.apply


@torch.library.custom_op("evigraph_tests::doubled", mutates_args=(), schema="(Tensor x) -> Tensor")
def doubled(x: Tensor) -> Tensor:
    """Twice the input; its backward pass says thrice."""
    return x * 2


doubled.register_autograd(lambda _ctx, gradient: gradient * 3)


def _hooked_tensor(_: Stages, x: Tensor) -> Tensor:
    y = x * 1
    if y.requires_grad:
        y.register_hook(lambda gradient: gradient * 2)  # type: ignore[no-untyped-call]
    return y


def _backward_hooked(register: str) -> Stages:
    model = stages(lambda self, x: self.inner(x), inner=nn.Conv2d(6, 6, 1))
    hooks: dict[str, Callable[..., Any]] = {
        "register_full_backward_hook": lambda _m, given, _out: (given[0] * 2,),
        "register_full_backward_pre_hook": lambda _m, out: (out[0] * -1,),
        "register_backward_hook": lambda _m, given, _out: (given[0] * 2, *given[1:]),
    }
    getattr(model.inner, register)(hooks[register])
    return model


def _hooked_forward(*, before: bool = False) -> Stages:
    inner = nn.Conv2d(6, 6, 1)
    model = stages(lambda self, x: self.inner(x), inner=inner)
    if before:
        inner.register_forward_pre_hook(lambda _m, args: (args[0] * 2,))
    else:
        inner.register_forward_hook(lambda _m, _args, output: output.tanh())
    return model


def _hooked_pooling() -> Stages:
    model = stages(lambda _, x: x)

    def reverse(_module: nn.Module, _args: Any, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda gradient: -gradient)  # type: ignore[no-untyped-call]

    model.pool.register_forward_hook(reverse)
    return model


def _patched() -> Stages:
    model = stages(lambda _, x: x)
    model.pool.forward = lambda x: F.avg_pool2d(x, 2)  # type: ignore[method-assign,assignment]
    return model


OWN_BACKWARD: dict[str, Callable[[], Stages]] = {
    "straight through": lambda: stages(lambda _, x: Round.apply(x)),
    "known by another name": lambda: stages(lambda _, x: ROUND(x)),
    "reversed": lambda: stages(lambda _, x: Reverse.apply(x)),
    "guided": lambda: stages(lambda _, x: Guided.apply(x)),
    "the very input": lambda: stages(lambda _, x: SAME(x) * 1.5),
    "custom operation": lambda: stages(lambda _, x: doubled(x)),
    "hook on a tensor": lambda: stages(_hooked_tensor),
    "hook in a hook": _hooked_pooling,
    "full backward hook": lambda: _backward_hooked("register_full_backward_hook"),
    "full backward pre-hook": lambda: _backward_hooked("register_full_backward_pre_hook"),
    "old backward hook": lambda: _backward_hooked("register_backward_hook"),
    "forward hook": _hooked_forward,
    "forward pre-hook": lambda: _hooked_forward(before=True),
    "forward of an instance": _patched,
    "detached branch": lambda: stages(lambda _, x: x * x.mean((2, 3), keepdim=True).detach().sigmoid()),
}


@pytest.mark.filterwarnings("ignore:Using a non-full backward hook")
@pytest.mark.parametrize("name", OWN_BACKWARD)
def test_the_networks_own_backward_counts(name: str) -> None:
    assert_explained(OWN_BACKWARD[name]())


@report("pytorch/pytorch#84515", "not traced through: recorded by hooks, with the backward pass that it has")
def test_an_autograd_function_is_named() -> None:
    network = prepare(OWN_BACKWARD["straight through"](), SIDE, LAYERS)
    assert isinstance(network.recorder, HookedRecorder)
    assert "Round is a torch.autograd.Function with a backward pass of its own" in str(network.fallbacks[0])


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_change_nothing(reentrant: bool) -> None:
    def between(self: Any, x: Tensor) -> Tensor:
        value: Tensor = torch.utils.checkpoint.checkpoint(self.inner, x, use_reentrant=reentrant)
        return value

    model = stages(between, inner=nn.Conv2d(6, 6, 1))
    network = prepare(model, SIDE, LAYERS)
    assert isinstance(network.recorder, WindowedRecorder)
    if not reentrant:  # torch.autograd.grad does not work with the others
        assert_explained(model)


@report("pytorch/pytorch#61519", "torch itself refuses; so does the run, in one line")
def test_a_backward_hook_before_writing_in_place_is_refused() -> None:
    inner = nn.Conv2d(6, 6, 1)
    model = stages(lambda self, x: self.inner(x).relu_(), inner=inner)
    inner.register_full_backward_hook(lambda _m, _given, _out: None)
    with pytest.raises(ModelError, match="does not run with a gradient"):
        prepare(model, SIDE)


# (c) Without a gradient, in another precision, weights that are computed


def _shifted(_: Stages, x: Tensor) -> Tensor:
    with torch.no_grad():
        shift = x.mean((2, 3), keepdim=True)
    return x - shift


@report("pytorch/pytorch#62043", "what torch.no_grad computes has no gradient")
def test_a_part_without_a_gradient() -> None:
    network = assert_explained(stages(_shifted))
    assert "torch.no_grad" in str(network.fallbacks[0])


def _autocast(_: Stages, x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return F.conv2d(x, torch.ones(6, 6, 1, 1, dtype=x.dtype) / 7).to(x.dtype)


def test_autocast_is_honoured() -> None:
    model = stages(_autocast).float()
    network = prepare(model, SIDE, LAYERS)
    assert "torch.autocast" in str(network.fallbacks[0])
    pixels = pixels_of(model)
    with frozen(model), torch.no_grad():
        assert torch.equal(network.recorder.record(pixels).logits, model(pixels))


def _without(switch: Callable[[], Any]) -> Callable[[Any, Tensor], Tensor]:
    def between(_: Stages, x: Tensor) -> Tensor:
        with switch():
            x = x * 2
        return x.clone()

    return between


@pytest.mark.parametrize(
    "between",
    [_without(torch.no_grad), _without(torch.inference_mode), lambda _, x: x.detach() * 2],
    ids=["no_grad", "inference_mode", "detach"],
)
def test_layers_below_what_cuts_the_gradient_off_are_refused_by_name(between: Callable[..., Tensor]) -> None:
    with pytest.raises(ModelError, match=r"no gradient runs through layer low: .*torch.no_grad.*--layers"):
        prepare(stages(between), SIDE, LAYERS)
    assert [layer.module for layer in prepare(stages(between), SIDE).layers] == ["high"]


@report("https://github.com/jacobgil/pytorch-grad-cam/issues/511", "a forward under torch.no_grad is refused by name")
def test_a_network_without_any_gradient_is_refused() -> None:
    class Predictor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = tiny.network()

        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.body(x)
            return logits

    with pytest.raises(ModelError, match=r"no gradient runs from the logits of Predictor .*module body.0"):
        prepare(Predictor(), tiny.SIDE)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
@pytest.mark.parametrize(
    "norm",
    [
        torch.nn.utils.weight_norm,
        torch.nn.utils.spectral_norm,
        torch.nn.utils.parametrizations.weight_norm,
        torch.nn.utils.parametrizations.spectral_norm,
    ],
    ids=["weight_norm", "spectral_norm", "weight_norm parametrization", "spectral_norm parametrization"],
)
def test_weights_that_are_computed(norm: Callable[[nn.Module], nn.Module]) -> None:
    model = stages(lambda self, x: self.inner(x), inner=norm(nn.Conv2d(6, 6, 3, padding=1)))
    network = assert_explained(model)
    assert network.fallbacks == [None, None]


def test_standardised_weights() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return F.conv2d(x, weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5), self.bias, padding=1)

    assert_explained(stages(lambda self, x: self.inner(x), inner=Standardised(6, 6, 3)))


def test_deterministic_algorithms() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        assert_explained(stages(lambda _, x: x[:, [1, 0, 2, 3, 5, 4]] * 2))
    finally:
        torch.use_deterministic_algorithms(False)


# Random numbers and states


class Counting(nn.Module):
    """Adds a little more with each call."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step, self.calls = step, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.step * self.calls


class Noise(nn.Module):
    """Adds noise, in evaluation mode too."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)


@pytest.mark.parametrize(
    ("model", "where"),
    [
        pytest.param(
            lambda: stages(lambda _, x: F.dropout(x, 0.1, training=True)),
            "pool",
            marks=report("Coderx7/SimpleNet#2", "refused: another answer each time, by the module behind dropout"),
        ),
        pytest.param(
            lambda: stages(lambda _, x: F.dropout(x)),
            "pool",
            marks=report("delip/PyTorchNLPBook#28", "refused: F.dropout without training=self.training"),
        ),
        (lambda: stages(lambda _, x: x * torch.rand(1, dtype=x.dtype)), "pool"),
        (lambda: stages(lambda self, x: self.noise(x), noise=Noise()), "noise"),
        (lambda: stages(lambda self, x: self.state(x), state=Counting(0.1)), "state"),
    ],
)
def test_another_answer_each_time_is_called_that(model: Callable[[], nn.Module], where: str) -> None:
    with pytest.raises(ModelError, match=rf"another answer each time for the same input, first at module {where} \("):
        prepare(model(), SIDE)


def test_a_count_without_effect_is_no_state() -> None:
    assert_explained(stages(lambda self, x: self.state(x), state=Counting(0.0)))


# During the run


class Sometimes(nn.Module):
    """The tiny network, but for images that are darker than any that `prepare` tries."""

    def __init__(self) -> None:
        super().__init__()
        self.network = tiny.network()
        self.seen = False

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(torch.where((x.mean((1, 2, 3), keepdim=True) > -0.5), x, self.other(x)))
        return logits

    def other(self, x: Tensor) -> Tensor:
        """Another function when it is run than when it is traced."""
        return x if type(x) is not Tensor else -x


def test_a_batch_that_differs_ends_the_run() -> None:
    torch.manual_seed(0)
    network = prepare(Sometimes(), tiny.SIDE)
    check = SampleCheck(network.model, network.recorder)
    dark = torch.randn(2, 3, tiny.SIDE, tiny.SIDE) - 2
    with frozen(network.model):
        check.compare(dark + 2, network.recorder.record(dark + 2))
        for _ in range(99):  # one in a hundred is compared
            check.compare(dark, network.recorder.record(dark))
        with pytest.raises(ModelError, match=r"batch 101 differ by .* module network.0 is the first"):
            check.compare(dark, network.recorder.record(dark))


def test_the_run_ends_with_the_module(tmp_path: Path, cli: Cli) -> None:
    tiny.draw_images(tmp_path / "img", 4)
    arguments = ["--weights", "random", "--data", f"imagefolder:{tmp_path / 'img'}", *tiny.INPUT, "--workers", "0"]
    outcome = cli("index", "--model", f"{__name__}:always_dark", *arguments, "--run", tmp_path / "run", "--quiet")
    assert outcome.code == 1
    assert "module network.0 is the first whose output differs" in outcome.error


def always_dark() -> nn.Module:
    """`Sometimes`, of images that are dark for it."""

    class Dark(Sometimes):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(torch.where(x.abs().amax((1, 2, 3), keepdim=True) <= 1, x - 3, x))

    return Dark()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_small_and_large_logits_are_the_networks(scale: float) -> None:
    model = stages(lambda _, x: x)
    with torch.no_grad():
        model.head.weight.mul_(scale)
        model.head.bias.mul_(scale).add_(1000 * scale)
    assert_explained(model.float().double())


def _poisoned(name: str) -> nn.Module:
    model = tiny.network()
    with torch.no_grad():
        model.get_parameter(name).view(-1)[0] = torch.nan
    return model


@pytest.mark.parametrize("name", ["0.weight", "6.bias", "10.weight"])
def test_weights_that_are_not_finite_are_named(name: str) -> None:
    with pytest.raises(ModelError, match=rf"weights of Sequential are not finite: 1 of \d+ values of {name}"):
        prepare(_poisoned(name), tiny.SIDE)


def test_a_network_that_writes_into_its_input_leaves_the_images() -> None:
    class Normalising(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = tiny.network()

        def forward(self, x: Tensor) -> Tensor:
            x.sub_(0.5).div_(0.25)
            logits: Tensor = self.network(x)
            return logits

    for network in (prepare(Normalising(), tiny.SIDE), prepare(Reversing(), tiny.SIDE)):
        pixels = torch.randn(2, 3, tiny.SIDE, tiny.SIDE)
        given = pixels.clone()
        with frozen(network.model):
            record = network.recorder.record(pixels)
            SampleCheck(network.model, network.recorder).compare(pixels, record)
            network.recorder.features_at(0, pixels)
            network.recorder.logits_from(0, record.features[0], pixels)
        assert torch.equal(pixels, given)


class Reversing(nn.Module):
    """Writes into its input, and cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.network = tiny.network()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(Reverse.apply(x.sub_(0.5)))
        return logits


@pytest.mark.parametrize("traced", [True, False])
def test_a_network_that_is_another_with_a_gradient_is_refused(traced: bool) -> None:
    def between(_: Stages, x: Tensor) -> Tensor:
        x = x if traced else SAME(x)
        return x * 2 if torch.is_grad_enabled() else x * 3

    with pytest.raises(ModelError, match=r"is another network where gradients are needed.*is_grad_enabled"):
        prepare(stages(between), SIDE)


@report("mahmoodlab/CLAM#314", "dropout that the network's own eval leaves on is kept, so it is no one network")
@pytest.mark.parametrize(("norm", "message"), [(False, "gives another answer each time"), (True, "mixes the images")])
def test_the_mode_is_what_the_networks_own_eval_makes_it(norm: bool, message: str) -> None:
    class Kept(Stages):
        def train(self, mode: bool = True) -> Kept:
            super().train(mode)
            self.inner.training = True  # type: ignore[union-attr]
            return self

    inner = nn.BatchNorm2d(6) if norm else nn.Dropout(0.5)
    model = Kept(lambda self, x: self.inner(x), inner=inner).eval()  # type: ignore[operator]
    with pytest.raises(ModelError, match=message):
        prepare(model, SIDE)


@report("frgfm/torch-cam#217", "refused: what forward does needs a gradient always")
def test_a_forward_that_needs_a_gradient_always_is_refused() -> None:
    def between(_: Stages, x: Tensor) -> Tensor:
        x.register_hook(lambda gradient: gradient)  # type: ignore[no-untyped-call]
        return x

    with pytest.raises(ModelError, match=r"doesn't require gradient; forward needs a gradient always: .*requires_grad"):
        prepare(stages(between), SIDE)


@report("sksq96/pytorch-summary#103", "a part in TorchScript, which takes no hooks, is run as it is")
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_scripted_part() -> None:
    inner = torch.jit.script(nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()))
    assert_explained(stages(lambda self, x: self.inner(x), inner=inner))


@pytest.mark.parametrize(
    "compiled",
    [
        lambda model: setattr(model, "forward", torch.compile(model.forward, backend="eager")),
        lambda model: setattr(model, "between", torch.compile(model.between, backend="eager")),
    ],
    ids=["forward", "a function"],
)
def test_functions_that_are_compiled_are_traced(compiled: Callable[[Stages], None]) -> None:
    model = stages(lambda _, x: x * 2)
    compiled(model)
    network, plain = prepare(model, SIDE), stages(lambda _, x: x * 2)
    # torch 2.4 does not let them be traced; hooks record them, and say why.
    assert isinstance(network.recorder, WindowedRecorder) != torch.__version__.startswith("2.4.")
    with frozen(model), torch.no_grad():
        torch.testing.assert_close(network.recorder.record(pixels_of(plain)).logits, plain(pixels_of(plain)))


@pytest.mark.skipif(torch.__version__.startswith("2.4."), reason="torch 2.4 exports maps as one operation; refused")
def test_an_exported_network() -> None:
    exported = torch.export.export(
        stages(lambda _, x: x * 2).float(),
        (torch.zeros(2, 3, SIDE, SIDE),),
        dynamic_shapes=({0: torch.export.Dim("n")},),
    ).module()
    network = prepare(exported, SIDE)
    with frozen(exported), torch.no_grad():
        pixels = torch.randn(3, 3, SIDE, SIDE)
        torch.testing.assert_close(network.recorder.record(pixels).logits, exported(pixels))


def test_a_network_of_one_image_is_refused() -> None:
    exported = torch.export.export(stages(lambda _, x: x).float(), (torch.zeros(1, 3, SIDE, SIDE),)).module()
    with pytest.raises(ModelError, match=r"cannot run on an input of \(2, .*; give a network that takes batches"):
        prepare(exported, SIDE)


class Apart(nn.Module):
    """Runs a network for each image, or for views of it."""

    def __init__(self, views: bool) -> None:
        super().__init__()
        self.network, self.views = tiny.network(), views

    def forward(self, x: Tensor) -> Tensor:
        if self.views:
            logits: Tensor = self.network(torch.cat([x, x.flip(3)])).view(2, len(x), -1).mean(0)
            return logits if logits.max().item() < 1e6 else logits / 2
        return torch.cat([self.network(one[None]) for one in x])


@pytest.mark.parametrize("views", [False, True])
def test_maps_of_other_images_than_the_batchs_are_refused(views: bool) -> None:
    with pytest.raises(ModelError, match=r"maps for \d images: forward takes a batch apart"):
        prepare(Apart(views).eval(), tiny.SIDE, ["network.4"] if views else None)


def test_a_layer_behind_what_is_cut_off_depends_on_the_whole_input() -> None:
    network = prepare(stages(_without(torch.no_grad)), SIDE)
    zero = torch.zeros(1, dtype=torch.long)
    with frozen(network.model):
        boxes = network.recorder.receptive_fields(0, pixels_of(network.model), zero, zero, zero, zero)
    assert boxes == [(0, SIDE, 0, SIDE)]


def test_where_no_map_has_a_gradient_the_last_is_named() -> None:
    class Frozen(Stages):
        def forward(self, pixels: Tensor) -> Tensor:
            with torch.no_grad():
                value = self.high(self.second(self.pool(self.low(self.first(pixels)))))
            logits: Tensor = self.head(F.adaptive_avg_pool2d(value, 1).flatten(1))
            return logits

    with pytest.raises(ModelError, match="no gradient runs"):
        prepare(Frozen(lambda _, x: x).eval(), SIDE)


def test_logits_of_another_type_are_rounded_as_the_network_is() -> None:
    class Double(Stages):
        def forward(self, pixels: Tensor) -> Tensor:
            return super().forward(pixels).double()

    assert isinstance(prepare(Double(lambda _, x: x).eval(), SIDE).recorder, WindowedRecorder)
