"""Putting parametrizations on weights and taking them off again, without surprises.

``torch.nn.utils.parametrize`` leaves holes that are closed here: checkpoints of plain and
masked modules load into each other, tied weights are treated once for all owners, lazy layers
are refused with a reason, and deep copies do not share the class that torch edits.
"""

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from overparam.prunable import layers, own_parameters


def original(module: nn.Module, name: str) -> Tensor:
    """Return the trainable tensor behind a plain name, masked or not."""
    layer, attribute = owner_of(module, name)
    for own, parameter in own_parameters(layer):
        if own == attribute:
            return parameter
    raise KeyError(f"{name} is not a parameter of {type(module).__name__}")


def effective(module: nn.Module, name: str) -> Tensor:
    """Return the tensor the forward pass uses, with masks applied."""
    layer, attribute = owner_of(module, name)
    return getattr(layer, attribute)


def set_parametrization(module: nn.Module, name: str, parametrization: nn.Module) -> None:
    """Put a parametrization on a parameter and on every other owner of the same tensor.

    An older mask on it is replaced; the trainable tensor stays the same object, so optimizers
    and tied owners keep working.

    Args:
        module: Root module.
        name: Plain name of the parameter.
        parametrization: ``forward(weight) -> weight`` of the same shape, with ``right_inverse``.

    Raises:
        ValueError: If the parameter is lazy, or already has a parametrization not ours.
    """
    target = original(module, name)
    if nn.parameter.is_lazy(target):
        raise ValueError(f"{name} must be initialised before it can be masked: run one forward")
    parametrization.to(target.device)
    parametrization.train(module.training)
    owners = [
        (layer, attribute)
        for _, layer in layers(module)
        for attribute, parameter in own_parameters(layer)
        if parameter is target
    ]
    for layer, attribute in owners:
        if parametrize.is_parametrized(layer, attribute):
            _strip_one(layer, attribute)
        _privatise(layer)
        parametrize.register_parametrization(layer, attribute, parametrization)
        hooks = layer._load_state_dict_pre_hooks.values()
        if not any(getattr(hook, "hook", None) is _translate_keys for hook in hooks):
            layer.register_load_state_dict_pre_hook(_translate_keys)
            layer.register_state_dict_post_hook(_drop_shadows)
        if isinstance(layer, nn.RNNBase):
            _copy_without_cache(layer)


def bake(module: nn.Module) -> nn.Module:
    """Return a deep copy with every parametrization folded into plain parameters.

    TorchScript and ``e3nn.util.jit`` need it: a parametrized module compiles there but fails
    when run. Tied weights stay tied.
    """
    baked = copy.deepcopy(module)
    for _, layer in list(layers(baked)):
        if not parametrize.is_parametrized(layer):
            continue
        _privatise(layer)
        for attribute in list(layer.parametrizations):  # type: ignore[arg-type]
            parametrize.remove_parametrizations(layer, attribute, leave_parametrized=True)
        for key, hook in list(layer._load_state_dict_pre_hooks.items()):
            if getattr(hook, "hook", None) is _translate_keys:
                del layer._load_state_dict_pre_hooks[key]
        for key, hook in list(layer._state_dict_hooks.items()):
            if hook is _drop_shadows:
                del layer._state_dict_hooks[key]
        _forget_cache(layer)
    return baked


def _translate_keys(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Load-state-dict pre-hook: a plain entry fills the original, the current mask stays."""
    if not parametrize.is_parametrized(module):
        return
    for attribute, chain in module.parametrizations.items():  # type: ignore[operator,union-attr]
        plain, inner = f"{prefix}{attribute}", f"{prefix}parametrizations.{attribute}."
        if f"{inner}original" in state:
            state.pop(plain, None)  # the weight as it was used, beside the original
        elif plain in state:
            state[f"{inner}original"] = state.pop(plain)
            for key, value in chain.state_dict().items():
                if key != "original":
                    state[f"{inner}{key}"] = value


def _drop_shadows(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """State-dict post-hook: some layers (PyG's Linear) also write the weight as it is used."""
    if parametrize.is_parametrized(module):
        for attribute in module.parametrizations:  # type: ignore[union-attr]
            state.pop(f"{prefix}{attribute}", None)


def _copy_without_cache(layer: nn.RNNBase) -> None:
    """Let a recurrent layer be copied: it caches the weights it last used, which are no leaves."""
    kind: Any = type(layer)  # private to this layer, see _privatise
    if getattr(kind, "_copies_without_cache", False):
        return
    plain_copy = kind.__deepcopy__

    def deepcopy(self: Any, memo: dict[int, Any]) -> Any:
        held = self.__dict__
        cached = held["_flat_weights"], held["_flat_weight_refs"]
        held["_flat_weights"], held["_flat_weight_refs"] = [], []
        try:
            replica = plain_copy(self, memo)
        finally:
            held["_flat_weights"], held["_flat_weight_refs"] = cached
        replica._init_flat_weights()
        return replica

    kind.__deepcopy__ = deepcopy
    kind._copies_without_cache = True


def _forget_cache(layer: nn.Module) -> None:
    if isinstance(layer, nn.RNNBase):
        layer._init_flat_weights()


def owner_of(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Return the layer that owns a plain parameter name, and the attribute there."""
    path, _, attribute = name.rpartition(".")
    return module.get_submodule(path), attribute


def strip(module: nn.Module, name: str) -> None:
    """Take our parametrization off a parameter and its tied owners; values stay."""
    target = original(module, name)
    for _, layer in list(layers(module)):
        for attribute, parameter in list(own_parameters(layer)):
            if parameter is target and parametrize.is_parametrized(layer, attribute):
                _strip_one(layer, attribute)


def _strip_one(layer: nn.Module, attribute: str) -> None:
    """Remove our own parametrization without folding it in; refuse anybody else's."""
    chain = layer.parametrizations[attribute]  # type: ignore[index]
    foreign = [type(link).__name__ for link in chain if not hasattr(link, "freeze")]
    if foreign:
        raise ValueError(
            f"{attribute} must be free of other parametrizations to be masked, got {foreign}"
        )
    _privatise(layer)
    parametrize.remove_parametrizations(layer, attribute, leave_parametrized=False)
    _forget_cache(layer)


def _privatise(layer: nn.Module) -> None:
    """Give a parametrized layer a class of its own.

    A deep copy shares the class that parametrize made for the original, and torch adds and
    removes parametrizations by editing that class: unmasking the copy would break the original.
    """
    if parametrize.is_parametrized(layer):
        shared = type(layer)
        namespace = {k: v for k, v in vars(shared).items() if k not in ("__dict__", "__weakref__")}
        layer.__class__ = type(shared.__name__, shared.__bases__, namespace)
