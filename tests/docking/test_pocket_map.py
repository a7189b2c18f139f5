"""What the maps of a pocket promise: the direct sum, for any reader, kept on disk."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from docking.box import Box
from docking.channels import ALL_TYPES, ORGANIC_TYPES, Channels
from docking.lattice import Lattice
from docking.molecule import Receptor, Residue
from docking.physics import atom_terms, intermolecular
from docking.pocket_map import PocketField
from docking.radial_sums import radial_sums
from docking.terms import TERMS, VINA, VINARDO
from docking.typing import VinaType as V
from overparam.errors import InputError

seeds = st.integers(0, 2**32 - 1)
few = settings(deadline=None, max_examples=8)
BOX = Box((0.0, 0.0, 0.0), (6.0, 5.0, 4.0))


def receptor_of(seed, atoms=150, size=22.0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-size / 2, size / 2, (atoms, 3))
    kinds = rng.integers(-1, len(V), atoms)
    return Receptor(
        x, ["C"] * atoms, ["C"] * atoms, np.zeros(atoms, dtype=np.int64),
        [Residue("A", "1", "UNK")], vina_type=kinds,
    )  # fmt: skip


def direct(receptor, x, kinds, function=VINA):
    """Energy of each atom by the exact sum, ``(n,)``."""
    y, type_y = torch.as_tensor(receptor.positions), torch.as_tensor(receptor.vina_type)
    return atom_terms(x[None], kinds, y, type_y, function=function)[0].sum(-1)


def points(seed, count, box=BOX):
    rng = np.random.default_rng(seed)
    x = torch.as_tensor(rng.uniform(box.low, box.high, (count, 3)))
    return x, torch.as_tensor(rng.integers(0, len(V), count))


@pytest.fixture(scope="module")
def receptor():
    return receptor_of(0)


@pytest.fixture(scope="module")
def field(receptor):
    return PocketField.build(receptor, BOX, spacing=0.4)


@given(seed=seeds, kind=st.sampled_from(list(V)), vinardo=st.booleans())
@few
def test_lattice_points_hold_the_direct_sum(seed, kind, vinardo):
    function = VINARDO if vinardo else VINA
    receptor = receptor_of(seed)
    field = PocketField.build(receptor, BOX, spacing=0.9, types=[kind], function=function)
    x = torch.as_tensor(field.lattice.points()).reshape(-1, 3)
    got = field.values[field.channel_of_type()[kind]].reshape(-1)
    expected = direct(receptor, x, torch.full((len(x),), kind), function)
    # Single precision, and 1e-5 a pair from the radial mesh.
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-3)


def test_types_and_terms_are_as_many_as_they_should_be():
    assert len(Channels.by_type(ORGANIC_TYPES)) == 16
    assert len(Channels.by_term(ORGANIC_TYPES)) == 32
    assert len(Channels.by_type(ALL_TYPES)) == 19  # boron and the like read the polar carbon's map
    with pytest.raises(ValueError, match="at least one"):
        Channels.by_type([])


@pytest.mark.parametrize("types", [ORGANIC_TYPES, ALL_TYPES, (V.C_P, V.O_DA)])
def test_maps_kept_by_term_sum_to_the_maps_by_type(receptor, types):
    by_term = PocketField.build(receptor, BOX, spacing=0.7, by_term=True, types=types)
    by_type = PocketField.build(receptor, BOX, spacing=0.7, types=types)
    merged = by_term.merge()
    # Types that need no map of their own come along: silicon shares its radius with iodine.
    assert set(by_type.names) <= set(merged.names)
    same = [merged.names.index(name) for name in by_type.names]
    torch.testing.assert_close(merged.grid[same], by_type.grid, rtol=1e-4, atol=1e-3)
    x, _ = points(1, 30)
    kinds = torch.as_tensor(np.random.default_rng(1).choice(types, 30))
    expected = by_type.energy(x, kinds)
    torch.testing.assert_close(by_term.energy(x, kinds), expected, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(merged.energy(x, kinds), expected, rtol=1e-4, atol=1e-3)


def test_weights_of_the_terms_are_trainable(receptor):
    field = PocketField.build(receptor, BOX, spacing=0.5, by_term=True)
    x, kinds = points(2, 20)
    weights = torch.tensor(VINA.weights, requires_grad=True)
    energy = field.energy(x, kinds, weights=weights)
    energy.backward()
    assert weights.grad.shape == (len(TERMS),)
    # Linear in the weights: the energy is its own directional derivative.
    assert (weights.grad @ weights.detach()).item() == pytest.approx(energy.item(), rel=1e-4)
    doubled = field.merge(2 * weights.detach())
    assert doubled.energy(x, kinds).item() == pytest.approx(2 * energy.item(), rel=1e-3)


@pytest.mark.parametrize(("method", "order"), [("cubic", 1.5), ("linear", 1.3)])
def test_finer_maps_come_closer_to_the_sum(receptor, method, order):
    x, kinds = points(3, 300)
    exact = direct(receptor, x, kinds)
    errors = []
    for spacing in (0.6, 0.3, 0.15):
        field = PocketField.build(receptor, BOX, spacing=spacing, method=method)
        got = field.sample(x)[torch.arange(300), field.channel_of_type()[kinds]]
        errors.append((got - exact).square().mean().sqrt().item())
    # The 8 angstrom jump and the corners of the ramps keep the order below that of smooth maps.
    assert errors[0] / errors[2] > 4**order


@given(seed=seeds)
@few
def test_energy_is_the_contraction_with_one_hot_coefficients(field, seed):
    x, kinds = points(seed, 12)
    A = field.channels.readout()[kinds].double()
    torch.testing.assert_close(field.contract(x, A), field.energy(x, kinds))


@given(seed=seeds, limit=st.sampled_from([10.0, 1000.0, float("inf")]))
@few
def test_fast_gradient_is_autograd_inside_and_outside_the_box(field, seed, limit):
    rng = np.random.default_rng(seed)
    x = torch.as_tensor(rng.uniform(-6, 6, (4, 7, 3))).requires_grad_()
    kinds = torch.as_tensor(rng.integers(-1, len(V), 7))
    energy = field.energy(x, kinds, limit=limit, slope=100.0)
    (expected,) = torch.autograd.grad(energy.sum(), x)
    value, gradient = field.energy_and_gradient(x.detach(), kinds, limit=limit, slope=100.0)
    torch.testing.assert_close(value, energy.detach())
    torch.testing.assert_close(gradient, expected)
    assert (gradient[:, kinds < 0] == 0).all()


def test_gradient_is_the_finite_difference(field):
    x, kinds = points(5, 10)
    x = x * 1.5  # some outside
    _, gradient = field.energy_and_gradient(x, kinds, limit=10.0, slope=100.0)
    h = 1e-6
    for n in range(10):
        for axis in range(3):
            step = torch.zeros_like(x)
            step[n, axis] = h
            up, down = (field.energy(x + s * step, kinds, limit=10.0, slope=100.0) for s in (1, -1))
            slope = (up - down).item() / (2 * h)
            assert slope == pytest.approx(gradient[n, axis].item(), rel=1e-3, abs=1e-3)


def test_outside_the_box_the_energy_is_the_edges_plus_the_way_out(field):
    kinds = torch.tensor([V.C_H])
    edge = torch.tensor([[3.0, 1.0, 0.5]], dtype=torch.float64)
    out = edge + torch.tensor([0.5, 0.0, 0.0])
    gap = field.energy(out, kinds, slope=100.0) - field.energy(edge, kinds, slope=100.0)
    assert gap.item() == pytest.approx(50.0)
    corner = torch.tensor([[3.5, 3.5, 0.5]], dtype=torch.float64)
    at = torch.tensor([[3.0, 2.5, 0.5]], dtype=torch.float64)
    gap = field.energy(corner, kinds, slope=100.0) - field.energy(at, kinds, slope=100.0)
    assert gap.item() == pytest.approx(150.0)


def test_the_cap_bends_each_atoms_sum(field):
    x, kinds = points(6, 50)
    raw = torch.stack([field.energy(x[n : n + 1], kinds[n : n + 1]) for n in range(50)])
    assert (raw > 10).any()
    expected = torch.where(raw > 0, raw * 10 / (10 + raw), raw).sum()
    assert field.energy(x, kinds, limit=10.0).item() == pytest.approx(expected.item())


@given(seed=seeds)
@few
def test_a_joint_motion_by_lattice_steps_changes_nothing(seed):
    receptor = receptor_of(seed)
    shift = np.array([10.0, -20.0, 5.0])
    moved = receptor_of(seed)
    moved.positions = receptor.positions + shift
    near, far = (
        PocketField.build(r, Box(BOX.center + s, BOX.size), spacing=0.8, types=[V.C_H, V.O_DA])
        for r, s in ((receptor, np.zeros(3)), (moved, shift))
    )
    torch.testing.assert_close(near.grid, far.grid, rtol=1e-4, atol=1e-3)


def test_poses_and_atom_order_are_independent(field):
    x, kinds = points(7, 8)
    poses = x + torch.as_tensor(np.random.default_rng(7).normal(0, 0.3, (5, 1, 3)))
    together = field.energy(poses, kinds)
    torch.testing.assert_close(together[2], field.energy(poses[2], kinds))
    p = torch.randperm(8)
    torch.testing.assert_close(field.energy(poses[:, p], kinds[p]), together)


@pytest.mark.parametrize("options", [{}, {"method": "linear"}, {"by_term": True}])
def test_a_saved_field_comes_back(receptor, tmp_path, options):
    field = PocketField.build(receptor, BOX, spacing=0.8, **options)
    field.save(tmp_path / "pocket.pt")
    again = PocketField.load(tmp_path / "pocket.pt")
    x, kinds = points(8, 20)
    assert torch.equal(again.energy(x * 1.2, kinds), field.energy(x * 1.2, kinds))
    assert repr(again) == repr(field) and again.names == field.names
    y, type_y = (torch.as_tensor(a) for a in (again.receptor_positions, again.receptor_types))
    exact = direct(receptor, x, kinds)
    got = atom_terms(x[None], kinds, y, type_y)[0].sum(-1)
    torch.testing.assert_close(got, exact, rtol=0, atol=0)
    state = torch.load(tmp_path / "pocket.pt", weights_only=True)
    assert state["version"] == 1


def test_bad_files_are_refused_in_one_line(field, tmp_path):
    path = tmp_path / "pocket.pt"
    with pytest.raises(InputError, match="cannot be read"):
        PocketField.load(path)
    path.write_bytes(b"not a pocket")
    with pytest.raises(InputError, match="damaged or not a pocket"):
        PocketField.load(path)
    torch.save({"format": "other"}, path)
    with pytest.raises(InputError, match="not a pocket file"):
        PocketField.load(path)
    field.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        PocketField.load(path)
    state = torch.load(_rewrite(path, whole), weights_only=True)
    torch.save(state | {"version": 99}, path)
    with pytest.raises(InputError, match="newer"):
        PocketField.load(path)
    torch.save({k: v for k, v in state.items() if k != "lattice"}, path)
    with pytest.raises(InputError, match="damaged"):
        PocketField.load(path)
    torch.save(state | {"grid": state["grid"][:3]}, path)
    with pytest.raises(InputError, match="damaged"):
        PocketField.load(path)


def _rewrite(path, whole):
    path.write_bytes(whole)
    return path


def test_memory_is_bounded_and_printed(receptor, field):
    assert f"{field.nbytes / 2**20:.1f} MiB" in repr(field)
    with pytest.raises(
        InputError, match=r"MiB, more than 1: use a smaller box or a spacing of 0\.\d"
    ):
        PocketField.build(receptor, BOX, spacing=0.2, max_bytes=1 << 20)


def test_a_box_far_from_the_receptor_is_refused(receptor):
    with pytest.raises(InputError, match="no receptor atom within 8"):
        PocketField.build(receptor, Box((100.0, 0.0, 0.0), (5.0, 5.0, 5.0)))


def test_types_without_a_map_are_named(receptor):
    field = PocketField.build(receptor, BOX, spacing=0.8, types=[V.C_H, V.O_A])
    x, _ = points(9, 2)
    with pytest.raises(InputError, match="type N_D"):
        field.energy(x, torch.tensor([V.C_H, V.N_D]))
    terms = PocketField.build(receptor, BOX, spacing=0.8, types=[V.C_P], by_term=True)
    with pytest.raises(InputError, match="type C_H"):
        terms.energy(x, torch.tensor([V.C_P, V.C_H]))
    with pytest.raises(ValueError, match="merge"):
        terms.energy_and_gradient(x, torch.tensor([V.C_P, V.C_P]))


def test_learned_maps_need_no_types():
    lattice = Lattice((0.0, 0.0, 0.0), 1.0, (6, 6, 6))
    values = torch.randn(5, 6, 6, 6, generator=torch.Generator().manual_seed(0))
    field = PocketField.from_values(values, lattice)
    torch.testing.assert_close(field.values, values, rtol=1e-4, atol=1e-5)
    x = torch.rand(3, 4, 3) * 5
    A = torch.randn(3, 4, 5, requires_grad=True)
    field.contract(x, A).sum().backward()
    torch.testing.assert_close(A.grad, field.sample(x))
    with pytest.raises(ValueError, match="contract"):
        field.energy(x, torch.zeros(4, dtype=torch.long), weights=torch.ones(5))
    with pytest.raises(ValueError, match="must have shape"):
        PocketField(values, lattice)
    with pytest.raises(ValueError, match="method"):
        PocketField(values, lattice, method="nearest")


def test_maps_move_between_devices_and_report_their_sizes(field):
    assert field.to("cpu").energy(*points(1, 3)).shape == ()
    assert "19 cubic maps" in repr(field)


def test_exact_scores_do_not_come_from_maps(receptor, field):
    x, kinds = points(11, 10)
    y, type_y = (torch.as_tensor(a) for a in (field.receptor_positions, field.receptor_types))
    whole = torch.as_tensor(receptor.positions), torch.as_tensor(receptor.vina_type)
    torch.testing.assert_close(
        intermolecular(x[None], kinds, y, type_y), intermolecular(x[None], kinds, *whole)
    )


def test_an_empty_neighbourhood_sums_to_zero():
    lattice = Lattice((0.0, 0.0, 0.0), 1.0, (5, 5, 5))
    far = np.array([[40.0, 0.0, 0.0]])
    values = radial_sums(lattice, far, np.array([0]), Channels.by_type([V.C_H]))
    assert (values == 0).all()
