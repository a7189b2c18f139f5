"""Synaptic flow: how much of what enters a linearised network passes each weight.

Source: Tanaka et al., NeurIPS 2020, arXiv:2006.05467, section 4 (conservation of flow) and
algorithm 1. The published loss takes the network with ``|w|`` and ones for input, which is linear
for ReLU networks without normalisation; here the network is made linear for the others too.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from overparam.parametrization import original
from overparam.plain import plain_keys
from overparam.prunable import ParamSpec, prunable

# Elementwise functions and normalisations that a linearised network passes through.
_THROUGH = frozenset(
    {
        "alpha_dropout", "batch_norm", "celu", "cos", "dropout", "dropout1d", "dropout2d",
        "dropout3d", "elu", "feature_alpha_dropout", "gelu", "group_norm", "hardsigmoid",
        "hardswish", "hardtanh", "instance_norm", "layer_norm", "leaky_relu",
        "local_response_norm", "logaddexp", "logsigmoid", "mish", "normalize", "prelu", "relu",
        "relu6", "rms_norm", "rrelu", "selu", "sigmoid", "silu", "sin", "sinc", "sinh",
        "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold",
    }
)  # fmt: skip
# Data-dependent weights, such as attention: constants, so that what they weigh is conserved.
_CONSTANT = frozenset(("exp", "softmax", "log_softmax", "softmin", "gumbel_softmax"))


class _Linearised(TorchFunctionMode):
    """Replace nonlinear functions by the identity, and attention weights by constants."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").strip("_")
        if name in _THROUGH:
            return args[0] if args else kwargs["input"]
        value = func(*args, **kwargs)
        return value.detach() if name in _CONSTANT else value


def synflow(module: nn.Module, specs: Sequence[ParamSpec], example: Any) -> dict[str, Tensor]:
    """Return ``|w| dR/d|w| / R`` for every weight, R the sum of the linearised outputs.

    With weights replaced by their sizes, biases by zero, inputs by ones and activations by the
    identity, every layer that all paths cross sums to 1: flow is neither made nor lost. Packed
    attention passes queries, keys and values alike and mixes tokens by their mean; recurrent
    gates are added up. The flow is counted in float64, as it grows exponentially with depth.

    Raises:
        ValueError: If there is no example, the module cannot be linearised, or nothing flows.
    """
    if example is None:
        example = getattr(module, "example_input", None)
    if example is None:
        raise ValueError("criterion 'synflow' needs an example input, got None")
    inputs = example if isinstance(example, tuple) else (example,)
    ones = [
        torch.ones_like(x, dtype=torch.float64)
        if isinstance(x, Tensor) and x.is_floating_point()
        else x
        for x in inputs
    ]
    bad = [s.name for s in specs if s.kind == "tp_path"]
    if bad:
        raise ValueError(
            f"criterion 'synflow' needs non-negative couplings, got the tensor product {bad[0]}, "
            "whose Clebsch-Gordan coefficients have signs"
        )
    state = _sizes(module)
    leaves = {key: value for key, value in state.items() if value.requires_grad}
    with torch.enable_grad(), _patched(module), _Linearised():
        outputs = functional_call(module, state, tuple(ones))
        flow = torch.stack([out.sum() for out in _tensors(outputs)]).sum()
    total = flow.detach()
    if not (bool(total.isfinite()) and float(total) > 0):
        raise ValueError(
            f"criterion 'synflow' needs a finite positive flow, got {float(total):g}; "
            f"{type(module).__name__} has a nonlinearity that cannot be seen through"
        )
    slopes = torch.autograd.grad(flow, list(leaves.values()), allow_unused=True)
    keys = {id(parameter): key for key, parameter in module.named_parameters()}
    shares = dict(zip(leaves, slopes, strict=True))
    found = {}
    for spec in specs:
        weight = original(module, spec.name)
        slope = shares.get(keys[id(weight)])
        share = torch.zeros_like(weight, dtype=torch.float64)
        if slope is not None:
            # float32 would lose the smallest shares of a deep net, and with them their order
            share = weight.detach().double().abs() * slope / total
        found[spec.name] = share
    return found


def _sizes(module: nn.Module) -> dict[str, Tensor]:
    """State of the network of sizes: ``|w|`` as float64 leaves, biases zero."""
    biases = {
        owner
        for spec in prunable(module).values()
        if spec.protected == "bias"
        for owner in spec.owners
    }
    state: dict[str, Tensor] = {}
    for key, parameter in module.named_parameters():
        size = parameter.detach().double().abs()
        plain = next(iter(plain_keys({key: 0})), key)
        if plain in biases:
            size.zero_()
        state[key] = size.requires_grad_(plain not in biases)
    for key, buffer in module.named_buffers():
        wide = torch.float64 if buffer.is_floating_point() else buffer.dtype
        state[key] = buffer.to(wide, copy=True)
    return state


@contextmanager
def _patched(module: nn.Module) -> Iterator[None]:
    """Let layers that compute as one fused kernel, and named activations, be linear."""
    patched: list[tuple[nn.Module, str]] = []

    def put(layer: nn.Module, name: str, call: Any) -> None:
        object.__setattr__(layer, name, call)
        patched.append((layer, name))

    try:
        for layer in module.modules():
            if isinstance(layer, nn.MultiheadAttention):
                put(layer, "forward", _attention(layer))
            elif isinstance(layer, nn.RNNBase):
                put(layer, "forward", _recurrence(layer))
            elif callable(getattr(layer, "shape_derivatives", None)):
                put(layer, "shape", lambda s: s)  # an activation f(z) = shape(factor z)
        yield
    finally:
        for layer, name in patched:
            object.__delattr__(layer, name)


def _attention(layer: nn.MultiheadAttention) -> Any:
    def forward(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Any:
        tokens = 1 if layer.batch_first or query.dim() == 2 else 0
        tokens = 0 if query.dim() == 2 else tokens
        if layer.in_proj_weight is not None:
            q, k, v = layer.in_proj_weight.chunk(3)
        else:
            q, k, v = layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight
        mixed = (key @ k.T + value @ v.T).mean(tokens, keepdim=True)
        out = (query @ q.T + mixed) @ layer.out_proj.weight.T
        return out, None

    return forward


def _recurrence(layer: nn.RNNBase) -> Any:
    def summed(name: str) -> Tensor:
        weight = getattr(layer, name)
        return weight.reshape(-1, layer.hidden_size, weight.shape[1]).sum(0)

    def forward(x: Tensor, *_: Any, **__: Any) -> Any:
        if not isinstance(x, Tensor):
            raise ValueError("criterion 'synflow' needs padded sequences, got a packed one")
        if layer.proj_size:
            raise ValueError(f"criterion 'synflow' needs proj_size 0, got {layer.proj_size}")
        steps = 1 if layer.batch_first and x.dim() == 3 else 0
        last: list[Tensor] = []
        for depth in range(layer.num_layers):
            ways = []
            for way in ("", "_reverse")[: 2 if layer.bidirectional else 1]:
                into, again = (summed(f"weight_{w}_l{depth}{way}") for w in ("ih", "hh"))
                # Damped by its size: the state of a long sequence would overflow.
                again = again / again.detach().sum(0).max().clamp(min=1.0)
                state = x.new_zeros(*x.select(steps, 0).shape[:-1], layer.hidden_size)
                states = []
                inputs = x.unbind(steps)
                for token in inputs if not way else reversed(inputs):
                    state = token @ into.T + state @ again.T
                    states.append(state)
                last.append(state)
                ways.append(torch.stack(states if not way else states[::-1], steps))
            x = torch.cat(ways, -1)
        hidden = torch.stack(last)
        return x, (hidden, hidden) if isinstance(layer, nn.LSTM) else hidden

    return forward


def _tensors(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, dict):
        for item in outputs.values():
            yield from _tensors(item)
    elif isinstance(outputs, list | tuple):
        for item in outputs:
            yield from _tensors(item)
