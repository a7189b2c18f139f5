"""Docking against AutoDock Vina: same machine, same boxes, same prepared inputs, interleaved."""
