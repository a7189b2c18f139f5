"""Slices: they turn with the complex, hold what the model scores, and stay inside the box."""

import csv
import functools

import numpy as np
import pytest
import torch

from docking import Box, Ligand, PhysicsModel
from docking.esf_model import EsfModel
from docking.hybrid_model import HybridModel
from docking.learned.hybrid import HybridScore
from docking.learned.lean_esf import LeanLigandNet, LeanReceptorNet
from docking.learned.lean_fields import LeanFields
from docking.learned.lean_net import MoleculeNet, PocketNet
from docking.learned.pair_field import PairField
from docking.learned.pocket_graph import MoleculeGraph
from docking.molecule import Receptor
from docking.slices import OFFSETS, PHYSICS, field_slices
from docking.typing import VinaType
from overparam.errors import InputError
from tests.docking.learned.pockets import pocket, rotation

KEY = "1bju"


@functools.cache
def model(kind: str) -> PhysicsModel:
    torch.manual_seed(0)
    if kind == "hybrid":
        net = PocketNet(channels=4, radial=4, width=16, vectors=4, layers=1, neighbours=8)
        score = HybridScore(net, MoleculeNet(4, 16, 1))
        with torch.no_grad():  # new coefficients are nought
            for parameter in score.pocket.readout.parameters():
                parameter.normal_(0, 0.05)
        return HybridModel(score.eval())
    sizes = {"channels": 2, "degree": 2, "width": 12, "vectors": 4, "layers": 1}
    nets = LeanReceptorNet(radial=2, **sizes), LeanLigandNet(radial=1, **sizes)
    widths = {"receptor_widths": (1.0, 1.2), "ligand_widths": (1.0,), "k_max": 2.5}
    return EsfModel(LeanFields(*nets, reach=9.0, scale=0.1, **widths).double())


@functools.cache
def setting(kind: str, turned: bool = False):
    """Ligand and prepared pocket, in a box that holds the ligand however it is turned."""
    one, turn = pocket(KEY), rotation(3).numpy() if turned else np.eye(3)
    r, ligand = one.receptor, one.ligand.with_coords(one.ligand.coords @ turn.T)
    receptor = Receptor(
        r.positions @ turn.T, r.elements, r.names, r.residue_index, r.residues,
        vina_type=r.vina_type,
    )  # fmt: skip
    reach = np.linalg.norm(ligand.coords - ligand.coords.mean(0), axis=1).max()
    box = Box(ligand.coords.mean(0), np.full(3, 2 * reach + 4.0))
    return ligand, model(kind).prepare(receptor, box), turn


def aligned(one, other, turn):
    """Values of the second, its axes turned as those of the first are."""
    sign = np.sign(np.diag(other.axes @ turn @ one.axes.T)).astype(int)
    values = other.values
    for axis, flip in zip((2, 3, 1), sign, strict=True):
        values = np.flip(values, axis) if flip < 0 else values
    return values


@pytest.mark.parametrize(("kind", "error"), [("hybrid", 1e-3), ("esf", 2e-2)])
def test_learned_panels_turn_with_the_complex(kind, error):
    made = []
    for turned in (False, True):
        ligand, prepared, turn = setting(kind, turned)
        made.append(field_slices(prepared, ligand, model=model(kind)))
    one, other = made
    values = aligned(one, other, turn)
    names = [n for n in one.names if n in other.names and not n.startswith(PHYSICS)]
    assert len(names) >= 2
    for name in names:
        mine, theirs = one.values[one.names.index(name)], values[other.names.index(name)]
        both = ~(np.isnan(mine) | np.isnan(theirs))
        assert both.mean() > 0.5
        spread = mine[both].std()
        assert spread > 0
        np.testing.assert_allclose(theirs[both], mine[both], atol=error * spread)


def test_panels_of_an_element_are_what_its_atoms_score():
    ligand, prepared, _ = setting("hybrid")
    made = field_slices(prepared, ligand, model=model("hybrid"))
    net, kept = model("hybrid").net, prepared.learned
    field = PairField(kept.coefficients[0], kept.positions, net.basis)
    with torch.no_grad():
        A = net.readouts(MoleculeGraph.of(ligand))[0]
    elements = np.array(ligand.elements)[ligand.heavy]
    k = len(made.offsets) // 2
    place = made.center + made.u[9] * made.axes[0] + made.v[7] * made.axes[1]
    x = torch.as_tensor(place + made.offsets[k] * made.axes[2]).float()[None, None]
    for element in ("C", "N"):
        rows = A[torch.as_tensor(elements == element)]
        alone = [float(field.scores(row[None], x)[0]) for row in rows]
        got = made.values[made.names.index(f"field for {element}"), k, 9, 7]
        assert got == pytest.approx(np.mean(alone), abs=1e-5)


def test_physics_panels_are_minus_the_maps_and_blank_outside_the_box():
    ligand, prepared, _ = setting("hybrid")
    made = field_slices(prepared, ligand)
    assert made.names and all(name.startswith(PHYSICS) for name in made.names)
    grid = np.stack(np.meshgrid(made.u, made.v, OFFSETS, indexing="ij"), -1)
    points = grid @ made.axes + made.center
    inside = ((points >= prepared.low) & (points <= prepared.high)).all(-1)
    known = ~np.isnan(made.values[0])
    assert np.array_equal(known, np.moveaxis(inside, 2, 0))
    kinds = torch.tensor([int(VinaType[made.names[0].split()[1]])])
    at = np.argwhere(np.moveaxis(known, 0, 2))[:: max(1, known.sum() // 20)]
    for i, j, k in at:
        x = torch.as_tensor(points[i, j, k])[None]
        energy = float(prepared.energy(x, kinds))
        assert made.values[0, k, i, j] == pytest.approx(-min(energy, 1.0), abs=1e-4)


@pytest.mark.parametrize("kind", ["hybrid", "esf"])
def test_a_picture_and_a_table_are_written(kind, tmp_path):
    ligand, prepared, _ = setting(kind)
    made = field_slices(prepared, ligand, tmp_path / "s.png", model=model(kind), title="words")
    assert (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"
    made.write(tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(newline="") as text:
        lines = list(csv.DictReader(text))
    assert len(lines) == made.values[0].size
    assert list(lines[0]) == ["offset", "u", "v", *made.names]
    for name, values in zip(made.names, made.values, strict=True):
        told = np.array([float(line[name] or "nan") for line in lines])
        np.testing.assert_allclose(told, values.ravel(), rtol=1e-3, atol=1e-9)


def test_refuses_the_pocket_of_another_model_and_a_ligand_without_a_place():
    ligand, prepared, _ = setting("hybrid")
    other = setting("esf")[1]
    with pytest.raises(InputError, match="not prepared by this hybrid model"):
        field_slices(other, ligand, model=model("hybrid"))
    with pytest.raises(ValueError, match="pose must be given"):
        field_slices(prepared, Ligand.from_smiles("CCO"))
