"""Laws of masked modules: each compares a module with a plain copy whose zeros are folded in.

Every law takes ``(module, inputs)``, leaves the module as it was, and raises AssertionError when
broken. A law that torch cannot run on the plain module either raises torch's own error, the same
for both.
"""

import copy
import io
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.testing import assert_close

from overparam.masks import Masks
from overparam.parametrization import bake, effective, original
from overparam.plain import install_from_state, plain_keys, plain_state

Inputs = tuple[Tensor, ...]
Law = Callable[[nn.Module, Inputs], None]


def assert_masked_zeros(module: nn.Module, inputs: Inputs = ()) -> None:
    """Pruned entries are exactly zero, kept ones the trained values; pruned gradients vanish."""
    grads = grads_of(module, loss_of(module, inputs)) if inputs else {}
    for name, mask in Masks(module).items():
        shown, stored = effective(module, name), original(module, name)
        assert bool((shown[~mask] == 0).all()), f"{name} shows pruned entries"
        assert torch.equal(shown[mask], stored[mask]), f"{name} changes kept entries"
        if name in grads:
            assert bool((grads[name][~mask] == 0).all()), f"{name} has gradient in pruned entries"


def assert_acts_like_plain(module: nn.Module, inputs: Inputs) -> None:
    """The module and its baked copy give equal outputs and gradients."""
    assert_masked_zeros(module, inputs)
    baked = bake(module)
    assert_close(module(*inputs), baked(*inputs))
    assert_masked_grads(
        module, grads_of(module, loss_of(module, inputs)), grads_of(baked, loss_of(baked, inputs))
    )


def assert_deepcopies(module: nn.Module, inputs: Inputs) -> None:
    """A deep copy is equal and independent: unmasking or training it leaves the original be."""
    with torch.no_grad():
        before, sha = _seeded(module, inputs), Masks(module).sha()
        clone = copy.deepcopy(module)
        assert torch.equal(_seeded(clone, inputs), before)
        for parameter in clone.parameters():
            parameter.add_(1.0)
        Masks(clone).remove()
        assert torch.equal(_seeded(module, inputs), before)
        assert Masks(module).sha() == sha


def assert_averages(module: nn.Module, inputs: Inputs) -> None:
    """A moving average averages the trained values, follows the masks and keeps the zeros."""
    module = copy.deepcopy(module)
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    average.update_parameters(module)
    first = {name: value.clone() for name, value in plain_state(module).items()}
    _train(module, inputs, SGD(_trainable(module), lr=0.1), steps=1)
    for mask in Masks(module).values():
        mask.view(-1)[0] = ~mask.view(-1)[0]
    average.update_parameters(module)
    averaged = average.module
    assert Masks(averaged).sha() == Masks(module).sha()
    names = dict(plain_keys(dict(module.named_parameters())))
    for name, value in plain_state(averaged).items():
        if name in names:
            assert_close(value, (first[name] + names[name].detach()) / 2)
    assert_masked_zeros(averaged, inputs)


def assert_decays(module: nn.Module, inputs: Inputs) -> None:
    """AdamW with weight decay and stale moments trains the kept entries and no others."""
    module = copy.deepcopy(module)
    plain, sha = bake(module), Masks(module).sha()
    # Moments gathered before pruning must not move pruned entries afterwards.
    masks = Masks(module)
    kept = masks.as_dict()
    for mask in masks.values():
        mask.fill_(True)
    optimizer = AdamW(_trainable(module), lr=0.05, weight_decay=0.1)
    _train(module, inputs, optimizer, steps=2)
    for name, mask in kept.items():
        masks[name].copy_(mask)
    _train(module, inputs, optimizer, steps=3)
    assert masks.sha() == sha
    assert_masked_zeros(module, inputs)
    assert any(
        not torch.equal(value, effective(module, name))
        for name, value in plain.named_parameters()
        if value.requires_grad
    ), "nothing was trained"


def assert_resumes(module: nn.Module, inputs: Inputs, steps: int = 2) -> None:
    """Saving state dicts half way and loading them elsewhere continues to the same bits."""
    with torch.random.fork_rng():
        straight = copy.deepcopy(module)
        optimizer = AdamW(_trainable(straight), lr=0.05, weight_decay=0.1)
        _train(straight, inputs, optimizer, steps)
        buffer = io.BytesIO()
        torch.save({"module": straight.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
        random = torch.get_rng_state()
        _train(straight, inputs, optimizer, steps)

        resumed = copy.deepcopy(module)
        with torch.no_grad():
            for parameter in resumed.parameters():
                parameter.add_(1.0)
            for mask in Masks(resumed).values():
                mask.fill_(True)
        optimizer = AdamW(_trainable(resumed), lr=0.05, weight_decay=0.1)
        buffer.seek(0)
        saved = torch.load(buffer, weights_only=True)
        resumed.load_state_dict(saved["module"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(random)
        _train(resumed, inputs, optimizer, steps)
    assert_same_state(straight, resumed)


def assert_same_state(one: nn.Module, other: nn.Module) -> None:
    """Two modules hold the same bits under the same names."""
    left, right = one.state_dict(), other.state_dict()
    assert left.keys() == right.keys(), sorted(left.keys() ^ right.keys())
    for name, value in left.items():
        assert torch.equal(value, right[name]), f"{name} differs"


def assert_ignores_pruned(module: nn.Module, inputs: Inputs) -> None:
    """NaN in pruned entries reaches neither the outputs nor any gradient."""
    module = copy.deepcopy(module)
    before, slopes = module(*inputs), grads_of(module, loss_of(module, inputs))
    with torch.no_grad():
        for name, mask in Masks(module).items():
            original(module, name)[~mask] = float("nan")
    assert torch.equal(module(*inputs), before)
    for name, slope in grads_of(module, loss_of(module, inputs)).items():
        assert torch.equal(slope, slopes[name]), f"{name} sees pruned entries"


def assert_interchanges(module: nn.Module, inputs: Inputs) -> None:
    """State dicts of plain and masked modules load into each other, strictly."""
    plain = copy.deepcopy(module)
    Masks(plain).remove()
    assert plain.state_dict().keys() == plain_state(module).keys()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.mul_(2.0)
    masked, sha = copy.deepcopy(module), Masks(module).sha()
    masked.load_state_dict(plain.state_dict())
    assert Masks(masked).sha() == sha, "loading plain weights changed the masks"
    for name, value in plain.state_dict().items():
        assert torch.equal(plain_state(masked)[name], value), f"{name} was not loaded"

    install_from_state(plain, module.state_dict())
    plain.load_state_dict(module.state_dict())
    assert Masks(plain).sha() == sha, "loading a masked state lost its masks"
    assert torch.equal(plain(*inputs), module(*inputs))


def loss_of(function: Callable[..., Tensor], inputs: Inputs) -> Tensor:
    """Mean square of the output, the loss all laws train on."""
    return function(*inputs).square().mean()


def _seeded(module: nn.Module, inputs: Inputs) -> Tensor:
    """Evaluate with the random numbers every call of this function uses."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return module(*inputs)


def _trainable(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.requires_grad]


def _train(module: nn.Module, inputs: Inputs, optimizer: Optimizer, steps: int) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(module, inputs).backward()
        optimizer.step()


def grads_of(module: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """Gradients by plain name, zeros where a parameter was not used."""
    named = {k: p for k, p in module.named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    filled = [
        torch.zeros_like(p) if g is None else g for g, p in zip(grads, named.values(), strict=True)
    ]
    return plain_keys(dict(zip(named, filled, strict=True)))


def assert_masked_grads(
    module: nn.Module, grads: Mapping[str, Tensor], plain: Mapping[str, Tensor]
) -> None:
    """Derivatives in the trained values are the plain ones with pruned entries at zero.

    Leading axes, as a Jacobian has, are allowed.
    """
    masks = Masks(module)
    for name, value in plain.items():
        mask = masks.get(name)
        expected = value if mask is None else value.masked_fill(~mask, 0.0)
        assert_close(grads[name], expected)
        if mask is not None:
            pruned = (~mask).expand(grads[name].shape)
            assert bool((grads[name][pruned] == 0).all()), f"{name} has derivative where pruned"
