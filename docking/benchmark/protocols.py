"""What is docked from where: boxes, start poses and decoys, all drawn from a seed and the id.

* ``rigid``: the crystal conformer, turned at random, its centroid anywhere in the box.
* ``flexible``: a conformer made from the molecular graph alone, turned and placed alike.
* ``cross``: as ``flexible``, into another structure of its protein (``crossing.py``).
* ``decoys``: given poses to be told from the true one.

Every method starts from the same coordinates, rounded as a PDBQT file has them.
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from scipy.spatial.transform import Rotation

from docking.box import Box
from docking.ligand import Ligand
from docking.readers.chemistry import quiet
from docking.torsion import apply_torsions
from overparam.errors import InputError

PADDING = 4.0
"""Angstrom between the crystal ligand and each face of its box."""
DECIMALS = 3  # of a PDBQT coordinate
TURN, SHIFT, TWIST = 0.5, 1.0, np.pi / 2  # decoys: standard deviations, radians and angstrom


def read_ligand(path: str | Path) -> Ligand:
    """The crystal ligand without hydrogens: every method adds those it wants.

    Raises:
        InputError: If it cannot be read or has no coordinates.
    """
    ligand = Ligand.from_file(path)
    if ligand.coords is None:
        raise InputError(f"{path}: the crystal ligand has no 3-D coordinates")
    if ligand.heavy.all():
        return ligand
    # RemoveHs keeps the hydrogens it must (hydrides, isotopes); they are no heavy atoms either way.
    bare = Chem.RemoveHs(with_conformer(ligand.mol, ligand.coords))
    name = ligand.name
    return Ligand(bare, bare.GetConformer().GetPositions(), name=name, warnings=ligand.warnings)


def with_conformer(mol: Any, coords: Float[ndarray, "n 3"]) -> Any:
    """A copy of an RDKit molecule with these coordinates as its only conformer."""
    copy = Chem.Mol(mol)
    copy.RemoveAllConformers()
    conformer = Chem.Conformer(copy.GetNumAtoms())
    conformer.SetPositions(np.array(coords, dtype=np.float64))
    copy.AddConformer(conformer, assignId=True)
    return copy


def generator(seed: int, key: str, purpose: int = 0) -> np.random.Generator:
    """Random numbers that depend on the seed and the complex, not on what ran before."""
    return np.random.default_rng([seed, zlib.crc32(key.encode()), purpose])


def scatter(
    coords: Float[ndarray, "n 3"], box: Box, rng: np.random.Generator
) -> Float[ndarray, "n 3"]:
    """Turn a conformer uniformly at random and put its centroid anywhere in the box."""
    turned = (coords - coords.mean(0)) @ Rotation.random(rng=rng).as_matrix().T
    return turned + rng.uniform(box.low, box.high)


def embed(ligand: Ligand, seed: int) -> Float[ndarray, "n 3"]:
    """A conformer of the molecular graph; the ligand's coordinates play no part.

    Source: ETKDGv3, Wang et al., J. Chem. Inf. Model. 60 (2020) 2044, by RDKit; random start
    coordinates if the distance geometry fails.

    Raises:
        ValueError: If RDKit makes none.
    """
    graph = Chem.Mol(ligand.mol)
    graph.RemoveAllConformers()
    full = Chem.AddHs(graph)
    for random_start in (False, True):
        parameters: Any = rdDistGeom.ETKDGv3()
        parameters.randomSeed = seed
        parameters.useRandomCoords = random_start
        parameters.maxIterations = 200
        with quiet():
            if rdDistGeom.EmbedMolecule(full, parameters) >= 0:
                return np.array(full.GetConformer().GetPositions()[: len(ligand)])
    raise ValueError("RDKit embeds no conformer")


def start_pose(
    protocol: str, key: str, ligand: Ligand, box: Box, seed: int
) -> Float[ndarray, "n 3"]:
    """Coordinates every method starts from, angstrom, rounded to three decimals.

    Args:
        protocol: ``rigid``, ``flexible`` or ``cross``.
        key: Id of the complex.
        ligand: The ligand in its crystal pose.
        box: The search box.
        seed: Seed of the benchmark.

    Raises:
        ValueError: If the protocol is another, or no conformer can be made.
    """
    if protocol not in ("rigid", "flexible", "cross"):
        raise ValueError(f"protocol must be rigid, flexible or cross, got {protocol!r}")
    assert ligand.coords is not None
    conformer = ligand.coords if protocol == "rigid" else embed(ligand, seed)
    return np.round(scatter(conformer, box, generator(seed, key)), DECIMALS)


def decoy_poses(key: str, ligand: Ligand, count: int, seed: int) -> Float[ndarray, "p n 3"]:
    """``count`` conformers times rotations times shifts of the crystal pose; pose 0 is the truth.

    Torsions are drawn from N(0, (pi/2)^2), rotation vectors about the centroid from N(0, 0.5^2),
    shifts from N(0, 1 A^2); the first of each is none.

    Source: Jing et al., arXiv:2312.04323, section 4.1 (32 of each).
    """
    if count < 2:
        raise ValueError(f"count must be at least 2, got {count}")
    assert ligand.coords is not None
    rng = generator(seed, key, 1)
    twist = rng.normal(0, TWIST, (count, len(ligand.torsions)))
    turn, shift = rng.normal(0, TURN, (count, 3)), rng.normal(0, SHIFT, (count, 3))
    twist[0], turn[0], shift[0] = 0, 0, 0
    conformers = apply_torsions(ligand.coords, ligand.torsions, twist)
    centre = conformers.mean(1, keepdims=True)
    matrix = Rotation.from_rotvec(turn).as_matrix()
    turned = np.einsum("rij,cnj->crni", matrix, conformers - centre) + centre[:, None]
    poses = turned[:, :, None] + shift[:, None]
    return poses.reshape(-1, len(ligand), 3)
