"""Radial networks of e3nn: layers without bias that scale by their own size."""

import sys
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from overparam.compact_mlp import is_linear
from overparam.hidden_units import Affine, HiddenUnits, chain_units, put


def is_radial(module: nn.Module) -> bool:
    """Tell whether ``module`` is an ``e3nn.nn.FullyConnectedNet``."""
    return is_e3nn(module, "nn", "FullyConnectedNet")


def is_e3nn(module: nn.Module, floor: str, name: str) -> bool:
    """Tell whether ``module`` computes as the class ``e3nn.<floor>.<name>`` does."""
    library = sys.modules.get("e3nn")  # who holds an e3nn module has imported it
    found: Any = getattr(getattr(library, floor, None), name, None)
    if found is None or not isinstance(module, found):
        return False
    return type(module).forward is found.forward  # a subclass may do something else


class RadialAffine(Affine):
    """A layer of ``FullyConnectedNet``: weight ``(inputs, outputs)``, no bias, its own scaling.

    The layer divides by ``sqrt(h_in)``. The matrix seen here is the stored one; when inputs are
    dropped it is scaled so that the layer keeps its outputs, and could be rebuilt from its sizes.
    """

    takes_bias = False

    def tensors(self) -> Iterator[tuple[nn.Module, str]]:
        """Yield the one parameter."""
        yield self.module, "weight"

    def matrix(self) -> Float[Tensor, "outputs inputs"]:
        """Return the weights, outputs first."""
        return self.module.weight.detach().T

    def bias(self) -> Float[Tensor, " outputs"]:
        """Return zeros."""
        return self.matrix().new_zeros(len(self.matrix()))

    def add_bias(self, extra: Float[Tensor, " outputs"]) -> None:
        """Refuse: there is no bias."""
        raise ValueError("a radial layer must not get a bias, it has none")

    def keep_outputs(self, index: Int64[Tensor, " kept"]) -> None:
        """Keep the output units of ``index`` only."""
        put(self.module, "weight", self.matrix()[index].T)
        self.module.h_out = len(index)
        self._describe()

    def keep_inputs(self, index: Int64[Tensor, " kept"]) -> None:
        """Keep the inputs of ``index`` only; the rest of the scaling moves into the weights."""
        before = self.matrix().shape[1]
        scale = (len(index) / before) ** 0.5
        put(self.module, "weight", (self.matrix()[:, index] * scale).T)
        self.module.h_in = len(index)
        self._describe()

    def _describe(self) -> None:
        if hasattr(self.module, "_profiling_str"):
            self.module._profiling_str = repr(self.module)


def radial_units(prefix: str, net: Any) -> list[HiddenUnits]:
    """Describe the hidden units of a ``FullyConnectedNet``."""
    layers = list(net.children())
    names = [f"{prefix}{name}" for name, _ in net.named_children()]
    units = chain_units(
        [RadialAffine(layer) for layer in layers],
        [layer.act or nn.Identity() for layer in layers[:-1]],
        names,
    )
    for group in units:
        group.resized = lambda _: setattr(net, "hs", radial_widths(net))
    return units


def radial_widths(net: Any) -> list[int]:
    """Return the sizes of a ``FullyConnectedNet``, inputs first."""
    layers = list(net.children())
    return [layers[0].weight.shape[0], *(layer.weight.shape[1] for layer in layers)]


def last_affine(radial: Any) -> Affine | None:
    """Return the affine map that makes the outputs of a radial network, if nothing follows it."""
    if is_linear(radial):
        return Affine(radial)
    children = list(radial.children())
    if type(radial).__name__ == "_Layer" and type(radial).__module__.startswith("e3nn."):
        act = getattr(radial, "act", None)
        silent = act is None or not bool(act(torch.zeros(1)).any())
        return RadialAffine(radial) if silent else None
    if isinstance(radial, nn.Sequential) and children:
        return last_affine(children[-1])
    return None
