"""Lean fields: equivariant, blind to the crop, awake to mirror images, and trained as a whole."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch.utils.data import DataLoader

from docking.learned.band_spectrum import Band
from docking.learned.field_fit import FieldFit, superposed
from docking.learned.lean_esf import LeanLigandNet, LeanReceptorNet, ligand_tables
from docking.learned.lean_fields import LeanFields
from docking.learned.neighbourhood import Neighbourhood
from docking.learned.soft_losses import ShiftLikelihood, TurnLikelihood
from docking.molecule import Receptor
from overparam import load_module
from overparam.cli import bundled_configs
from overparam.recipe import build
from overparam.testing import ModuleContract
from tests.docking import demo
from tests.docking.learned.pockets import Pocket, pocket, reordered, rotation

# most runs here train only
pytestmark = pytest.mark.filterwarnings("ignore:.*no `val_dataloader`.*")
few = settings(deadline=None, max_examples=4)
seeds = st.integers(0, 2**31 - 1)
MIRROR = np.array([-1.0, 1.0, 1.0])


def tiny(seed=0, degree=3, layers=2, **options) -> LeanFields:
    """Small networks, the largest score they are likely to have."""
    torch.manual_seed(seed)
    sizes = {"channels": 2, "degree": degree, "width": 12, "vectors": 4, "layers": layers}
    return LeanFields(
        LeanReceptorNet(radial=2, **sizes), LeanLigandNet(radial=1, **sizes), scale=1.0, **options
    )


@cache
def fields(seed=0, degree=3) -> LeanFields:
    return tiny(seed, degree).double().eval()


def transformed(one: Pocket, change) -> Pocket:
    """A complex with ``change`` done to all coordinates."""
    r = one.receptor
    receptor = Receptor(
        change(r.positions), r.elements, r.names, r.residue_index, r.residues, vina_type=r.vina_type
    )
    return Pocket(one.id, receptor, one.ligand.with_coords(change(one.ligand.coords)))


@torch.no_grad()
def score(model: LeanFields, one: Pocket) -> torch.Tensor:
    """Overlap of the two fields of a complex where it stands."""
    receptor, ligand = model.of(one)
    band = Band(36, 1.0, np.pi)
    p, q = (band.spectrum(field, ligand.center) for field in (receptor, ligand))
    return band.shift_scores(p, q[None], 1)[0, 1, 1, 1]


# the graph


@pytest.mark.parametrize("key", ["1stp", "3og7"])
def test_the_crop_changes_no_coefficient(key):
    whole, ligand = demo.receptor(key), demo.ligand(key)
    model, coords = fields(), ligand.coords
    near = model.receptor.around(whole, coords, 4.0).to(torch.float64)
    every = model.receptor.around(whole, coords, 1000.0).to(torch.float64)
    assert len(near.features) < 0.7 * len(every.features)
    assert every.counts == (int(whole.heavy.sum()),)
    with torch.no_grad():
        some, all_of_it = model.receptor(near), model.receptor(every)
    gap = torch.cdist(every.positions, torch.from_numpy(coords)).amin(1)
    assert near.counts == (int((gap < 4.0).sum()),)
    torch.testing.assert_close(some, all_of_it[gap < 4.0], rtol=0, atol=1e-12)


def test_every_heavy_atom_emits_whatever_it_is():
    one = pocket("1stp")
    r = one.receptor
    center = one.ligand.coords.mean(0, keepdims=True)
    # a metal ion, and a residue of which nothing but one atom is left
    odd = Receptor(
        np.concatenate([r.positions, center + 3.0, center - 3.0]),
        [*r.elements, "ZN", "C"],
        [*r.names, "ZN", "CB"],
        np.concatenate([r.residue_index, [0, 1]]),
        r.residues,
    )
    count = [fields().receptor.around(x, one.ligand.coords, 100.0).counts[0] for x in (r, odd)]
    assert count[1] == count[0] + 2
    ligand = fields().of(one)[1]
    assert len(ligand.positions) == int(one.ligand.heavy.sum())


def test_neighbours_are_the_nearest_and_come_with_their_bonds():
    ligand = demo.ligand("1bju")
    coords = ligand.coords[ligand.heavy]
    features, bonds = ligand_tables(ligand)
    graph = Neighbourhood.of_molecule(features, coords, bonds, layers=1, cutoff=4.0, neighbours=5)
    distance = torch.cdist(graph.positions, graph.positions).fill_diagonal_(torch.inf)
    near = distance.sort(dim=1).values[:, :5]
    found = distance.gather(1, graph.neighbours[0])
    torch.testing.assert_close(found[graph.present], near[near <= 4.0])
    bonded = (bonds.sum(-1) > 0).sum(1)
    assert torch.equal(graph.bonds.sum((1, 2)).long(), bonded)


def test_joined_molecules_do_not_feel_each_other():
    model = fields()
    pairs = [pocket(key) for key in ("1stp", "1bju")]
    alone = [model.of(one) for one in pairs]
    pockets = [
        model.receptor.around(one.receptor, one.ligand.coords[one.ligand.heavy], model.reach)
        for one in pairs
    ]
    ligands = [
        model.ligand.around(*ligand_tables(one.ligand), one.ligand.coords[one.ligand.heavy])
        for one in pairs
    ]
    joined = [Neighbourhood.joined(parts).to(torch.float64) for parts in (pockets, ligands)]
    for together, apart in zip(model(*joined), alone, strict=True):
        for one, other in zip(together, apart, strict=True):
            torch.testing.assert_close(one.coefficients, other.coefficients, rtol=0, atol=1e-12)
            assert torch.equal(one.positions, other.positions)


# symmetry


@few
@given(seed=seeds)
def test_fields_turn_and_move_with_their_molecules(seed):
    model, turn = fields(), rotation(seed)
    shift = np.random.default_rng(seed).normal(size=3) * 5
    one = pocket("1bju")
    other = transformed(one, lambda x: x @ turn.numpy().T + shift)
    with torch.no_grad():
        pairs = zip(model.of(one), model.of(other), strict=True)
    for here, there in pairs:
        expected = here.rotated(turn).translated(torch.from_numpy(shift))
        # the graph keeps coordinates in single precision
        torch.testing.assert_close(there.coefficients, expected.coefficients, rtol=0, atol=1e-4)
        torch.testing.assert_close(there.positions, expected.positions, rtol=0, atol=1e-4)


@few
@given(seed=seeds)
def test_the_order_of_receptor_atoms_does_not_matter(seed):
    one = pocket("1stp")
    order = np.random.default_rng(seed).permutation(len(one.receptor.positions))
    other = Pocket(one.id, reordered(one.receptor, order), one.ligand)
    torch.testing.assert_close(score(fields(), other), score(fields(), one))


@pytest.mark.parametrize("key", ["1stp", "3og7"])
def test_a_mirror_image_has_another_score_and_only_odd_couplings_see_it(key):
    model = tiny(1).double().eval()
    one = pocket(key)
    mirrored = transformed(one, lambda x: x * MIRROR)
    turned = transformed(one, lambda x: x @ rotation(0).numpy().T)
    here, there = score(model, one), score(model, mirrored)
    # the band of a cube is not quite round
    noise = (score(model, turned) - here).abs()
    assert (there - here).abs() > 20 * noise
    for net in (model.receptor, model.ligand):
        for layer in net.rounds:
            layer.power.coupling[:, odd_results(3)] = 0.0
    here, there = score(model, one), score(model, mirrored)
    torch.testing.assert_close(there, here, rtol=1e-5, atol=1e-5)


def odd_results(degree: int) -> torch.Tensor:
    """Which results of products of degrees 1 and 2 change sign under a reflection."""
    odd = []
    for result in range(degree + 1):
        paths = [(p, q) for p in (1, 2) for q in range(p, 3) if q - p <= result <= p + q]
        odd += [(p + q + result) % 2 == 1 for _ in range(2 * result + 1) for p, q in paths]
    return torch.tensor(odd)


# the fields


def test_degree_and_radial_functions_are_as_asked():
    for degree in (1, 2):
        receptor, ligand = fields(degree=degree).of(pocket("1stp"))
        assert (receptor.lmax, ligand.lmax) == (degree, degree)
    assert (receptor.basis.count, ligand.basis.count) == (2, 1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LeanReceptorNet(degree=0), "degree must be 1 to 3"),
        (lambda: LeanLigandNet(channels=0), "channels must be at least 1"),
        (lambda: LeanLigandNet(neighbours=0), "neighbours must be at least 1"),
        (lambda: LeanFields(LeanReceptorNet(3), LeanLigandNet(2)), "as many channels"),
        (lambda: tiny(receptor_widths=(1.0,)), "receptor_widths must be 2 numbers"),
        (lambda: tiny(reach=0.0), "reach must be positive"),
        (lambda: tiny(k_max=float("nan")), "k_max must be positive"),
        (lambda: FieldFit(tiny(), wobble=-1.0), "wobble must be at least 0"),
        (lambda: FieldFit(tiny(), spacing=2.0), "Nyquist"),
    ],
)
def test_refuses_nonsense(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# training


def fit_of(degree=2, layers=2, **options) -> FieldFit:
    small = {
        "shift": ShiftLikelihood(half=2, turns=1),
        "turn": TurnLikelihood(turns=10, lmax=4),
    }
    model = tiny(0, degree, layers, reach=4.0, k_max=1.5)
    with torch.no_grad():
        model.log_scale.fill_(-3.0)
    return FieldFit(model, **(small | {"spacing": 2.0} | options))


class TestContract(ModuleContract):
    compiles = exports = compacts = False

    def make(self):
        # laws of masks look at every layer, many times
        return fit_of(degree=1, layers=1)

    def batch(self, seed):
        return [pocket(("1stp", "1p5e", "1bju")[seed % 3], 3.2)]

    # Its input is a molecule, which neither this law nor the file of the next one can hold.
    test_masks_survive = None
    test_two_processes_train_the_same_module = None


def trainer(folder, steps, *callbacks) -> Trainer:
    return Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        gradient_clip_val=1.0,
    )


def loader(batches) -> DataLoader:
    return DataLoader(batches, batch_size=None)


def test_both_losses_fall(tmp_path):
    torch.manual_seed(0)
    module = fit_of(optimizer=lambda p: torch.optim.AdamW(p, 1e-2))
    batch = [pocket("1stp", 3.2)]

    def losses():
        torch.manual_seed(1)
        found = module.outcomes(module(batch)[0], module.prepared(batch[0]).copies)
        return torch.stack([one.loss for one in found.values()])

    before = losses().detach()
    trainer(tmp_path, 20).fit(module, loader([batch]))
    assert (losses() < before * 0.7).all()


def test_gradients_reach_every_parameter():
    module = fit_of()
    example = pocket("1stp")
    found = module.outcomes(module([example])[0], module.prepared(example).copies)
    sum(one.loss for one in found.values()).backward()
    silent = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_a_checkpoint_of_averaged_weights_rebuilds_the_fit(tmp_path):
    module = fit_of(wobble=0.2)
    batch = [pocket("1stp", 3.2)]
    running = trainer(tmp_path, 3, EMAWeightAveraging(decay=0.5))
    running.fit(module, loader([batch]), loader([batch]))
    running.save_checkpoint(tmp_path / "a.ckpt")
    again = load_module(tmp_path / "a.ckpt", FieldFit)
    assert (again.shift, again.turn, again.wobble) == (module.shift, module.turn, 0.2)
    with torch.no_grad():
        pairs = zip(
            module.eval().fields.of(batch[0]), again.eval().fields.of(batch[0]), strict=True
        )
    for one, other in pairs:
        assert torch.equal(one.coefficients, other.coefficients)


def test_validation_depends_on_the_complex_alone(tmp_path):
    module = fit_of()
    batch = [pocket(key, 3.2) for key in ("1stp", "1bju")]
    (together,) = trainer(tmp_path, 1).validate(module, loader([batch]), verbose=False)
    (apart,) = trainer(tmp_path, 1).validate(module, loader([[b] for b in batch]), verbose=False)
    assert apart == pytest.approx(together, rel=1e-4)
    assert together["val/loss"] == pytest.approx(
        (together["val/shift_loss"] + together["val/turn_loss"]) / 2
    )


def test_training_disturbs_the_molecules_and_validation_does_not():
    module = fit_of(wobble=0.3, jitter=0.1)
    one = pocket("1stp")
    still = [field.positions for field in module.eval()([one])[0]]
    moved = [field.positions for field in module.train()([one])[0]]
    for a, b in zip(still, moved, strict=True):
        offset = (a - b).norm(dim=-1)
        assert 0 < offset.mean() < 1.0
    # rings and bonds keep their shape
    coords = one.ligand.coords[one.ligand.heavy]
    bonds = ligand_tables(one.ligand)[1].sum(-1).nonzero().T
    before, after = ((x[bonds[0]] - x[bonds[1]]).norm(dim=-1) for x in (still[1], moved[1]))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-4)
    np.testing.assert_allclose(still[1], coords, atol=1e-4)


@given(seed=seeds)
@settings(deadline=None, max_examples=20)
def test_superposition_undoes_a_rigid_motion_and_never_reflects(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(7, 3))
    turn, shift = demo.rigid_motion(seed % 1000)
    np.testing.assert_allclose(superposed(x @ turn.T + shift, x), x, atol=1e-9)
    mirrored = superposed(x * MIRROR, x)
    edges = mirrored[1:4] - mirrored[0], (x * MIRROR)[1:4] - (x * MIRROR)[0]
    assert np.isclose(*(np.linalg.det(e) for e in edges))


def test_the_bundled_recipe_builds_what_it_says():
    text = bundled_configs("docking")["esf"].read_text()
    assert text.startswith("# Train")
    plan = yaml.safe_load(text)
    parts = plan["model"]["init_args"]
    model = build(parts["fields"])
    assert 200_000 < sum(p.numel() for p in model.parameters()) < 500_000
    assert ShiftLikelihood(**parts["shift"]) == ShiftLikelihood()
    assert TurnLikelihood(**parts["turn"]) == TurnLikelihood()
    assert replace(ShiftLikelihood(), turns=0) != ShiftLikelihood()
    assert plan["trainer"]["callbacks"][0]["class_path"].endswith("EMAWeightAveraging")
