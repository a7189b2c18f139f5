"""The reference network has the published size, turns with its input and sees mirror images."""

import copy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from e3nn import o3
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from docking.correlate import ReceptorSpectrum, translation_maps
from docking.grid import Grid
from docking.learned.esf import EsfFields
from docking.learned.reference_graph import ComplexGraph, LigandGraph, ReceptorGraph
from docking.learned.reference_net import LigandNet, ReceptorNet
from docking.learned.tensor_layer import (
    IRREPS,
    CategoryEmbedding,
    DistanceEmbedding,
    TensorLayer,
    edge_harmonics,
)
from docking.ligand import Ligand
from docking.scalar_field import ScalarField
from overparam.compact import compact
from overparam.masks import Masks
from overparam.testing import laws

from .pockets import both, graph, moved, pocket, reordered, rotation

few = settings(deadline=None, max_examples=2)
seeds = st.integers(0, 2**31 - 1)
MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))
GRID = Grid(40, 1.0)
CLOSE = {"rtol": 1e-7, "atol": 1e-9}


@cache
def fields() -> EsfFields:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return EsfFields(ReceptorNet(2, 3, layers=2), LigandNet(2, 3, layers=2)).double()


class Placed(torch.nn.Module):
    """A network on one graph, as a function of the positions."""

    def __init__(self, net, graph):
        super().__init__()
        self.net, self.graph = net, graph

    def forward(self, x):
        return self.net(replace(self.graph, positions=x))


def of(pair: ComplexGraph) -> tuple[ScalarField, ScalarField]:
    return fields()(pair)[0]


def score(pair: tuple[ScalarField, ScalarField], grid: Grid = GRID) -> torch.Tensor:
    """Overlap of the fields where they stand."""
    receptor, ligand = pair
    spectrum = ReceptorSpectrum(receptor.translated(-ligand.center), grid)
    return translation_maps(spectrum, ligand, torch.eye(3, dtype=torch.float64)[None])[0, 0, 0, 0]


def test_sizes_are_the_published_ones():
    receptor, ligand = ReceptorNet(), LigandNet()
    both = EsfFields(receptor, ligand)
    counts = [sum(p.numel() for p in net.parameters()) for net in (ligand, receptor, both)]
    assert counts == [564_376, 1_680_952, 2_245_328]
    layer = ligand.between[0]
    assert len(layer.product.instructions) == 15
    assert layer.product.weight_numel == 672


@few
@given(seed=seeds)
def test_coefficients_turn_with_the_complex(seed):
    turn = rotation(seed)
    shift = torch.randn(3, generator=torch.Generator().manual_seed(seed)).double() * 10
    pair = of(graph("1stp"))
    turned = of(both(graph("1stp"), turn, shift))
    for one, other in zip(pair, turned, strict=True):
        steered = one.rotated(turn).translated(shift)
        torch.testing.assert_close(other.coefficients, steered.coefficients, **CLOSE)
        torch.testing.assert_close(other.positions, steered.positions)


@few
@given(seed=seeds)
def test_each_molecule_turns_by_itself(seed):
    turn, (receptor, ligand) = rotation(seed), graph("1stp")
    alone = of(ComplexGraph(receptor, moved(ligand, turn)))
    before = of(graph("1stp"))
    torch.testing.assert_close(alone[0].coefficients, before[0].coefficients)
    steered = before[1].rotated(turn)
    torch.testing.assert_close(alone[1].coefficients, steered.coefficients, **CLOSE)


def test_values_turn_with_the_complex():
    """The field itself, not only its coefficients: harmonics are those ``ScalarField`` means."""
    turn = rotation(3)
    points = graph("1stp").ligand.positions[:5] + 0.7
    for one, other in zip(of(graph("1stp")), of(both(graph("1stp"), turn)), strict=True):
        torch.testing.assert_close(other.values(points @ turn.T), one.values(points), **CLOSE)


def test_the_score_does_not_change_when_both_turn():
    turned = of(both(graph("1stp"), rotation(5)))
    torch.testing.assert_close(score(turned), score(of(graph("1stp"))), rtol=1e-4, atol=0)


def test_mirror_images_score_differently():
    pair, mirrored = of(graph("1stp")), of(both(graph("1stp"), MIRROR))
    assert (score(mirrored) - score(pair)).abs() > 1e-6 * score(pair).abs()
    # an image in a mirror that is a field like any other keeps the overlap
    parity = torch.tensor([1.0, -1, 1, 1, -1, -1, 1, 1, 1]).double()
    reflected = tuple(
        replace(f, coefficients=f.coefficients * parity, positions=f.positions @ MIRROR)
        for f in pair
    )
    torch.testing.assert_close(score(reflected), score(pair), rtol=1e-10, atol=1e-12)


def test_fields_follow_the_atoms():
    ligand, receptor = pocket("1stp").ligand, pocket("1stp").receptor
    rng = np.random.default_rng(0)
    order = rng.permutation(len(ligand))
    other = Ligand.from_rdkit(Chem.RenumberAtoms(ligand.mol, order.tolist()))
    net = fields()
    renumbered = net.ligand(LigandGraph.of(other).to(torch.float64))
    torch.testing.assert_close(renumbered, net.ligand(graph("1stp").ligand)[order], **CLOSE)
    shuffled = ReceptorGraph.of(reordered(receptor, rng.permutation(len(receptor))))
    torch.testing.assert_close(
        net.receptor(shuffled.to(torch.float64)), net.receptor(graph("1stp").receptor), **CLOSE
    )


def test_a_batch_is_its_members():
    pairs = [graph(key) for key in ("1stp", "1bju", "1p5e")]
    together = fields()(ComplexGraph.joined(pairs))
    for joint, alone in zip(together, (of(pair) for pair in pairs), strict=True):
        for one, other in zip(joint, alone, strict=True):
            torch.testing.assert_close(one.coefficients, other.coefficients, **CLOSE)
            assert torch.equal(one.positions, other.positions)


def test_a_complex_goes_straight_to_its_fields():
    receptor, ligand = fields().of(pocket("1stp"))
    torch.testing.assert_close(receptor.coefficients, of(graph("1stp"))[0].coefficients)
    assert ligand.coefficients.shape == (16, 2, 3, 9)
    assert ligand.basis.count == 3


def test_the_score_is_the_integral_of_the_product():
    """Of three emitters each, by brute force on a grid in space."""
    receptor, ligand = of(graph("1stp"))
    near = (receptor.positions - ligand.center).norm(dim=1).argsort()[:3]
    pair = tuple(
        replace(field, coefficients=field.coefficients[some], positions=field.positions[some])
        for field, some in ((receptor, near), (ligand, slice(0, 3)))
    )
    middle = torch.cat([field.positions for field in pair]).mean(0)
    grid = Grid(56, 0.5, tuple((middle + 0.1).tolist()))
    direct = (pair[0].on_grid(grid) * pair[1].on_grid(grid)).sum() * grid.spacing**3
    torch.testing.assert_close(score(pair), direct, rtol=1e-4, atol=0)


def test_gradients_reach_the_positions():
    net, pair = fields(), graph("1stp")

    def total(x):
        return net.ligand(replace(pair.ligand, positions=x)).square().sum()

    x = pair.ligand.positions.clone().requires_grad_()
    (slope,) = torch.autograd.grad(total(x), x)
    step = torch.zeros_like(x)
    step[3, 1] = 1e-5
    numeric = (total(x + step) - total(x - step)) / 2e-5
    torch.testing.assert_close(slope[3, 1], numeric.detach(), rtol=1e-5, atol=1e-8)
    # the CA atom is at no distance from its residue
    x = pair.receptor.positions.clone().requires_grad_()
    net.receptor(replace(pair.receptor, positions=x)).square().sum().backward()
    assert x.grad.isfinite().all()
    assert (x.grad != 0).any(1).all()


def test_edge_harmonics_are_e3nns():
    vectors = torch.randn(20, 3, dtype=torch.float64)
    theirs = o3.spherical_harmonics([0, 1, 2], vectors, True, normalization="component")
    torch.testing.assert_close(edge_harmonics(vectors), theirs)
    zero = torch.zeros(1, 3, requires_grad=True)
    torch.testing.assert_close(edge_harmonics(zero), torch.eye(9)[:1])
    edge_harmonics(zero).sum().backward()
    assert zero.grad.tolist() == [[0.0] * 3]


def test_states_of_copies_interchange():
    net, copied = LigandNet(layers=1), copy.deepcopy(LigandNet(layers=1))
    parameters = {name for name, _ in net.named_parameters()}
    assert parameters <= net.state_dict().keys() == copied.state_dict().keys()
    assert not any(".product." in name for name in net.state_dict())
    copied.load_state_dict(net.state_dict())
    inputs = LigandGraph.of(pocket("1stp").ligand)
    assert torch.equal(copied(inputs), net(inputs))


def test_a_masked_path_is_taken_out():
    layer = TensorLayer(8)
    sizes = [np.prod(path.path_shape) for path in layer.product.instructions]
    gone = torch.repeat_interleave(torch.arange(15) % 3 == 1, torch.tensor(sizes))
    masks = Masks(layer)
    masks.set("weights.2.weight", (~gone)[:, None].expand(-1, 8))
    masks.set("weights.2.bias", ~gone)
    nodes, edges = torch.randn(4, IRREPS.dim), torch.tensor([[0, 1, 2, 3], [1, 0, 0, 2]])
    example = (nodes, nodes, edges, torch.randn(4, 16), edge_harmonics(torch.randn(4, 3)))
    small = compact(layer, example)
    assert len(small.product.instructions) == 10
    assert small.weights[2].out_features == 672 - int(gone.sum())


@pytest.mark.parametrize(
    "law",
    [
        laws.assert_acts_like_plain,
        laws.assert_deepcopies,
        laws.assert_averages,
        laws.assert_decays,
        laws.assert_resumes,
        laws.assert_interchanges,
        laws.assert_ignores_pruned,
    ],
)
def test_masks_survive(law):
    torch.manual_seed(0)
    net = Placed(LigandNet(1, 2, layers=1, hidden=8), LigandGraph.of(pocket("1stp").ligand))
    masks = Masks(net)
    masks.install()
    for mask in masks.values():
        mask.copy_(torch.rand(mask.shape) > 0.5)
    law(net, (net.graph.positions,))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: LigandNet(layers=0), "layers must be at least 1"),
        (lambda: ReceptorNet(channels=0), "channels must be at least 1"),
        (lambda: LigandNet(radial=0), "radial must be at least 1"),
        (lambda: TensorLayer(0), "hidden must be at least 1"),
        (lambda: CategoryEmbedding([]), "sizes must be at least one"),
        (lambda: DistanceEmbedding(count=1), "count must be at least 2"),
        (lambda: DistanceEmbedding(end=0.0), "end must be positive"),
        (lambda: EsfFields(ReceptorNet(4, layers=1), LigandNet(5, layers=1)), "as many channels"),
    ],
)
def test_refuses_nonsense(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_demo_pockets_have_finite_fields():
    for key in ("3og7", "4alw"):
        assert all(field.coefficients.isfinite().all() for field in of(graph(key)))
