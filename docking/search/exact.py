"""Exact sums over atom pairs of many poses, compiled: what final scores are made of.

The differentiable forms are ``docking.physics.atom_terms`` and ``PairField.scores``; these give the
same numbers without a graph, an order of magnitude sooner.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from docking.harmonics import solid_harmonics
from docking.search.compiled import compiled
from docking.terms import HYDROGEN_BOND_PAIR, HYDROPHOBIC_PAIR, ScoringFunction


class PairConstants(NamedTuple):
    """A ``ScoringFunction`` as arrays.

    Attributes:
        weights: Of the five terms, kcal/mol.
        radii: Of each atom type, angstrom.
        gaussians: Offset and inverse width of each Gaussian.
        ramps: Where each ramp ends and its inverse length.
        greasy: Pairs of types with a hydrophobic term.
        bonding: Pairs of types with a hydrogen bond.
        cutoff: Angstrom.
    """

    weights: ndarray
    radii: ndarray
    gaussians: ndarray
    ramps: ndarray
    greasy: ndarray
    bonding: ndarray
    cutoff: float


@lru_cache(maxsize=8)
def pair_constants(function: ScoringFunction) -> PairConstants:
    """Constants of a scoring function for ``pose_terms``."""
    gaussians = [(offset, 1 / width) for offset, width in (function.gauss1, function.gauss2)]
    ramps = [
        (none, 1 / (none - full)) for full, none in (function.hydrophobic, function.hydrogen_bond)
    ]
    return PairConstants(
        np.array(function.weights),
        np.array(function.radii),
        np.array(gaussians),
        np.array(ramps),
        np.ascontiguousarray(HYDROPHOBIC_PAIR),
        np.ascontiguousarray(HYDROGEN_BOND_PAIR),
        float(function.cutoff),
    )


@compiled
def pose_terms(x, kinds, y, y_kinds, constants, out):
    """Weighted terms of every atom of every pose, kcal/mol.

    Args:
        x: Poses ``(p, n, 3)``, angstrom.
        kinds: Atom types ``(n,)``, negative ones are passed over.
        y: Receptor atoms ``(m, 3)``.
        y_kinds: Their types ``(m,)``, none negative.
        constants: ``PairConstants``.
        out: Zeros ``(p, n, 5)``, filled.
    """
    reach2 = constants.cutoff * constants.cutoff
    radii, w = constants.radii, constants.weights
    o1, i1 = constants.gaussians[0, 0], constants.gaussians[0, 1]
    o2, i2 = constants.gaussians[1, 0], constants.gaussians[1, 1]
    e1, s1 = constants.ramps[0, 0], constants.ramps[0, 1]
    e2, s2 = constants.ramps[1, 0], constants.ramps[1, 1]
    for p in range(x.shape[0]):
        for n in range(x.shape[1]):
            kind = kinds[n]
            if kind < 0:
                continue
            px, py, pz = x[p, n, 0], x[p, n, 1], x[p, n, 2]
            a = b = c = h = d5 = 0.0
            for m in range(y.shape[0]):
                dx, dy, dz = px - y[m, 0], py - y[m, 1], pz - y[m, 2]
                r2 = dx * dx + dy * dy + dz * dz
                if r2 < reach2:
                    other = y_kinds[m]
                    d = math.sqrt(max(r2, 1e-12)) - radii[kind] - radii[other]
                    u, v = (d - o1) * i1, (d - o2) * i2
                    a += math.exp(-u * u)
                    b += math.exp(-v * v)
                    if d < 0.0:
                        c += d * d
                    if constants.greasy[kind, other]:
                        h += min(max((e1 - d) * s1, 0.0), 1.0)
                    if constants.bonding[kind, other]:
                        d5 += min(max((e2 - d) * s2, 0.0), 1.0)
            out[p, n, 0], out[p, n, 1], out[p, n, 2] = w[0] * a, w[1] * b, w[2] * c
            out[p, n, 3], out[p, n, 4] = w[3] * h, w[4] * d5


class RadialRange(NamedTuple):
    """Cubic B-splines as ``RadialSplines`` has them: how many, where, how wide, angstrom."""

    functions: int
    start: float
    width: float
    cutoff: float


@lru_cache(maxsize=8)
def monomials(lmax: int) -> tuple[Float[ndarray, "lm mono"], ndarray]:
    """Harmonics of a unit vector as polynomials: coefficients, and the exponents ``(mono, 3)``.

    The first harmonic is one, as in ``docking.learned.pair_field``.
    """
    powers = [
        (a, b, c)
        for degree in range(lmax + 1)
        for a in range(degree, -1, -1)
        for b in range(degree - a, -1, -1)
        for c in [degree - a - b]
    ]
    exponents = np.array(powers, dtype=np.int64)
    points = np.random.default_rng(0).normal(size=(4 * len(powers), 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    values = solid_harmonics(torch.as_tensor(points), lmax).numpy() * math.sqrt(4 * math.pi)
    basis = (points[:, None, :] ** exponents).prod(-1)
    return np.linalg.lstsq(basis, values, rcond=None)[0].T.copy(), exponents


@compiled
def field_sums(x, y, weights, exponents, radial, out):
    """Score of every pose in a field of pairs.

    Args:
        x: Poses ``(p, n, 3)``, angstrom.
        y: Emitting atoms ``(m, 3)``.
        weights: ``(n, m, k, mono)``, float32 or float64.
        exponents: ``(mono, 3)``, at most 3 each, the constant first.
        radial: ``RadialRange``.
        out: Zeros ``(p,)``, filled.
    """
    reach2 = radial.cutoff * radial.cutoff
    inverse = 1.0 / radial.width
    count = exponents.shape[0]
    mono = np.ones(count)
    powers = np.ones((3, 4))
    for p in range(x.shape[0]):
        total = 0.0
        for n in range(x.shape[1]):
            px, py, pz = x[p, n, 0], x[p, n, 1], x[p, n, 2]
            for m in range(y.shape[0]):
                dx, dy, dz = px - y[m, 0], py - y[m, 1], pz - y[m, 2]
                r2 = dx * dx + dy * dy + dz * dz
                if r2 >= reach2:
                    continue
                r = math.sqrt(max(r2, 1e-6))
                powers[0, 1], powers[1, 1], powers[2, 1] = dx / r, dy / r, dz / r
                for a in range(3):
                    powers[a, 2] = powers[a, 1] * powers[a, 1]
                    powers[a, 3] = powers[a, 2] * powers[a, 1]
                for e in range(1, count):
                    mono[e] = (
                        powers[0, exponents[e, 0]]
                        * powers[1, exponents[e, 1]]
                        * powers[2, exponents[e, 2]]
                    )
                s = (r - radial.start) * inverse
                first = max(math.ceil(s - 2.0), 0)
                for k in range(first, min(math.floor(s + 2.0), radial.functions - 1) + 1):
                    t = abs(s - k)
                    outer, inner = max(2.0 - t, 0.0), max(1.0 - t, 0.0)
                    value = outer * outer * outer / 6.0 - inner * inner * inner * (2.0 / 3.0)
                    row = weights[n, m, k]
                    angular = 0.0
                    for e in range(count):
                        angular += row[e] * mono[e]
                    total += value * angular
        out[p] = total
