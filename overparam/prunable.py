"""Which weights of a module can be masked, and what each of them is.

Everything that selects weights (criteria, tickets, reports, shrinking) reads this one table, so
a new layer family is taught to the package here and nowhere else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter, is_lazy
from torch.nn.utils import parametrize

from overparam.path_family import PathFamily

PROTECT = ("first", "last", "norm", "bias")
KINDS = ("dense", "conv", "recurrent", "attention", "tp_path", "gnn", "hyper", "embed", "vector")
_PROTECTABLE = ("first", "last", "norm", "bias", "embed")


@dataclass(frozen=True)
class ParamSpec:
    """One maskable parameter.

    Attributes:
        name: Name in the plain (unmasked) module, such as ``"field.hidden.1.affine.weight"``.
        kind: One of ``KINDS``.
        shape: Shape of the tensor.
        unit_axis: Axis along which output units (neurons, filters) are counted.
        parts: Number of equal groups packed along ``unit_axis`` that are pruned separately:
            3 for packed q, k, v and for GRU gates, 4 for LSTM gates.
        paths: Flat sizes of the tensor-product paths of an e3nn weight; empty otherwise.
        protected: Why the weight is left alone by default, or None.
        owners: Every plain name of the tensor; more than one when the weight is tied.
        families: Paths that own part of the weight, each with its strands in this weight only.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    unit_axis: int = 0
    parts: int = 1
    paths: tuple[int, ...] = ()
    protected: str | None = None
    owners: tuple[str, ...] = ()
    families: tuple[PathFamily, ...] = ()

    @property
    def numel(self) -> int:
        """Number of scalars in the tensor."""
        return prod(self.shape)


def layers(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the named submodules that can own weights: no parametrizations, no script code."""
    for name, layer in module.named_modules():
        if "parametrizations" in name.split(".") or layer.__class__.__name__.endswith(
            ("ScriptModule", "GraphModule", "GraphModuleImpl")
        ):
            continue
        yield name, layer


def own_parameters(layer: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield a layer's own parameters by plain attribute name, masked ones included."""
    for name, parameter in layer._parameters.items():
        if parameter is not None:
            yield name, parameter
    if parametrize.is_parametrized(layer):
        for name, chain in layer.parametrizations.items():  # type: ignore[operator,union-attr]
            original = getattr(chain, "original", None)
            if original is not None:
                yield name, original


def prunable(module: nn.Module, protect: Sequence[str] = PROTECT) -> dict[str, ParamSpec]:
    """List every maskable weight of ``module``; protected ones carry the reason.

    Args:
        module: Any module; masked layers are listed under their plain names.
        protect: Subset of ``first last norm bias embed``. ``first`` and ``last`` are the first
            and last weight matrices in registration order.

    Returns:
        Plain name to specification, in registration order.

    Raises:
        ValueError: If ``protect`` holds an unknown word or a lazy layer has not run yet.
    """
    unknown = set(protect) - set(_PROTECTABLE)
    if unknown:
        known = ", ".join(_PROTECTABLE)
        raise ValueError(f"protect must be among {known}; got {', '.join(sorted(unknown))}")
    specs: dict[str, ParamSpec] = {}
    seen: dict[int, str] = {}
    for prefix, layer in layers(module):
        for attribute, parameter in own_parameters(layer):
            name = f"{prefix}.{attribute}" if prefix else attribute
            if id(parameter) in seen:
                first = seen[id(parameter)]
                if first in specs:
                    owners = (*specs[first].owners, name)
                    specs[first] = replace(specs[first], owners=owners)
                continue
            if isinstance(parameter, UninitializedParameter) or is_lazy(parameter):
                raise ValueError(
                    f"{name} must be initialised before it can be masked: run one forward first, "
                    f"got a lazy {type(layer).__name__}"
                )
            seen[id(parameter)] = name
            spec = _describe(layer, attribute, name, parameter)
            if spec is not None:
                specs[name] = replace(spec, owners=(name,))
    return _protect(_with_families(module, specs), protect)


def declared(module: nn.Module) -> dict[str, PathFamily]:
    """Return the families of paths that parts of ``module`` name by ``path_families()``."""
    found = {}
    for prefix, layer in layers(module):
        named = getattr(layer, "path_families", None)
        for family in named() if callable(named) else ():
            full = family.under(prefix)
            found[full.name] = full
    return found


def _with_families(module: nn.Module, specs: dict[str, ParamSpec]) -> dict[str, ParamSpec]:
    """Tell each weight which paths own part of it."""
    out = dict(specs)
    first = {owner: name for name, spec in specs.items() for owner in spec.owners}
    for family in declared(module).values():
        family.check({owner: specs[name].shape for owner, name in first.items()})
        for strand in family.strands:
            name = first[strand.weight]
            piece = replace(family, strands=(replace(strand, weight=name),))
            out[name] = replace(out[name], families=(*out[name].families, piece))
    return out


def _describe(layer: nn.Module, attribute: str, name: str, weight: Tensor) -> ParamSpec | None:
    """Tell what a parameter is from the layer that owns it; None if it must stay whole."""
    shape = tuple(weight.shape)
    homes = {c.__module__.split(".")[0] for c in type(layer).__mro__}
    words = {c.__name__ for c in type(layer).__mro__}
    if any("Norm" in word for word in words):
        return ParamSpec(name, "vector", shape, protected="norm")
    if "e3nn" in homes:
        return _describe_e3nn(layer, attribute, name, shape)
    if weight.dim() < 2:
        return ParamSpec(name, "vector", shape, protected="bias")
    if isinstance(layer, nn.MultiheadAttention):
        packed = attribute == "in_proj_weight"
        if "weight" not in attribute:  # bias_k and bias_v are three-dimensional biases
            return ParamSpec(name, "vector", shape, protected="bias")
        return ParamSpec(name, "attention", shape, parts=3 if packed else 1)
    if isinstance(layer, nn.RNNBase | nn.RNNCellBase):
        gates = 3 if "GRU" in type(layer).__name__ else 4 if "LSTM" in type(layer).__name__ else 1
        return ParamSpec(name, "recurrent", shape, parts=gates)
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        return ParamSpec(name, "embed", shape, protected="embed")
    if isinstance(layer, nn.modules.conv._ConvNd):
        return ParamSpec(name, "conv", shape, unit_axis=1 if layer.transposed else 0)
    if "torch_geometric" in homes:
        # Attention vectors, edge scales and the like are small and shared by every node.
        return ParamSpec(name, "gnn", shape) if attribute == "weight" else None
    return ParamSpec(name, "dense", shape)


def _describe_e3nn(
    layer: nn.Module, attribute: str, name: str, shape: tuple[int, ...]
) -> ParamSpec | None:
    """Tell apart e3nn's flat path weights, its radial layers and its biases."""
    if attribute != "weight":
        return ParamSpec(name, "vector", shape, protected="bias")
    instructions = getattr(layer, "instructions", None)
    if instructions is None:  # a layer of e3nn.nn.FullyConnectedNet stores (in, out)
        return ParamSpec(name, "dense", shape, unit_axis=1)
    sizes = tuple(
        prod(path.path_shape)
        for path in instructions
        # a tensor product marks weightless paths, a linear map marks biases by i_in = -1
        if getattr(path, "has_weight", True) and getattr(path, "i_in", 0) != -1
    )
    if sum(sizes) != prod(shape):  # an unknown flat layout: weights yes, paths no
        sizes = (prod(shape),)
    return ParamSpec(name, "tp_path", shape, paths=sizes)


def _protect(specs: dict[str, ParamSpec], protect: Sequence[str]) -> dict[str, ParamSpec]:
    """Keep only the asked-for protections and add those of the first and last matrix."""
    out = {
        name: spec if spec.protected in protect or spec.protected is None else _free(spec)
        for name, spec in specs.items()
    }
    matrices = [name for name, spec in specs.items() if spec.kind not in ("vector", "embed")]
    if matrices:
        for reason, name in (("last", matrices[-1]), ("first", matrices[0])):
            if reason in protect:
                out[name] = replace(out[name], protected=reason)
    return out


def _free(spec: ParamSpec) -> ParamSpec:
    return replace(spec, protected=None)
