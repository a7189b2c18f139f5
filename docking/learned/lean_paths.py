"""What of the lean networks is pruned whole, and how it is taken out.

A path of the pocket's network is an equivariant message channel: in one round, of one degree, what
sends it (its gate), what weighs it (its radial function), what turns it over from the round before,
and what reads it. Scalar message channels are the paths of degree 0. Hidden units of the updates
are named as well. Channels of the field belong to both networks and are named by ``HybridScore``.
Features of a node are not: every layer norm takes their mean.

Any subset of these may go: each is equivariant by itself. What one costs is told in numbers moved
for each atom: most of the time goes into carrying numbers from and to memory.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from overparam.path_family import PathFamily, Strand, cut
from overparam.recipe import arguments, build

if TYPE_CHECKING:
    from docking.learned.lean_net import MoleculeNet, PocketNet

_BONDS = 2  # of an atom

N = TypeVar("N", bound=nn.Module)
Kept = dict[str, Int64[Tensor, " some"]]


def molecule_paths(net: "MoleculeNet") -> list[PathFamily]:
    """Message channels and hidden units of a molecule's network."""
    found = []
    for k in range(net.layers):
        channel = (
            *_rows(f"send.{k}"),
            Strand(f"bond.{k}.weight"),
            Strand(f"update.{k}.0.weight", 1, net.width, factor=1),
        )
        cost = path_cost(6 * _BONDS, 2 * net.width)
        found.append(PathFamily(f"messages.{k}", len(_weight(net.bond[k])), channel, cost))
        found.append(_hidden(net, f"update.{k}", f"hidden.{k}", 3 * net.width))
    return found


def pocket_paths(net: "PocketNet") -> list[PathFamily]:
    """Message channels of every degree, and hidden units, of a pocket's network."""
    found = []
    for k in range(net.layers):
        layer: Any = net.rounds[k]
        at = f"rounds.{k}"
        start = 0
        for degree, count in enumerate([layer.messages, *layer.vectors]):
            strands = [
                *_rows(f"{at}.send", start),
                Strand(f"{at}.weigh.weight", 0, start, factor=2),
                Strand(f"{at}.update.0.weight", 1, net.width + start, factor=1),
            ]
            if degree:
                strands.append(Strand(f"{at}.turn.{degree - 1}.weight"))
                strands += _heard_later(net, k, degree - 1)
            cost = _message_cost(net, sum(layer.vectors), directed=degree > 0)
            found.append(PathFamily(f"{at}.degree{degree}", count, tuple(strands), cost))
            start += count
        found.append(_hidden(net, f"{at}.update", f"{at}.hidden", 2 * net.width + start))
    return found


def _message_cost(net: "PocketNet", vectors: int, *, directed: bool) -> int:
    """Cost of a message channel: its slots, once over for each step, and their products."""
    slots, functions, rows = net.neighbours, net.splines.count, (net.degree + 1) ** 2 - 1
    multiplied = 2 * net.width + slots * functions
    if not directed:
        return path_cost(2 * slots + 2 * functions, multiplied)
    return path_cost(2 * slots + 2 * rows, multiplied + rows * (slots + vectors))


def _heard_later(net: "PocketNet", k: int, d: int) -> list[Strand]:
    """What reads the directions of a round: the next one's turn, or gate and readout."""
    if k + 1 < net.layers:
        later = [Strand(f"rounds.{k + 1}.turn.{d}.weight", 1, factor=1)]
    else:
        later = [*_rows(f"gates.{d}", factor=1), Strand(f"mix.{d}.weight", 1, factor=1)]
    # In the first round there is nothing to turn over, and its weights are as wide both ways.
    return [*later, Strand(f"rounds.0.turn.{d}.weight", 1)] if k == 0 else later


def compact_molecule(net: "MoleculeNet") -> "MoleculeNet":
    """A molecule's network without the paths that own nothing but zeros."""
    families = molecule_paths(net)
    kept = living(net, families)
    return smaller(net, families, kept, molecule_sizes(net, kept))


def compact_pocket(net: "PocketNet") -> "PocketNet":
    """A pocket's network without the paths that own nothing but zeros."""
    families = pocket_paths(net)
    kept = living(net, families)
    return smaller(net, families, kept, pocket_sizes(net, kept))


def molecule_sizes(net: "MoleculeNet", kept: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments of a molecule's network that keeps some paths."""
    rounds = range(net.layers)
    return {
        "messages": [len(kept[f"messages.{k}"]) for k in rounds],
        "hidden": [len(kept[f"hidden.{k}"]) for k in rounds],
    }


def pocket_sizes(net: "PocketNet", kept: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments of a pocket's network that keeps some paths."""
    rounds, degrees = range(net.layers), range(1, net.degree + 1)
    return {
        "messages": [len(kept[f"rounds.{k}.degree0"]) for k in rounds],
        "vectors": [[len(kept[f"rounds.{k}.degree{d}"]) for d in degrees] for k in rounds],
        "hidden": [len(kept[f"rounds.{k}.hidden"]) for k in rounds],
    }


def living(net: nn.Module, families: Iterable[PathFamily]) -> Kept:
    """Numbers of the paths that own something other than zeros; one at least of each family."""
    weights = dict(net.named_parameters())
    found = {}
    for family in families:
        index = family.alive(weights).nonzero()[:, 0]
        found[family.name] = index if len(index) else index.new_zeros(1)
    return found


def smaller(net: N, families: Iterable[PathFamily], kept: Kept, changes: Mapping[str, Any]) -> N:
    """The network with some of its paths: same class, dtype, device and flags.

    Args:
        net: Network without parametrizations.
        families: All its families.
        kept: Numbers of the paths that stay.
        changes: Constructor arguments that this changes, as plain data.
    """
    weights = dict(net.named_parameters())
    with torch.random.fork_rng(devices=[]):  # its first weights are not used
        made = type(net)(**build({**arguments(net), **changes}))
    made.to(next(iter(weights.values())))
    state = cut(weights, families, kept)
    for name, parameter in made.named_parameters():
        parameter.data.copy_(state[name])
        parameter.requires_grad_(weights[name].requires_grad)
    made.train(net.training)
    return made


def _rows(name: str, start: int = 0, factor: int = 0) -> tuple[Strand, Strand]:
    """Outputs of a linear map, their biases with them."""
    return (
        Strand(f"{name}.weight", 0, start, factor=factor),
        Strand(f"{name}.bias", 0, start, factor=factor),
    )


def path_cost(moved: int, multiplied: int) -> int:
    """Numbers moved for each atom, and multiply-adds, sixteen of which take as long."""
    return moved + multiplied // 16


def _hidden(net: nn.Module, update: str, name: str, multiplied: int) -> PathFamily:
    count = len(_weight(net.get_submodule(f"{update}.0")))
    strands = (*_rows(f"{update}.0"), Strand(f"{update}.3.weight", 1, factor=1))
    return PathFamily(name, count, strands, path_cost(3, multiplied))


def _weight(layer: Any) -> Tensor:
    return layer.weight.detach()
