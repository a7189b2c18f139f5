"""Energy and gradient of many poses at once, on any device.

It is what ``docking.search.energy`` computes one by one from the maps: their capped values, walls
of the box, overlap of the ligand's own pairs and penalty of the conformer.

Sums are foldings in a fixed order, never a library's reduction, whose order may change with the
number of poses: a pose's energy is the same bits however many others are computed beside it.

Source: as ``docking.search.energy``.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from docking.search.batched_problem import LAST, DeviceBody, DeviceMaps, at_once
from docking.search.pair_sum import CAP, SLOPE
from docking.search.problem import BINS

_TINY = 1e-6  # square angstrom; atoms on top of each other keep a finite force


def folded(x: Tensor) -> Tensor:
    """Sum over the first axis in an order of its own; overwrites ``x``."""
    while len(x) > 1:
        half = (len(x) + 1) // 2
        x[: len(x) - half] += x[half:]
        x = x[:half]
    return x[0]


def place(body: DeviceBody, state: Tensor) -> tuple[Tensor, Tensor]:
    """Positions ``(n, 3, p)`` and frames ``(b, 3, 5, p)`` of poses ``(7 + t, p)``.

    Columns of a frame are its turn, its origin and the bond the body hangs on.
    """
    poses = state.shape[-1]
    w, r = state[3], state[4:7]
    s = 2 * w * r
    m, zero = -s, torch.zeros_like(w)
    cross = torch.stack((zero, m[2], s[1], s[2], zero, m[0], m[1], s[0], zero))
    turn = 2 * r[:, None] * r + cross.view(3, 3, poses)
    turn.diagonal(dim1=0, dim2=1).add_((2 * w * w - 1)[:, None])
    centre = state[:3, None]
    known = [torch.cat([turn, centre, torch.zeros_like(centre)], 1)[None]]
    if body.levels:
        angle = state[7:].index_select(0, body.angles)[:, None, None]
        step = body.still + body.cosine * torch.cos(angle) + body.sine * torch.sin(angle)
    for a, b, parents in body.levels:
        P, M = known[-1].index_select(0, parents), step[a - 1 : b - 1]
        level = P[:, :, 0:1] * M[:, 0:1] + P[:, :, 1:2] * M[:, 1:2] + P[:, :, 2:3] * M[:, 2:3]
        level[:, :, 3] += P[:, :, 3]
        known.append(level)
    frames = torch.cat(known)
    F, at = frames[:, :, :4].index_select(0, body.owner), body.local
    x = F[:, :, 3] + F[:, :, 0] * at[:, :1] + F[:, :, 1] * at[:, 1:2] + F[:, :, 2] * at[:, 2:]
    return x, frames


def map_energy(maps: DeviceMaps, body: DeviceBody, x: Tensor) -> tuple[Tensor, Tensor]:
    """Energy of each atom ``(n, p)`` by trilinear maps and the walls of the box, and gradient."""
    inside = torch.minimum(torch.maximum(x, maps.low), maps.high)
    over = x - inside
    u = (inside - maps.origin) * maps.inverse
    cell = torch.minimum(u.to(maps.last.dtype).clamp_(min=0), maps.last)
    f = u - cell
    _, _, ny, nz = maps.shape
    at = body.channel + (cell[:, 0] * ny + cell[:, 1]) * nz + cell[:, 2]
    read = maps.values.index_select(0, (at + maps.corners).view(-1))
    v = read.view(2, 2, 2, *at.shape)
    up = v[:, :, 1] - v[:, :, 0]
    both = torch.stack((v[:, :, 0] + f[:, 2] * up, up))  # value and its slope along z
    across = both[:, :, 1] - both[:, :, 0]
    three = torch.cat((both[:, :, 0] + f[:, 1] * across, across[:1]))  # and that along y
    along = three[:, 1] - three[:, 0]
    e, gz, gy = three[:, 0] + f[:, 0] * along
    g = torch.stack((along[0], gy, gz), 1) * maps.inverse
    g = torch.where(over == 0, g, SLOPE * over.sign())
    wall = over.abs()
    return e + SLOPE * (wall[:, 0] + wall[:, 1] + wall[:, 2]), g


def own_energy(maps: DeviceMaps, body: DeviceBody, x: Tensor) -> tuple[Tensor, Tensor]:
    """Energy of each of the ligand's own pairs ``(p, poses)``, and gradient of all."""
    assert body.pairs is not None
    i, j = body.pairs
    d = x.index_select(0, i) - x.index_select(0, j)
    square = d * d
    r2 = square[:, 0] + square[:, 1] + square[:, 2]
    e, push = _read(maps, body, r2) if body.radii is None else _overlap(body, r2)
    force = push[:, None] * d
    force = torch.cat((force, -force)).index_select(0, body.partners.view(-1))
    return e[:-1], folded(force.view(*body.partners.shape, *x.shape[1:]))


def _overlap(body: DeviceBody, r2: Tensor) -> tuple[Tensor, Tensor]:
    """Repulsion of pairs, and its slope over the distance, which it is divided by."""
    assert body.radii is not None
    r = (r2 + _TINY).sqrt()
    depth = (r - body.radii).clamp(max=0)
    slope = body.weight * depth
    return slope * depth, 2 * slope / r


def _read(maps: DeviceMaps, body: DeviceBody, r2: Tensor) -> tuple[Tensor, Tensor]:
    """The same of all terms from their table, straight between its nodes, each pair capped."""
    u = (r2 * BINS).clamp_(max=LAST)
    node = u.to(body.rows.dtype)
    at = (body.rows + node).view(-1)
    rise = maps.rise.index_select(0, at).view_as(u)
    e = maps.table.index_select(0, at).view_as(u) + (u - node) * rise
    shrink = CAP / (CAP + e.clamp(min=0))
    return e * shrink, 2 * BINS * rise * shrink * shrink


def move(state: Tensor, step: Tensor) -> Tensor:
    """Poses ``(7 + t, p)`` reached by steps ``(6 + t, p)``: shift, lab turn, torsions."""
    u, q = step[3:6], state[3:7]
    angle = (u[0] * u[0] + u[1] * u[1] + u[2] * u[2]).sqrt()
    half = angle / 2
    s = torch.where(angle > 1e-12, half.sin() / angle.clamp(min=1e-12), 0.5)
    i, j, k = s * u
    w = half.cos()
    a, b, c, d = q
    turned = torch.stack(
        (
            w * a - i * b - j * c - k * d,
            w * b + i * a + j * d - k * c,
            w * c - i * d + j * a + k * b,
            w * d + i * c - j * b + k * a,
        )
    )
    square = turned * turned
    turned /= (square[0] + square[1] + square[2] + square[3]).sqrt()
    angles = state[7:] + step[6:]
    angles -= 2 * math.pi * (angles / (2 * math.pi)).round()
    return torch.cat((state[:3] + step[:3], turned, angles))


def evaluate(maps: DeviceMaps, body: DeviceBody, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Energies ``(p,)``, gradients ``(6 + t, p)`` and positions ``(n, 3, p)`` of laid poses.

    Args:
        maps: The pocket.
        body: The ligand, with one conformer per pose (``DeviceBody.laid``).
        state: Poses ``(7 + t, p)``, from the middle of the box.
    """
    x, frames = place(body, state)
    e, g = map_energy(maps, body, x)
    if body.pairs is not None:
        own, push = own_energy(maps, body, x)
        e, g = torch.cat((e, own)), g + push
    arm = x - state[:3]
    # Force and torque about the root's origin of each atom, then of each body, then of all below.
    wrench = x.new_zeros(len(x) + 1, 6, x.shape[-1])
    wrench[:-1, :3] = g
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        torch.sub(arm[:, b] * g[:, c], arm[:, c] * g[:, b], out=wrench[:-1, 3 + a])
    some = wrench.index_select(0, body.members.view(-1))
    total = folded(some.view(*body.members.shape, *wrench.shape[1:]))
    for b in range(len(body.parents) - 1, 0, -1):
        total[body.parents[b]] += total[b]
    slope = total[0]
    if body.levels:
        hinge, axis = frames[1:, :, 3] - state[:3], frames[1:, :, 4]
        F, T = total[1:, :3], total[1:, 3:]
        i, j, k = (
            axis[:, a] * (T[:, a] - hinge[:, b] * F[:, c] + hinge[:, c] * F[:, b])
            for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1))
        )
        slope = torch.cat((slope, (i + j + k).index_select(0, body.torsions)))
    return folded(e) + body.penalty, slope, x


def energies(
    maps: DeviceMaps,
    body: DeviceBody,
    conformer: Int[Tensor, " p"],
    states: Float[Tensor, "p dof"],
    *,
    memory: int | None = None,
) -> tuple[Float[Tensor, " p"], Float[Tensor, "p free"], Float[Tensor, "p n 3"]]:
    """Energy, gradient and atoms of many poses.

    Args:
        maps: The pocket.
        body: The ligand.
        conformer: Conformer of each pose.
        states: Translation, quaternion and torsions of each, as in ``docking.search.energy``.
        memory: Bytes of temporary arrays; more poses are computed in turns. ``working_memory`` of
            the device if left out.

    Returns:
        Energies, kcal/mol; their gradients, the three of the rotation being about the lab axes
        through the root's origin; heavy atoms, angstrom, in the body's order.
    """
    device, dtype = maps.values.device, maps.values.dtype
    middle = torch.as_tensor(maps.middle, device=device)
    found = []
    turn = at_once(len(states), body.floats(), maps, memory)
    for some, c in zip(states.split(turn), conformer.split(turn), strict=True):
        state = some.detach().to(device, torch.float64).T.clone()
        state[:3] -= middle[:, None]
        e, slope, x = evaluate(maps, body.laid(c.to(device)), state.to(dtype))
        found.append((e, slope.T, x.permute(2, 0, 1) + middle.to(dtype)))
    e, slope, x = (torch.cat(parts) for parts in zip(*found, strict=True))
    return e, slope, x
