"""How much faster a network is after ``compact``, with equal outputs.

``python benchmarks/compact_speed.py`` prints CPU-time ratios on one thread and writes
``results/compact_speed.json``. Targets: a SIREN of width 256 cut to 128 at least 4 times, an
e3nn product with every second path at least 2 times.

The product's gain has two parts, which are printed apart: fewer paths on e3nn's own generated
code, and one matrix product over input pairs in place of that code (``pair_product.py``).
"""

from argparse import ArgumentParser
from typing import Any

import torch
from interleave import compare, interleave, show, write
from torch import nn

import fields
from overparam.compact import compact
from overparam.compact_e3nn import shrink_tp, shrink_weighted_tp
from overparam.masks import Masks

IRREPS, HARMONICS = "8x0e+4x1o+2x2e", "1x0e+1x1o"


def siren_rows(points: int, rounds: int, repeats: int) -> dict[str, dict[str, float]]:
    """Mask whole neurons of a SIREN of width 256, fold them away, and time both."""
    rows = {}
    x = torch.rand(points, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for width in (128, 80, 56):
        torch.manual_seed(0)
        dense = fields.Siren(2, 3, width=256, depth=4)
        masked = fields.Siren(2, 3, width=256, depth=4)
        Masks(masked).install([f"hidden.{k}.affine.weight" for k in range(4)], granularity="neuron")
        for name in Masks(masked):
            Masks(masked).module_of(name).set_bits(torch.arange(256) < width)
        small = compact(masked, x[:256])
        assert small.widths == [width] * 4
        with torch.no_grad():
            error = float((small(x) - masked(x)).abs().max() / masked(x).abs().max())
            calls = {"dense": lambda m=dense: m(x), "sliced": lambda m=small: m(x)}
            times = interleave(calls, rounds=rounds, repeats=repeats)
        rows[f"siren 256 -> {width}"] = compare(times, "dense", "sliced") | {"error": error}
    return rows


def product_rows(batch: int, rounds: int, repeats: int) -> dict[str, dict[str, float]]:
    """Drop every second path of a tensor product and time it against the whole."""
    from e3nn import o3

    torch.manual_seed(0)
    whole = o3.FullyConnectedTensorProduct(IRREPS, HARMONICS, IRREPS)
    x, y = whole.irreps_in1.randn(batch, -1), whole.irreps_in2.randn(batch, -1)
    Masks(whole).install(["weight"], granularity="path")
    mask = Masks(whole).module_of("weight")
    mask.set_bits(torch.arange(mask.groups) % 2 == 0)
    half = compact(whole, (x, y))
    assert (whole.weight_numel, half.weight_numel) == (164, 96)
    with torch.no_grad():
        error = float((half(x, y) - whole(x, y)).abs().max() / whole(x, y).abs().max())
    turn = o3.rand_matrix()
    spun = half(
        x @ whole.irreps_in1.D_from_matrix(turn).T, y @ whole.irreps_in2.D_from_matrix(turn).T
    )
    lack = float((spun - half(x, y) @ whole.irreps_out.D_from_matrix(turn).T).abs().max())

    plain = o3.FullyConnectedTensorProduct(IRREPS, HARMONICS, IRREPS)
    paths = len(plain.instructions)
    every, second = torch.ones(paths, dtype=torch.bool), torch.arange(paths) % 2 == 0
    products = {
        "e3nn": plain,
        "compact": half,
        "e3nn_half": o3_half(plain),
        "lean": shrink_tp(plain, every, fuse=False),
        "lean_half": shrink_tp(plain, second, fuse=False),
        "fused": shrink_tp(plain, every, fuse=True),
    }
    rows = {}
    for what, train in (("forward", False), ("forward and backward", True)):
        times = interleave(
            {name: caller(product, (x, y), train) for name, product in products.items()},
            rounds=rounds,
            repeats=repeats,
        )
        checks = {"error": error, "equivariance_error": lack}
        rows[f"product, {what}"] = compare(times, "e3nn", "compact") | checks
        rows[f"product, {what}: fewer paths, e3nn's code"] = compare(times, "e3nn", "e3nn_half")
        rows[f"product, {what}: fewer paths, dead code out"] = compare(times, "lean", "lean_half")
        rows[f"product, {what}: all paths fused"] = compare(times, "e3nn", "fused")
        rows[f"product, {what}: fewer paths, fused"] = compare(times, "fused", "compact")
    return rows


def o3_half(whole: Any) -> nn.Module:
    """Build the product with every second path as e3nn would, with its own normalisation."""
    from e3nn import o3

    paths = [(*path[:5], 1.0) for path in whole.instructions[::2]]
    return o3.TensorProduct(whole.irreps_in1, whole.irreps_in2, whole.irreps_out, paths)


def convolution_rows(batch: int, rounds: int, repeats: int) -> dict[str, dict[str, float]]:
    """The same product with weights from a radial network, both pruned together."""
    from e3nn import nn as enn
    from e3nn import o3

    torch.manual_seed(0)
    tp = o3.FullyConnectedTensorProduct(IRREPS, HARMONICS, IRREPS, shared_weights=False)
    radial = enn.FullyConnectedNet([16, 64, tp.weight_numel], torch.nn.functional.silu)
    small, last = shrink_weighted_tp(tp, radial, torch.arange(len(tp.instructions)) % 2 == 0)
    x, y, r = tp.irreps_in1.randn(batch, -1), tp.irreps_in2.randn(batch, -1), torch.rand(batch, 16)
    with torch.no_grad():
        calls = {
            "whole": lambda: tp(x, y, radial(r)),
            "half": lambda: small(x, y, last(r)),
        }
        times = interleave(calls, rounds=rounds, repeats=repeats)
    return {"radial product, forward": compare(times, "whole", "half")}


def caller(product: nn.Module, inputs: Any, train: bool) -> Any:
    """Return a call of a product, with its gradients if asked for."""

    def forward() -> None:
        with torch.no_grad():
            product(*inputs)

    def both() -> None:
        product(*inputs).square().sum().backward()

    return both if train else forward


def main(args: list[str] | None = None) -> dict[str, dict[str, float]]:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=32_768, help="points of the SIREN")
    parser.add_argument("--rows", type=int, default=2000, help="rows of the tensor product")
    parser.add_argument("--rounds", type=int, default=20, help="interleaved rounds")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing written")
    given = parser.parse_args(args)
    torch.set_num_threads(1)
    points, batch, rounds = given.points, given.rows, given.rounds
    if given.smoke:
        points, batch, rounds = 512, 50, 2
    rows = siren_rows(points, rounds, 1)
    rows |= product_rows(batch, rounds, 10)
    rows |= convolution_rows(batch, rounds, 5)
    for title, row in rows.items():
        show(title, row)
    if not given.smoke:
        print(write("compact_speed", rows, vars(given)))
    return rows


if __name__ == "__main__":
    main()
