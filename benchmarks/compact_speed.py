"""How much faster a network is after ``compact``, with equal outputs.

``python benchmarks/compact_speed.py`` prints CPU-time ratios on one thread and writes
``results/compact_speed.json``. Targets: a SIREN of width 256 cut to 128 at least 4 times, an
e3nn product with every second path at least 2 times.

A sliced SIREN's gain is bounded by its sines: halving the width divides matrix products by four
but sines by two only. The row "bound" adds up the least times of the single operations on a chunk
that fits the cache, in which sines are a seventh of the dense network; that is what arithmetic
allows. One pass over all points is besides bound by memory, and chunks of 2048 are not.

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
        for what, run in {"one pass": whole_pass, "chunks of 2048": in_chunks}.items():
            calls = {"dense": run(dense, x), "sliced": run(small, x)}
            times = interleave(calls, rounds=rounds, repeats=repeats)
            row = compare(times, "dense", "sliced") | {"error": error}
            rows[f"siren 256 -> {width}, {what}"] = row
        calls = {"dense": step(dense, x[:2048]), "sliced": step(small, x[:2048])}
        times = interleave(calls, rounds=rounds, repeats=4 * repeats)
        rows[f"siren 256 -> {width}, forward and backward on 2048"] = compare(
            times, "dense", "sliced"
        )
    rows["siren 256 -> 128, bound"] = bound(min(points, 2048), rounds)
    return rows


def whole_pass(field: nn.Module, x: torch.Tensor) -> Any:
    """Return a call on all points at once."""

    def run() -> None:
        with torch.no_grad():
            field(x)

    return run


def in_chunks(field: nn.Module, x: torch.Tensor) -> Any:
    """Return a call on all points, a chunk at a time, as fields are rendered."""

    def run() -> None:
        with torch.no_grad():
            torch.cat([field(chunk) for chunk in x.split(2048)])

    return run


def step(field: nn.Module, x: torch.Tensor) -> Any:
    """Return a call with gradients of the parameters."""
    return lambda: field(x).square().mean().backward()


def bound(points: int, rounds: int) -> dict[str, float]:
    """Add up the operations of a SIREN of depth 4, each at its best, at both widths."""
    total = {}
    for name, width in {"dense": 256, "sliced": 128}.items():
        x, hidden = torch.rand(points, 2), torch.rand(points, width)
        first, square, last = (torch.rand(width, 2), torch.rand(width, width), torch.rand(3, width))
        calls = {
            "first": lambda x=x, w=first: nn.functional.linear(x, w),
            "square": lambda x=hidden, w=square: nn.functional.linear(x, w),
            "sine": lambda x=hidden: torch.sin(x),
            "last": lambda x=hidden, w=last: nn.functional.linear(x, w),
        }
        times = interleave(calls, rounds=2 * rounds, repeats=5)
        best = {what: min(values) for what, values in times.items()}
        total[name] = best["first"] + 3 * best["square"] + 4 * best["sine"] + best["last"]
        total[f"{name}_sine_share"] = 4 * best["sine"] / total[name]
    return {
        "dense_ms": total["dense"],
        "sliced_ms": total["sliced"],
        "ratio": total["dense"] / total["sliced"],
        "dense_sine_share": total["dense_sine_share"],
        "sliced_sine_share": total["sliced_sine_share"],
    }


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
    half.requires_grad_(False)
    spun = half(
        x @ whole.irreps_in1.D_from_matrix(turn).T, y @ whole.irreps_in2.D_from_matrix(turn).T
    )
    lack = float((spun - half(x, y) @ whole.irreps_out.D_from_matrix(turn).T).abs().max())
    half.requires_grad_(True)

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
