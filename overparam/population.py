"""Many modules of one shape, run and trained at once.

Restarts, seeds, splits and searches are populations: the same architecture, other numbers. Their
parameters are stacked along a first axis and one vectorised call does the work of a loop.

Longer than 300 lines because stacking, running and selecting members share one invariant.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map

from overparam.compact import evaluating, refuse_lazy
from overparam.stacking import (
    build_members,
    check_alike,
    rebind_optimizer,
    refuse_statistics,
    stack,
)

Loss = Callable[..., Tensor]
Quarantine = Callable[["Population", list[int]], None]


class Population(nn.Module):
    """Modules of one shape with stacked parameters and buffers.

    Everything a member has is stacked, masks included, so members may have masks of their own.
    Any elementwise optimizer (SGD, Adam, AdamW, RMSprop) over ``parameters()`` does exactly what
    one optimizer for each member would; optimizers that look at whole matrices (Muon, LBFGS) and
    gradient clipping by one norm over all do not; ``clip_gradients`` clips each member.

    Shapes:
        ``(*batch) -> (members, *output)``; with batches of their own,
        ``(members, *batch) -> (members, *output)``.

    Args:
        members: Modules of one class and shape, copied; or a factory of one module.
        seeds: With a factory: one member is built under each seed; the caller's random state
            is left as it was.
        chunk_size: Run at most this many members at a time, to bound memory; default: all.
        vectorize: Whether to run members by ``torch.vmap`` rather than one after another. For
            modules that ``vmap`` cannot run; results and gradients are the same.
        on_quarantine: Called with the population and the indices of members whose loss or
            gradient has just become infinite or NaN. It may replace them by ``set_member``.

    Raises:
        ValueError: If there is no member, members differ in class, shapes or settings, a layer
            is lazy, or seeds are missing.
    """

    alive: Tensor

    def __init__(
        self,
        members: Sequence[nn.Module] | Callable[[], nn.Module],
        seeds: Sequence[int] | None = None,
        *,
        chunk_size: int | None = None,
        vectorize: bool = True,
        on_quarantine: Quarantine | None = None,
    ) -> None:
        super().__init__()
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
        self.chunk_size = chunk_size
        self.vectorize = vectorize
        self.on_quarantine = on_quarantine
        modules = build_members(members, seeds)
        for module in modules:
            refuse_lazy(module)
        check_alike(modules)
        self._size = len(modules)
        self.stacked = nn.ParameterDict()
        for name, values in stack([dict(m.named_parameters()) for m in modules]).items():
            trains = dict(modules[0].named_parameters())[name].requires_grad
            self.stacked[_key(name)] = nn.Parameter(values, requires_grad=trains)
        self.constants = nn.Module()
        for name, values in stack([dict(m.named_buffers()) for m in modules]).items():
            self.constants.register_buffer(_key(name), values)
        self.register_buffer("alive", torch.ones(len(modules), dtype=torch.bool))
        # In a tuple, so that the skeleton's own parameters are not the population's.
        self._skeleton = (copy.deepcopy(modules[0]).requires_grad_(False),)
        self.training = modules[0].training

    @property
    def skeleton(self) -> nn.Module:
        """The module whose code runs; its own numbers are never used."""
        return self._skeleton[0]

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[nn.Module]:
        return (self.member(index) for index in range(len(self)))

    def train(self, mode: bool = True) -> "Population":
        """Switch all members to training or evaluation mode."""
        super().train(mode)
        for skeleton in getattr(self, "_skeleton", ()):
            skeleton.train(mode)
        return self

    def forward(self, *batch: Any, per_member: bool | Sequence[bool] = False) -> Any:
        """Return the members' outputs, stacked.

        Args:
            *batch: Inputs of a member, shared by all; or stacked along a first axis.
            per_member: Whether the inputs are stacked: one flag for all, or one for each.
        """
        return self._map(lambda member, *x: member(*x), batch, per_member)

    def losses(
        self, loss_fn: Loss, *batch: Any, per_member: bool | Sequence[bool] = False
    ) -> Float[Tensor, " members"]:
        """Return one loss for each member.

        Args:
            loss_fn: ``loss_fn(member, *batch) -> scalar``, where ``member`` is called as the
                module is.
            *batch: Inputs of the loss, shared by all members; or stacked along a first axis.
            per_member: Whether the inputs are stacked: one flag for all, or one for each.
        """
        return self._map(loss_fn, batch, per_member)

    def evaluate(
        self, loss_fn: Loss, *batch: Any, per_member: bool | Sequence[bool] = False
    ) -> Float[Tensor, " members"]:
        """Return one loss for each member in evaluation mode, without gradients.

        Quarantined members and losses that are NaN count as infinite, so that ranking works.
        """
        with evaluating(self, self.skeleton), torch.no_grad():
            found = self.losses(loss_fn, *batch, per_member=per_member)
        bad = ~self.alive.to(found.device) | found.isnan()
        return found.masked_fill(bad, float("inf"))

    def backward(self, losses: Float[Tensor, " members"]) -> Bool[Tensor, " members"]:
        """Backpropagate each member's loss into its own slice, keeping diverged members apart.

        A member whose loss or gradient is not finite is quarantined: ``alive`` turns False, its
        gradient is zero from then on, and the others' are what they would be without it.

        Returns:
            Which members are alive.
        """
        self._quarantine(losses.detach().isfinite())
        # A NaN multiplied by zero is NaN: pick the losses, do not weigh them.
        torch.where(self.alive, losses, losses.detach().new_zeros(())).sum().backward()
        finite = torch.ones_like(self.alive)
        for parameter in self.parameters():
            if parameter.grad is not None:
                finite &= parameter.grad.flatten(1).isfinite().all(1)
        self._quarantine(finite)
        if not self.alive.all():
            for parameter in self.parameters():
                if parameter.grad is not None:
                    parameter.grad[~self.alive] = 0
        return self.alive.clone()

    def _quarantine(self, finite: Tensor) -> None:
        fresh = self.alive & ~finite
        if fresh.any():
            self.alive &= finite
            if self.on_quarantine is not None:
                self.on_quarantine(self, fresh.nonzero().flatten().tolist())

    @torch.no_grad()
    def clip_gradients(self, max_norm: float) -> Float[Tensor, " members"]:
        """Scale each member's gradient to a norm of at most ``max_norm``, as a serial loop would.

        Returns:
            The norms before.
        """
        grads = [p.grad.flatten(1) for p in self.parameters() if p.grad is not None]
        norms = torch.stack([grad.norm(dim=1) for grad in grads]).norm(dim=0)
        scale = (max_norm / (norms + 1e-6)).clamp(max=1)  # torch's own rule for one module
        for grad in grads:
            grad.mul_(scale[:, None])
        return norms

    def member(self, index: int) -> nn.Module:
        """Return a copy of one member as an ordinary module.

        Raises:
            IndexError: If there is no such member.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must be within {len(self)} members, got {index}")
        module = copy.deepcopy(self.skeleton)
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                stacked = self.stacked[_key(name)]
                parameter.copy_(stacked[index])
                parameter.requires_grad_(stacked.requires_grad)
            for name, buffer in module.named_buffers():
                buffer.copy_(getattr(self.constants, _key(name))[index])
        return module

    @torch.no_grad()
    def set_member(self, index: int, module: nn.Module) -> None:
        """Replace one member by the numbers of ``module``; it is alive again.

        Raises:
            ValueError: If ``module`` has another class, shape or setting.
        """
        check_alike([self.skeleton, module])
        for name, parameter in module.named_parameters():
            self.stacked[_key(name)][index] = parameter
        for name, buffer in module.named_buffers():
            getattr(self.constants, _key(name))[index] = buffer
        self.alive[index] = True

    def select(
        self, indices: Sequence[int], optimizer: torch.optim.Optimizer | None = None
    ) -> "Population":
        """Return a population of some members, as in successive halving.

        Args:
            indices: Members to keep, in the new order; repeats make copies.
            optimizer: Optimizer over this population's parameters. It is rebound to the new
                population's, and its state follows the members.

        Raises:
            ValueError: If there is no index or one is out of range.
        """
        if not indices or not all(-len(self) <= index < len(self) for index in indices):
            raise ValueError(f"indices must be within {len(self)} members, got {list(indices)}")
        chosen = copy.copy(self)
        chosen._modules, chosen._buffers, chosen._parameters = {}, {}, {}
        chosen._size = len(indices)
        chosen.stacked = nn.ParameterDict()
        chosen.constants = nn.Module()
        chosen._skeleton = (copy.deepcopy(self.skeleton),)
        chosen.register_buffer("alive", self.alive[list(indices)].clone())
        for key, parameter in self.stacked.items():
            values = parameter.detach()[list(indices)].clone()
            chosen.stacked[key] = nn.Parameter(values, requires_grad=parameter.requires_grad)
        for key, buffer in self.constants.named_buffers():
            chosen.constants.register_buffer(key, buffer[list(indices)].clone())
        if optimizer is not None:
            pairs = {id(self.stacked[key]): chosen.stacked[key] for key in self.stacked}
            rebind_optimizer(optimizer, pairs, list(indices), len(self))
        return chosen

    def _map(self, function: Loss, batch: tuple[Any, ...], per_member: Any) -> Any:
        flags = [per_member] * len(batch) if isinstance(per_member, bool) else list(per_member)
        if len(flags) != len(batch):
            raise ValueError(f"per_member must have {len(batch)} flags, got {len(flags)}")
        if self.training:
            refuse_statistics(self.skeleton)
        names = {_plain(key): key for key in self.stacked}
        parameters = {name: self.stacked[key] for name, key in names.items()}
        buffers = {_plain(key): value for key, value in self.constants.named_buffers()}

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], *inputs: Any) -> Any:
            def member(*args: Any, **kwargs: Any) -> Any:
                return functional_call(self.skeleton, (parameters, buffers), args, kwargs)

            return function(member, *inputs)

        if len(self) == 1 or not self.vectorize:
            return self._serial(one, parameters, buffers, batch, flags)
        axes = (0, 0, *(0 if flag else None for flag in flags))
        mapped = torch.vmap(one, axes, randomness="different", chunk_size=self.chunk_size)
        return mapped(parameters, buffers, *batch)

    def _serial(
        self,
        one: Callable[..., Any],
        parameters: dict[str, Tensor],
        buffers: dict[str, Tensor],
        batch: tuple[Any, ...],
        flags: list[bool],
    ) -> Any:
        def pick(value: Any, index: int) -> Any:
            return tree_map(lambda leaf: leaf[index] if isinstance(leaf, Tensor) else leaf, value)

        found = []
        for index in range(len(self)):
            inputs = [pick(x, index) if flag else x for x, flag in zip(batch, flags, strict=True)]
            found.append(one(pick(parameters, index), pick(buffers, index), *inputs))
        return tree_map(lambda *leaves: torch.stack(leaves), *found)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Population":
        super()._apply(fn, recurse)
        self.skeleton._apply(fn, recurse)
        return self

    def extra_repr(self) -> str:
        """Show the size and the kind of a member."""
        alive = int(self.alive.sum())
        return f"{len(self)} members ({alive} alive) of {type(self.skeleton).__name__}"


def _key(name: str) -> str:
    return name.replace(".", "/")


def _plain(key: str) -> str:
    return key.replace("/", ".")
