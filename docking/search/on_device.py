"""DeviceSearch: the batched search on one device, with the maps of pockets kept there."""

from typing import Any
from weakref import WeakKeyDictionary

import torch

from docking.search.batched import search_batched, widened
from docking.search.batched_problem import DeviceMaps
from docking.search.engine import Budget, Minima
from docking.search.problem import Body, Maps

WIDTH = 16
"""Chains for each of the compiled search's, on a GPU."""


class DeviceSearch:
    """Batched searches on one device.

    Args:
        device: Where.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._kept: WeakKeyDictionary[Any, tuple[Maps, DeviceMaps]] = WeakKeyDictionary()

    def search(self, pocket: Any, maps: Maps, body: Body, budget: Budget, seed: int) -> Minima:
        """Search a pocket; the copy of its last maps stays on the device as long as it lives.

        Args:
            pocket: Whose maps they are.
            maps: The maps.
            body: The ligand.
            budget: Of the compiled search; a GPU makes ``WIDTH`` times as many, shorter chains.
            seed: Of all that is drawn.
        """
        known = self._kept.get(pocket)
        if known is None or known[0] is not maps:
            known = self._kept[pocket] = (maps, DeviceMaps.of(maps, self.device))
        width = 1 if self.device.type == "cpu" else WIDTH
        return search_batched(known[1], body, widened(budget, width), seed=seed)
