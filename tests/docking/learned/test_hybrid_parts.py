"""The learned part of the hybrid score: smooth, local, equivariant, and a sum over pairs."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from docking.harmonics import real_harmonics, wigner_d
from docking.lattice import Lattice
from docking.learned.hybrid import HybridScore
from docking.learned.lean_net import MoleculeNet, PocketNet
from docking.learned.pair_field import PairField
from docking.learned.pocket_graph import MoleculeGraph, PocketGraph
from docking.learned.splines import RadialSplines
from docking.rotation import uniform_rotations
from tests.docking.demo import ligand, receptor

KEY = "1bju"
SIZES = {"channels": 3, "radial": 4, "width": 16, "vectors": 4}


def awake(net, seed=0):
    """A network whose readouts are not the zeros they begin with."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            if not parameter.any():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return net.eval()


def pocket_net(**changes):
    torch.manual_seed(1)
    return awake(PocketNet(**(SIZES | changes)))


def graph_of(molecule, places, reach=7.0, net=None):
    net = net or pocket_net()
    sizes = {"layers": net.layers, "cutoff": net.cutoff, "neighbours": net.neighbours}
    return PocketGraph.of(molecule, places, reach=reach, **sizes)


# radial functions


@given(
    st.integers(1, 12),
    st.floats(0.0, 3.0),
    st.floats(0.5, 8.0),
    st.floats(0.0, 1.0),
)
def test_splines_end_smoothly(count, start, span, place):
    basis = RadialSplines(count, start, start + span)
    beyond = torch.tensor(basis.cutoff + place, dtype=torch.float64)
    assert basis(beyond).abs().max() < 1e-12
    width = span / (count + 1)
    near = torch.tensor([1e-3, 2e-3], dtype=torch.float64) * width
    last = basis(basis.cutoff - near)[:, -1]
    # A cubic end: eight times as high at twice the distance.
    assert last[1] / last[0] == pytest.approx(8, rel=1e-6)


def test_splines_sum_to_one_between():
    basis = RadialSplines(9, 0.0, 10.0)
    r = torch.linspace(1.0, 7.0, 200, dtype=torch.float64)
    assert (basis(r).sum(-1) - 1).abs().max() < 1e-12


# graphs and networks


def test_cropping_changes_no_coefficient():
    molecule, places = receptor(KEY), ligand(KEY).coords
    net = pocket_net()
    small, large = graph_of(molecule, places), graph_of(molecule, places, reach=15.0)
    assert len(small.positions) < 0.8 * len(large.positions)
    gap = torch.cdist(large.positions, torch.as_tensor(places).float()).amin(1)
    felt = large.emits & (gap < 7.0)
    a = net(small)
    b = net(large)[(gap < 7.0)[large.emits]]
    assert torch.equal(small.positions[small.emits], large.positions[felt])
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_coefficients_turn_with_the_pocket(seed):
    molecule, places = receptor(KEY), ligand(KEY).coords
    net = pocket_net(degree=3)
    before = graph_of(molecule, places, net=net)
    R = uniform_rotations(1, generator=torch.Generator().manual_seed(seed))[0].float()
    shift = torch.randn(3, generator=torch.Generator().manual_seed(seed))
    after = PocketGraph(
        before.features, before.positions @ R.T + shift, before.edges, before.emits, before.counts
    )
    expected = [
        part @ D.T.float()
        for part, D in zip(
            net(before).split([1, 3, 5, 7], dim=-1), wigner_d(R.double(), 3), strict=True
        )
    ]
    torch.testing.assert_close(net(after), torch.cat(expected, -1), rtol=1e-3, atol=2e-4)


def test_batching_changes_nothing():
    net, places = pocket_net(), [ligand(key).coords for key in (KEY, "4alw")]
    graphs = [graph_of(receptor(k), x, 4.0) for k, x in zip((KEY, "4alw"), places, strict=True)]
    joined = net(PocketGraph.joined(graphs))
    torch.testing.assert_close(joined, torch.cat([net(g) for g in graphs]), rtol=1e-4, atol=1e-5)
    molecules = [MoleculeGraph.of(ligand(key)) for key in (KEY, "4alw")]
    mol_net = MoleculeNet(3, 16, 2).eval()
    both = mol_net(MoleculeGraph.joined(molecules))
    torch.testing.assert_close(both, torch.cat([mol_net(g) for g in molecules]))


def test_readout_of_a_ligand_knows_no_coordinates():
    one = ligand("3og7")
    moved = one.with_coords(one.coords[:, ::-1] * 1.3)
    net = MoleculeNet(3, 16, 2).eval()
    assert torch.equal(net(MoleculeGraph.of(one)), net(MoleculeGraph.of(moved)))


def test_metals_and_cofactors_are_nodes():
    molecule = receptor("1p5e")
    graph = graph_of(molecule, molecule.positions, reach=1.0)
    assert len(graph.positions) == int(molecule.heavy.sum())


# the field


def brute_force(field, A, x):
    """The definition, one pair at a time."""
    total = np.zeros(len(x))
    for p, pose in enumerate(x):
        for n, place in enumerate(pose):
            for m, emitter in enumerate(field.positions):
                offset = place - emitter
                if offset.norm() >= field.basis.cutoff:
                    continue
                radial = field.basis(offset.norm())
                shape = real_harmonics(offset, field.lmax) * math.sqrt(4 * math.pi)
                total[p] += float(
                    torch.einsum("q,qkl,k,l->", A[n], field.coefficients[m], radial, shape)
                )
    return total


def some_field(seed, emitters=6, lmax=2):
    generator = torch.Generator().manual_seed(seed)
    basis = RadialSplines(4, 1.0, 5.0)
    make = {"generator": generator, "dtype": torch.float64}
    B = torch.randn(emitters, 3, 4, (lmax + 1) ** 2, **make)
    y = torch.randn(emitters, 3, **make) * 3
    x = torch.randn(2, 3, 3, **make) * 2
    return PairField(B, y, basis), torch.randn(3, 3, **make), x


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 3))
def test_scores_are_the_double_sum(seed, lmax):
    field, A, x = some_field(seed, lmax=lmax)
    np.testing.assert_allclose(field.scores(A, x), brute_force(field, A, x), atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_maps_hold_what_each_atom_scores(seed):
    field, A, _ = some_field(seed)
    lattice = Lattice((-2.0, -1.5, -1.0), 0.9, (4, 5, 4))
    maps = field.atom_maps(A, lattice)
    points = torch.as_tensor(lattice.points()).reshape(-1, 3)
    for n in range(len(A)):
        alone = field.scores(A[n : n + 1], points[:, None])
        np.testing.assert_allclose(maps[n].flatten(), alone, atol=1e-9)


def test_forces_are_the_gradient():
    field, A, x = some_field(3)
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda y: field.scores(A, y), (x,))


# the whole score


def test_score_is_invariant_under_joint_motion():
    molecule, small = receptor(KEY), ligand(KEY)
    score = HybridScore(pocket_net(), awake(MoleculeNet(3, 16, 2))).eval()
    A = score.readouts(MoleculeGraph.of(small))[0]
    x = small.coords[small.heavy]
    R, shift = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix(), np.array([3.0, -2.0, 5.0])
    first = score.fields(graph_of(molecule, x))[0].scores(A, torch.as_tensor(x[None]).float())
    molecule.positions = molecule.positions @ R.T + shift
    x = x @ R.T + shift
    second = score.fields(graph_of(molecule, x))[0].scores(A, torch.as_tensor(x[None]).float())
    assert first.abs() > 0.1
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-3)


def test_new_score_is_physics():
    molecule, small = receptor(KEY), ligand(KEY)
    score = HybridScore(PocketNet(**SIZES), MoleculeNet(3, 16, 2), temperature=2.0).eval()
    x = torch.as_tensor(small.coords[small.heavy][None]).float()
    field = score.fields(graph_of(molecule, x[0].numpy()))[0]
    assert field.scores(score.readouts(MoleculeGraph.of(small))[0], x).abs().max() == 0
    terms, intra = torch.randn(4, 5), torch.randn(4)
    expected = -(terms.sum(1) + intra) / 2
    torch.testing.assert_close(score.energies(terms, intra), expected)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: PocketNet(channels=0), "channels must be at least 1, got 0"),
        (lambda: PocketNet(degree=4), "degree must be 0 to 3, got 4"),
        (lambda: MoleculeNet(layers=0), "layers must be at least 1, got 0"),
        (lambda: RadialSplines(4, 2.0, 2.0), "cutoff must be above start"),
        (lambda: HybridScore(PocketNet(3), MoleculeNet(4)), "as many channels, got 3 and 4"),
        (
            lambda: HybridScore(PocketNet(3), MoleculeNet(3), temperature=0.0),
            "temperature must be positive",
        ),
    ],
)
def test_nonsense_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
