"""OverparameterizedModule, the LightningModule every trainable module of the project is."""

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from pytorch_lightning.core.mixins.hparams_mixin import (
    _given_hyperparameters,
    _given_hyperparameters_context,
)
from torch import Tensor, nn, optim
from torch.nn.utils import parametrize
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from overparam import snapshot as snapshots
from overparam.masks import Masks, install_from_state, original, set_parametrization
from overparam.prunable import PROTECT, ParamSpec, layers, prunable
from overparam.recipe import NoRecipeError, arguments, build, class_path, locate, recipe

if TYPE_CHECKING:
    from overparam.report import ParamReport

_INSTANTIATOR = "pytorch_lightning.cli.instantiate_module"


class OverparameterizedModule(pl.LightningModule):
    """Base of everything that trains: it can be masked, rewound, reported on and shrunk.

    Constructor arguments are recorded as plain ``class_path``/``init_args`` data, whether the
    module was built in Python or from a configuration file, so a checkpoint read with
    ``weights_only=True`` rebuilds the module by itself. For that, every module passed as an
    argument keeps its own constructor arguments as attributes of the same name.

    Args:
        optimizer: Parameters to optimizer.
        scheduler: Optimizer to learning-rate scheduler, stepped once per optimizer step. One
            whose ``total_steps`` is None is given the number of steps of the run.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> "OverparameterizedModule":
        """Remember the constructor arguments before any constructor can change them."""
        self = super().__new__(cls)
        try:
            bound = inspect.signature(cls.__init__).bind(self, *args, **kwargs)
        except TypeError:  # copying and unpickling pass none; a wrong call fails in __init__
            return self
        given = dict(list(bound.arguments.items())[1:])
        variadic = [p.name for p in bound.signature.parameters.values() if p.kind is p.VAR_KEYWORD]
        for name in variadic:
            given |= given.pop(name, {})
        self.__dict__["_given"] = given
        return self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show the constructor's signature, which ``__new__`` would hide."""
        super().__init_subclass__(**kwargs)
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        cls.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]

    def __init__(
        self,
        *,
        optimizer: OptimizerCallable = optim.Adam,
        scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.scalars_fitted: int | None = None
        self._snapshots: dict[str, snapshots.Snapshot] = {}
        self._record(self.__dict__.pop("_given", {}))
        self.register_load_state_dict_pre_hook(_wear_masks)

    # hyperparameters

    def _record(self, given: dict[str, Any]) -> None:
        """Store the constructor arguments as hyperparameters, as plain data."""
        if _given_hyperparameters.get() is not None:  # the command line has them already
            self.save_hyperparameters()
            return
        plain: dict[str, Any] = {"_class_path": _try(class_path, type(self))}
        for name, value in given.items():
            found = _try(recipe, value)
            if found is not None or value is None:
                plain[name] = found
        with _given_hyperparameters_context(plain, _INSTANTIATOR):
            self.save_hyperparameters()

    def refresh_hyperparameters(self) -> None:
        """Read the recipes of changed parts again, after a part was replaced by a smaller one."""
        plain = {k: v for k, v in dict(self.hparams).items() if k != "_instantiator"}
        for name in inspect.signature(type(self).__init__).parameters:
            value = getattr(self, name, None)
            if isinstance(value, nn.Module):
                found = _try(recipe, value)
                if found is None:
                    plain.pop(name, None)
                else:
                    plain[name] = found
        with _given_hyperparameters_context(plain, _INSTANTIATOR):
            self.save_hyperparameters()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add which parametrizations the module wears, and its snapshots."""
        checkpoint["parametrizations"] = {
            name: {"class_path": class_path(type(link)), "init_args": arguments(link)}
            for name, link in worn(self).items()
        }
        checkpoint["snapshots"] = {k: dict(v.state) for k, v in self._snapshots.items()}
        checkpoint["scalars_fitted"] = self.scalars_fitted

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the recorded parametrizations on before the state is loaded."""
        wearing = worn(self)
        for name, plain in checkpoint.get("parametrizations", {}).items():
            kind = locate(plain["class_path"])
            if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
                raise ValueError(f"parametrization of {name} must be a module, got {kind!r}")
            old = wearing.get(name)
            # compared with their arguments: a mask of another granularity is another mask
            if old is None or recipe(old) != plain:
                link = build(plain)
                original(self, name).requires_grad_(getattr(link, "trains_weight", True))
                set_parametrization(self, name, link)
        saved = checkpoint.get("snapshots", {})
        # cloned: a checkpoint loaded in process may still be shared with whoever saved it
        self._snapshots = {
            k: snapshots.Snapshot({n: t.clone() for n, t in v.items()}) for k, v in saved.items()
        }
        self.scalars_fitted = checkpoint.get("scalars_fitted", self.scalars_fitted)

    # optimisation

    def configure_optimizers(self) -> Any:
        """Build the optimizer over what requires gradients, and the scheduler stepped with it."""
        optimizer = self.optimizer([p for p in self.parameters() if p.requires_grad])
        if self.scheduler is None:
            return optimizer
        scheduler = self.scheduler(optimizer)
        if getattr(scheduler, "total_steps", 0) is None:
            scheduler.total_steps = self.horizon()  # type: ignore[attr-defined]
        config: dict[str, Any] = {"scheduler": scheduler, "interval": "step"}
        if isinstance(scheduler, ReduceLROnPlateau):
            config |= {"interval": "epoch", "monitor": getattr(scheduler, "monitor", "train/loss")}
        return {"optimizer": optimizer, "lr_scheduler": config}

    def horizon(self) -> int:
        """Number of optimizer steps of one round of the attached trainer.

        A callback that repeats training for several rounds says so by ``rounds_total``.
        """
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise ValueError("max_steps or max_epochs must be finite for a schedule with an end")
        rounds = max(
            (getattr(c, "rounds_total", 1) for c in self.trainer.callbacks),  # type: ignore[attr-defined]
            default=1,
        )
        return max(int(steps) // rounds, 1)

    # structure

    def prunable(self, protect: Sequence[str] = PROTECT) -> dict[str, ParamSpec]:
        """List every maskable weight by plain name; see ``overparam.prunable``."""
        return prunable(self, protect)

    @property
    def masks(self) -> Masks:
        """The masks by plain parameter name: a view, not a copy."""
        return Masks(self)

    @property
    def example_input(self) -> tuple[Tensor, ...] | None:
        """Inputs of one forward, for counting operations and exporting; None if unknown."""
        example = self.example_input_array
        if example is None or isinstance(example, tuple):
            return example
        return (example,) if isinstance(example, Tensor) else None

    @property
    def overparam_ratio(self) -> float:
        """Active parameters per scalar fitted.

        Raises:
            ValueError: If ``scalars_fitted`` is not known yet.
        """
        if not self.scalars_fitted:
            raise ValueError("scalars_fitted must be set to the number of scalars in the targets")
        return self.report().active / self.scalars_fitted

    def report(
        self, data: object = None, example: tuple[Tensor, ...] | None = None
    ) -> "ParamReport":
        """Count parameters, active parameters, operations, bytes and dead units.

        Args:
            data: Number of scalars fitted, or an object with that attribute.
            example: Inputs of one forward; default ``example_input``. Without one, operations
                are not counted.
        """
        from overparam.report import report

        scalars = data if isinstance(data, int) else getattr(data, "scalars_fitted", None)
        return report(
            self,
            scalars=scalars or self.scalars_fitted,
            example=self.example_input if example is None else example,
        )

    # rewinding

    def snapshot(self, name: str = "init") -> snapshots.Snapshot:
        """Clone the weights under ``name`` for a later ``rewind``; kept in checkpoints."""
        self._snapshots[name] = snapshots.take(self)
        return self._snapshots[name]

    def rewind(
        self,
        name: str = "init",
        optimizer: Optimizer | None = None,
        signs_only: bool = False,
        keep: Sequence[str] = ("bn",),
    ) -> None:
        """Write a snapshot back in place; masks stay.

        Args:
            name: Name given to ``snapshot``.
            optimizer: If given, its running averages are zeroed.
            signs_only: Take only the signs of the snapshot.
            keep: ``("bn",)`` leaves normalisation statistics as they are.

        Raises:
            ValueError: If there is no such snapshot.
        """
        if name not in self._snapshots:
            known = ", ".join(self._snapshots) or "none"
            raise ValueError(f"name must be a snapshot taken before, got {name!r}; known: {known}")
        snapshots.restore(self, self._snapshots[name], optimizer, signs_only, keep)

    def compact(self, example: Any) -> nn.Module:
        """Return a physically smaller module with equal outputs.

        Args:
            example: One input, or a tuple of inputs, on which equality is checked.
        """
        from overparam.compact import compact

        small = compact(self, example)
        if isinstance(small, OverparameterizedModule):
            small.refresh_hyperparameters()
        return small

    def __deepcopy__(self, memo: dict[int, Any]) -> "OverparameterizedModule":
        """Copy without the trainer, which belongs to the original alone."""
        trainer, self._trainer = self._trainer, None
        fabric, self._fabric = self._fabric, None
        try:
            clone = self.__new__(type(self))
            clone.__dict__.pop("_given", None)
            memo[id(self)] = clone
            for key, value in self.__dict__.items():
                clone.__dict__[key] = copy.deepcopy(value, memo)
        finally:
            self._trainer, self._fabric = trainer, fabric
        return clone


def worn(module: nn.Module) -> dict[str, nn.Module]:
    """Return our parametrizations by plain parameter name, each once."""
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()
    for prefix, layer in layers(module):
        if not parametrize.is_parametrized(layer):
            continue
        for attribute, chain in layer.parametrizations.items():  # type: ignore[operator,union-attr]
            for link in chain:
                if hasattr(link, "freeze") and id(link) not in seen:
                    seen.add(id(link))
                    found[f"{prefix}.{attribute}" if prefix else attribute] = link
    return found


def _wear_masks(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Load-state-dict pre-hook: a masked state dict puts its masks on a plain module."""
    own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    install_from_state(module, own)


def _try(write: Callable[[Any], Any], value: Any) -> Any:
    try:
        return write(value)
    except NoRecipeError:
        return None
