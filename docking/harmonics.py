"""Real spherical harmonics, the matrices that rotate them, and their products.

Conventions are e3nn's: polar axis y, ``l = 1`` is (x, y, z), orders run from -l to l, integral
normalisation (the squares integrate to one over the sphere), ``Y(R x) = D(R) Y(x)``. Any degree.

Source: Kostelec & Rockmore, "FFTs on the Rotation Group", J. Fourier Anal. Appl. 14 (2008) 145,
sections 2-3, for the Euler-angle factorisation; Kovacs & Wriggers, Acta Cryst. D58 (2002) 1282,
for reducing every polar angle to a right angle.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


@lru_cache(maxsize=32)
def _norms(lmax: int) -> list[list[float]]:
    # sqrt((2l+1)/4pi * (l-m)!/(l+m)!) * (2m-1)!!, and sqrt(2) for m > 0
    table = []
    for degree in range(lmax + 1):
        row = []
        for m in range(degree + 1):
            logs = math.lgamma(degree - m + 1) - math.lgamma(degree + m + 1)
            double = math.lgamma(2 * m + 1) - m * math.log(2) - math.lgamma(m + 1)
            value = math.sqrt((2 * degree + 1) / (4 * math.pi)) * math.exp(logs / 2 + double)
            row.append(value * (math.sqrt(2) if m else 1.0))
        table.append(row)
    return table


def solid_harmonics(x: Float[Tensor, "*batch 3"], lmax: int) -> Float[Tensor, "*batch d"]:
    """Homogeneous polynomials ``r**l Y_lm(x / r)``, d = (lmax + 1)**2; smooth everywhere."""
    if lmax < 0:
        raise ValueError(f"lmax must be at least 0, got {lmax}")
    norms = _norms(lmax)
    # Standard axes: e3nn's (z, x, y) are the textbook's (x, y, z).
    b, z, a = x.unbind(-1)
    r2 = a * a + b * b + z * z
    cos, sin = [torch.ones_like(z)], [torch.zeros_like(z)]
    for _ in range(lmax):
        cos.append(a * cos[-1] - b * sin[-1])
        sin.append(a * sin[-1] + b * cos[-2])
    columns: list[Tensor] = [z] * (lmax + 1) ** 2
    for m in range(lmax + 1):
        before, now = torch.zeros_like(z), torch.ones_like(z)
        for degree in range(m, lmax + 1):
            if degree > m:
                step = ((2 * degree - 1) * z * now - (degree + m - 1) * r2 * before) / (degree - m)
                before, now = now, step
            middle = degree * degree + degree
            columns[middle + m] = norms[degree][m] * now * cos[m]
            if m:
                columns[middle - m] = norms[degree][m] * now * sin[m]
    return torch.stack(columns, dim=-1)


def real_harmonics(x: Float[Tensor, "*batch 3"], lmax: int) -> Float[Tensor, "*batch d"]:
    """Real spherical harmonics of the direction of ``x``; a zero vector takes the pole's."""
    r = x.norm(dim=-1, keepdim=True)
    pole = x.new_tensor([0.0, 1.0, 0.0])
    return solid_harmonics(torch.where(r > 0, x / torch.where(r > 0, r, 1.0), pole), lmax)


def degrees(lmax: int) -> list[int]:
    """Degree l of each of the (lmax + 1)**2 harmonics."""
    return [degree for degree in range(lmax + 1) for _ in range(2 * degree + 1)]


@lru_cache(maxsize=16)
def sphere_quadrature(degree: int) -> tuple[Tensor, Tensor]:
    """Points and weights that integrate harmonics up to ``degree`` over the sphere exactly."""
    node, weight = np.polynomial.legendre.leggauss(degree // 2 + 1)
    turns = degree + 1
    angle = 2 * math.pi * np.arange(turns) / turns
    radius = np.sqrt(1 - node**2)
    grid = np.stack(
        [
            radius[:, None] * np.sin(angle),
            np.repeat(node[:, None], turns, 1),
            radius[:, None] * np.cos(angle),
        ],
        axis=-1,
    )
    weights = np.repeat(weight * (2 * math.pi / turns), turns)
    return torch.from_numpy(grid.reshape(-1, 3)), torch.from_numpy(weights)


def wigner_d(rotation: Float[Tensor, "*batch 3 3"], lmax: int) -> list[Float[Tensor, "*batch m m"]]:
    """Matrices ``D_l(R)``, l = 0 ... lmax, with ``Y_l(R x) = D_l(R) Y_l(x)``.

    Polynomials in the entries of R, so differentiable everywhere; meant for small ``lmax``.
    """
    points, weights = (t.to(rotation) for t in sphere_quadrature(2 * lmax))
    before = solid_harmonics(points, lmax) * weights[:, None]
    after = solid_harmonics(points @ rotation.mT, lmax)
    blocks = []
    for degree in range(lmax + 1):
        part = slice(degree**2, (degree + 1) ** 2)
        blocks.append(after[..., part].mT @ before[:, part])
    return blocks


@lru_cache(maxsize=64)
def quarter_turn(degree: int) -> Float[Tensor, "m m"]:
    """``D_l`` of the rotation that carries the x axis to the pole, float64."""
    generator = np.zeros((2 * degree + 1, 2 * degree + 1))
    m = np.arange(-degree, degree)
    ladder = np.sqrt(degree * (degree + 1) - m * (m + 1)) / 2
    generator[np.arange(2 * degree), np.arange(1, 2 * degree + 1)] = ladder
    generator += generator.T
    # exp(-i angle J_x) of the textbook axes, by the known integer eigenvalues of J_x.
    _, vectors = np.linalg.eigh(generator)
    phases = np.exp(-1j * (math.pi / 2) * np.arange(-degree, degree + 1))
    complex_d = (vectors * phases) @ vectors.T
    change = real_from_complex(degree)
    return torch.from_numpy((change.conj() @ complex_d @ change.T).real.copy())


@lru_cache(maxsize=64)
def real_from_complex(degree: int) -> np.ndarray:
    """Unitary matrix U with ``Y_real = U Y_complex`` (Condon-Shortley phase in the latter)."""
    change = np.zeros((2 * degree + 1, 2 * degree + 1), dtype=complex)
    change[degree, degree] = 1
    for m in range(1, degree + 1):
        sign = (-1) ** m
        change[degree + m, degree + m] = sign / math.sqrt(2)
        change[degree + m, degree - m] = 1 / math.sqrt(2)
        change[degree - m, degree + m] = sign / (1j * math.sqrt(2))
        change[degree - m, degree - m] = -1 / (1j * math.sqrt(2))
    return change


def turn_about_pole(angle: Float[Tensor, "*batch"], degree: int) -> Float[Tensor, "*batch m m"]:
    """``D_l`` of the rotation by ``angle`` about the pole (the y axis)."""
    order = torch.arange(-degree, degree + 1, device=angle.device)
    cos = torch.cos(angle[..., None] * order)
    # Order m > 0 is a cosine of the azimuth, -m the sine: a turn mixes the two.
    sin = torch.sin(angle[..., None] * order)
    return torch.diag_embed(cos) - torch.diag_embed(sin).flip(-1)


def euler_angles(rotation: Float[Tensor, "*batch 3 3"]) -> tuple[Tensor, Tensor, Tensor]:
    """Angles (a, b, c) with ``R = R_y(a) R_x(b) R_y(c)``, b in [0, pi]."""
    pole = rotation[..., :, 1]
    beta = torch.atan2(torch.hypot(pole[..., 0], pole[..., 2]), pole[..., 1])
    alpha = torch.atan2(pole[..., 0], pole[..., 2])
    cos, sin = torch.cos(alpha), torch.sin(alpha)
    # Undo the first turn; what stays of the x axis lies in the plane the last turn moves it in.
    x, z = rotation[..., :, 0], rotation[..., :, 2]
    gamma = torch.atan2(cos * z[..., 0] - sin * z[..., 2], cos * x[..., 0] - sin * x[..., 2])
    return alpha, beta, gamma


def euler_matrix(alpha: Tensor, beta: Tensor, gamma: Tensor) -> Float[Tensor, "*batch 3 3"]:
    """Rotation ``R_y(alpha) R_x(beta) R_y(gamma)``; the angles broadcast."""

    def about_y(angle: Tensor) -> Tensor:
        c, s, o = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
        rows = ((c, o, s), (o, o + 1, o), (-s, o, c))
        return torch.stack([torch.stack(row, -1) for row in rows], -2)

    def about_x(angle: Tensor) -> Tensor:
        c, s, o = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle)
        rows = ((o + 1, o, o), (o, c, -s), (o, s, c))
        return torch.stack([torch.stack(row, -1) for row in rows], -2)

    return about_y(alpha) @ about_x(beta) @ about_y(gamma)


def wigner_d_euler(
    alpha: Float[Tensor, "*batch"],
    beta: Float[Tensor, "*batch"],
    gamma: Float[Tensor, "*batch"],
    degree: int,
) -> Float[Tensor, "*batch m m"]:
    """``D_l`` of ``R_y(alpha) R_x(beta) R_y(gamma)`` from phases and quarter turns; any degree."""
    quarter = quarter_turn(degree).to(alpha)
    tilt = quarter.T @ turn_about_pole(beta, degree) @ quarter
    return turn_about_pole(alpha, degree) @ tilt @ turn_about_pole(gamma, degree)


@lru_cache(maxsize=8)
def axial_products(lmax: int, l_field: int) -> Float[Tensor, "a b c m"]:
    """Integrals of three harmonics, the first of order 0, over the sphere.

    ``out[p, l, q, m]`` is the integral of ``Y_p0 Y_qm Y_lm`` for ``p <= lmax + l_field``,
    ``l <= lmax``, ``q <= l_field`` and m from 0 to ``l_field``; it is the same for -m.
    """
    top = lmax + l_field
    node, weight = np.polynomial.legendre.leggauss(top + 1)
    radius = np.sqrt(1 - node**2)
    # On the meridian where the azimuth is 0 the cosine harmonics are sqrt(2) N P; order 0 is N P.
    meridian = np.stack([0 * node, node, radius], axis=-1)
    values = solid_harmonics(torch.from_numpy(meridian), top).numpy()
    out = np.zeros((top + 1, lmax + 1, l_field + 1, l_field + 1))
    axial = values[:, [p * p + p for p in range(top + 1)]]
    for m in range(l_field + 1):
        azimuth = math.pi if m else 2 * math.pi  # integral of cos(m phi)**2
        for big in range(m, lmax + 1):
            for small in range(m, l_field + 1):
                pair = values[:, big * big + big + m] * values[:, small * small + small + m]
                out[:, big, small, m] = (axial * (weight * pair * azimuth)[:, None]).sum(0)
    return torch.from_numpy(out)
