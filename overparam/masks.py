"""The masks of a module, seen by plain parameter name.

``Masks`` is the view; the parametrizations themselves are in ``mask.py``, putting them on and
off in ``parametrization.py``, state dicts in ``plain.py`` and the table of maskable weights in
``prunable.py``. All of it is re-exported here.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.utils import parametrize

from overparam.mask import GRANULARITIES as GRANULARITIES
from overparam.mask import BlockMask as BlockMask
from overparam.mask import Mask as Mask
from overparam.mask import PathMask as PathMask
from overparam.mask import RowMask as RowMask
from overparam.mask import StrandMask as StrandMask
from overparam.mask import WeightMask as WeightMask
from overparam.mask import make_mask as make_mask
from overparam.parametrization import bake as bake
from overparam.parametrization import effective as effective
from overparam.parametrization import original as original
from overparam.parametrization import set_parametrization as set_parametrization
from overparam.parametrization import strip
from overparam.plain import install_from_state as install_from_state
from overparam.plain import load_plain as load_plain
from overparam.plain import plain_keys as plain_keys
from overparam.plain import plain_state as plain_state
from overparam.prunable import PROTECT as PROTECT
from overparam.prunable import ParamSpec as ParamSpec
from overparam.prunable import layers
from overparam.prunable import prunable as prunable


class Masks(Mapping[str, Tensor]):
    """The masks of a module by plain parameter name: a view, so in-place writes are live.

    Args:
        module: Module whose masks are shown; masks may be installed through the view.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module

    def _installed(self) -> dict[str, Mask]:
        found: dict[str, Mask] = {}
        seen: set[int] = set()
        for prefix, layer in layers(self._module):
            if not parametrize.is_parametrized(layer):
                continue
            for attribute, chain in layer.parametrizations.items():  # type: ignore[operator,union-attr]
                for link in chain:
                    if isinstance(link, Mask) and id(link) not in seen:
                        seen.add(id(link))
                        found[f"{prefix}.{attribute}" if prefix else attribute] = link
        return found

    def __getitem__(self, name: str) -> Tensor:
        return self.module_of(name).mask

    def __iter__(self) -> Iterator[str]:
        return iter(self._installed())

    def __len__(self) -> int:
        return len(self._installed())

    def module_of(self, name: str) -> Mask:
        """Return the mask parametrization of one parameter.

        Raises:
            KeyError: If the parameter is not masked.
        """
        return self._installed()[name]

    def install(
        self,
        names: Iterable[str | ParamSpec] | None = None,
        granularity: str = "weight",
        block: int = 16,
    ) -> None:
        """Put all-ones masks on parameters; existing masks of the same granularity stay.

        Args:
            names: Plain names or specifications; default: everything not protected.
            granularity: ``weight``, ``neuron``, ``path`` or ``block``.
            block: Side of a block for ``block``.

        Raises:
            ValueError: If a name is not maskable or the granularity does not fit.
        """
        specs = prunable(self._module)
        if names is None:
            names = [spec for spec in specs.values() if spec.protected is None]
        installed = self._installed()
        for item in names:
            name = item if isinstance(item, str) else item.name
            spec = _lookup(specs, name)
            old = installed.get(spec.name)
            if old is not None and old.granularity == granularity:
                continue
            fresh = make_mask(spec, granularity, block)
            if old is not None:  # what was pruned stays pruned when the granularity changes
                fresh.mask.copy_(fresh.mask & old.mask)
            set_parametrization(self._module, spec.name, fresh)

    def set(self, name: str, mask: Bool[Tensor, "..."]) -> None:
        """Write one mask, in place when the parameter already has one.

        Raises:
            ValueError: If the name is unknown or the shape differs.
        """
        spec = _lookup(prunable(self._module), name)
        installed = self._installed()
        found = next((owner for owner in spec.owners if owner in installed), None)
        if found is None:
            if tuple(mask.shape) != spec.shape:
                raise ValueError(
                    f"mask of {name} must have shape {spec.shape}, got {tuple(mask.shape)}"
                )
            set_parametrization(self._module, spec.name, WeightMask(spec.shape))
            installed, found = self._installed(), spec.name
        target = installed[found].mask
        if mask.shape != target.shape:
            raise ValueError(
                f"mask of {name} must have shape {tuple(target.shape)}, got {tuple(mask.shape)}"
            )
        target.copy_(mask)

    def density(self, name: str) -> float:
        """Share of kept entries of one parameter; 1 when it is not masked."""
        mask = self._installed().get(name)
        return 1.0 if mask is None else float(mask.mask.float().mean())

    def sparsity(self) -> float:
        """Share of zeroed entries over all masked parameters; 0 when none is masked."""
        masks = [mask.mask for mask in self._installed().values()]
        total = sum(mask.numel() for mask in masks)
        return 1 - sum(int(mask.sum()) for mask in masks) / total if total else 0.0

    def as_dict(self) -> dict[str, Tensor]:
        """Copy every mask."""
        return {name: mask.mask.clone() for name, mask in self._installed().items()}

    def granularities(self) -> dict[str, str]:
        """Granularity of every mask."""
        return {name: mask.granularity for name, mask in self._installed().items()}

    def sha(self) -> str:
        """Hash of names, shapes and bits; equal masks on two ranks give equal hashes."""
        return mask_sha(self)

    def remove(self) -> None:
        """Take every mask off; the trainable tensors keep their values, pruned ones too."""
        for name in list(self._installed()):
            strip(self._module, name)


def mask_sha(masks: Mapping[str, Tensor]) -> str:
    """Hash a dictionary of masks, independent of device and order."""
    digest = hashlib.sha256()
    for name in sorted(masks):
        mask = masks[name].cpu()
        digest.update(f"{name}{tuple(mask.shape)}".encode())
        digest.update(mask.to(torch.uint8).contiguous().numpy().tobytes())
    return digest.hexdigest()


def _lookup(specs: Mapping[str, ParamSpec], name: str) -> ParamSpec:
    for spec in specs.values():
        if name == spec.name or name in spec.owners:
            return spec
    raise ValueError(f"{name!r} must be a maskable parameter, got none of that name")
