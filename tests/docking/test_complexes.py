"""Examples are what the readers give, cropped; they come back from disk the same, in one order."""

import pickle
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from scipy.spatial.distance import cdist

from docking.benchmark.dataset import Complex
from docking.complex_cache import ComplexCache, pack, unpack
from docking.complex_reader import crop, read_pair, shortest_contact
from docking.complexes import Complexes, CorpusWarning, Example
from docking.ligand import Ligand
from docking.molecule import Receptor
from docking.typing import VinaType
from overparam.errors import InputError
from overparam.run_checkpoint import AtomicCheckpointIO, RunCheckpoint

from .corpus import demo_of, write_corpus, write_manifest, write_pair
from .demo import IDS, ligand, ligand_path, mol2_text, pdb_text, receptor, receptor_path

PARTS = {"train": ["a0", "a1", "a2", "a3", "b4", "b5", "b6"], "val": ["c0", "c1"], "test": ["d2"]}
demo = pytest.mark.parametrize("key", IDS)


def demo_complex(key):
    return Complex(key, receptor_path(key), ligand_path(key))


def as_plain(value):
    """Everything a receptor or ligand holds and derives, as plain data that compares."""
    if isinstance(value, Receptor):
        return {name: as_plain(held) for name, held in vars(value).items() if name != "source"}
    if isinstance(value, Ligand):
        mol = value.mol
        held = {k: as_plain(v) for k, v in vars(value).items() if k not in ("mol", "tree", "_tree")}
        turns = [(t.axis, t.moved.tolist(), t.fragment) for t in value.torsions]
        derived = [value.fragments, value.bonds, value.heavy, value.elements, value.num_torsions]
        molecule = [
            Chem.MolToCXSmiles(mol),
            [
                (a.GetSymbol(), a.GetFormalCharge(), a.GetTotalNumHs(), str(a.GetChiralTag()))
                for a in mol.GetAtoms()
            ],
            [(str(b.GetBondType()), b.GetIsAromatic(), b.IsInRing()) for b in mol.GetBonds()],
            [c.GetPositions().tolist() for c in mol.GetConformers()],
        ]
        held.pop("elements", None), held.pop("bonds", None), held.pop("heavy", None)
        return [held, turns, [as_plain(one) for one in derived], molecule]
    if isinstance(value, Example):
        return [value.id, as_plain(value.receptor), as_plain(value.ligand)]
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, value.tolist())
    return value


def module(root, cache, **options):
    return Complexes(str(root), cache_dir=str(cache), **{"batch_size": 2, **options})


def packed(data):
    return [pack(example.receptor, example.ligand) for example in data.sets["train"]]


def ready(root, cache, stage="fit", **options):
    data = module(root, cache, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorpusWarning)
        data.setup(stage)
    return data


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus and its cache, both to be left as they are."""
    folder = tmp_path_factory.mktemp("complexes")
    root = write_corpus(folder / "root", PARTS, {})
    ready(root, folder / "cache", None)
    return root, folder / "cache"


# examples


@demo
def test_a_round_trip_changes_nothing(key):
    pair = read_pair(demo_complex(key))
    back = unpack(pack(*pair), source=pair[0].source)
    for one, other in zip(pair, back, strict=True):
        assert as_plain(one) == as_plain(other)
    assert back[0].source == pair[0].source
    assert pack(*back) == pack(*pair)


@demo
@pytest.mark.parametrize("pocket", [4.0, 8.0, 16.0])
def test_the_pocket_is_whole_residues_near_the_ligand(key, pocket):
    whole, placed = receptor(key), ligand(key)
    part = crop(whole, placed, pocket)
    distance = cdist(whole.positions, placed.coords).min(1)
    nearest = np.full(len(whole.residues), np.inf)
    np.minimum.at(nearest, whole.residue_index, distance)
    expected = (nearest <= pocket)[whole.residue_index] & whole.heavy
    assert np.array_equal(part.positions, whole.positions[expected])
    assert np.array_equal(part.vina_type, whole.vina_type[expected])
    assert part.names == [whole.names[i] for i in np.flatnonzero(expected)]
    place = [part.residues[i] for i in part.residue_index]
    assert place == [whole.residues[i] for i in whole.residue_index[expected]]


def hetatm(serial, name, residue, number, xyz, element):
    x, y, z = xyz
    return (
        f"HETATM{serial:5d} {name:<4s} {residue:>3s} A{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
        f"  1.00  0.00          {element:>2s}\n"
    )


def test_ions_stay_and_the_ligand_in_its_pocket_does_not(tmp_path):
    placed = ligand("3og7")
    spot = placed.coords.mean(0) + np.array([0, 0, 12.0])
    own = "".join(
        hetatm(9000 + i, f"{e}{i}", "032", 900, xyz, e.upper())
        for i, (e, xyz) in enumerate(zip(placed.elements, placed.coords, strict=True))
    )
    zinc = hetatm(9999, "ZN", "ZN", 901, spot, "ZN")
    file = tmp_path / "3og7_protein.pdb"
    file.write_text(pdb_text("3og7").replace("END", "") + own + zinc)
    pocket, _ = read_pair(Complex("3og7", file, ligand_path("3og7")))
    names = {residue.name for residue in pocket.residues}
    assert "ZN" in names
    assert "032" not in names
    assert any("it is the ligand" in warning for warning in pocket.warnings)
    assert VinaType.MET_D in pocket.vina_type
    plain, _ = read_pair(demo_complex("3og7"))
    assert len(pocket) == len(plain) + 1


def peptide_of(whole, residues):
    """Some residues of a receptor as a ligand."""
    atoms = np.isin(whole.residue_index, residues)
    chosen = np.flatnonzero(atoms)
    mol = Chem.RWMol()
    for i in chosen:
        mol.AddAtom(Chem.Atom(whole.elements[i]))
    place = {int(i): n for n, i in enumerate(chosen)}
    for i, j in whole.bonds.tolist():
        if i in place and j in place:
            mol.AddBond(place[i], place[j], Chem.BondType.SINGLE)
    conformer = Chem.Conformer(len(chosen))
    conformer.SetPositions(whole.positions[chosen])
    mol.AddConformer(conformer)
    return Ligand.from_rdkit(mol.GetMol())


def test_a_peptide_ligand_does_not_stay_in_the_receptor_either():
    whole = receptor("1bju")
    peptide = peptide_of(whole, [10, 11])
    pocket = crop(whole, peptide)
    assert not {whole.residues[i] for i in (10, 11)} & set(pocket.residues)
    assert cdist(pocket.positions, peptide.coords).min() > 1.0
    assert any("it is the ligand" in warning for warning in pocket.warnings)


def test_an_atom_in_the_ligands_place_is_refused():
    whole, placed = receptor("1bju"), ligand("1bju")
    shifted = placed.coords + whole.positions[100] - placed.coords[0]
    with pytest.raises(InputError, match="lies where the ligand is"):
        crop(whole, placed.with_coords(shifted))
    with pytest.raises(InputError, match="no residue within 5 angstrom"):
        crop(whole, placed.with_coords(placed.coords + 500.0), 5.0)
    with pytest.raises(InputError, match="needs a ligand with 3-D"):
        crop(whole, Ligand.from_smiles("CCO"))


@demo
def test_hydrogens_of_the_files_make_no_difference(key, tmp_path):
    import gemmi

    (tmp_path / f"{key}_ligand.mol2").write_text(mol2_text(key))
    structure = gemmi.read_pdb_string(pdb_text(key))
    for chain in structure[0]:
        for residue in chain:
            first = residue[0]
            hydrogen = gemmi.Atom()
            hydrogen.name, hydrogen.element = "H1X", gemmi.Element("H")
            hydrogen.pos = gemmi.Position(first.pos.x, first.pos.y, first.pos.z + 1.0)
            if first.element.name == "C":
                residue.add_atom(hydrogen)
    structure.write_pdb(str(tmp_path / f"{key}_protein.pdb"))
    paths = [tmp_path / f"{key}_protein.pdb", tmp_path / f"{key}_ligand.mol2"]
    given, bare = read_pair(Complex(key, *paths)), read_pair(demo_complex(key))
    assert "H" not in given[0].elements + given[1].elements
    assert given[0].elements == bare[0].elements
    assert np.array_equal(given[0].positions, bare[0].positions)
    assert np.array_equal(given[0].vina_type, bare[0].vina_type)
    assert np.abs(given[1].coords - bare[1].coords).max() < 1e-3
    assert np.array_equal(given[1].vina_type, bare[1].vina_type)
    assert [t.axis for t in given[1].torsions] == [t.axis for t in bare[1].torsions]
    assert len(given[1].input_atoms) == len(given[1])


def test_the_mol2_file_is_read_where_the_sdf_cannot_be(tmp_path):
    write_pair(tmp_path, "1p5e1")
    one = Complex("1p5e1", tmp_path / "1p5e1_protein.pdb", tmp_path / "1p5e1_ligand.sdf")
    (tmp_path / "1p5e1_ligand.mol2").write_text(mol2_text("1p5e"))
    good = read_pair(one)[1]
    assert not any("mol2" in warning for warning in good.warnings)
    one.ligand.write_text("nothing\n")
    other = read_pair(one)[1]
    assert any("read from 1p5e1_ligand.mol2" in warning for warning in other.warnings)
    assert np.array_equal(other.vina_type, good.vina_type)
    (tmp_path / "1p5e1_ligand.mol2").unlink()
    with pytest.raises(InputError, match=r"1p5e1_ligand\.sdf"):
        read_pair(one)


def test_contacts_are_measured_and_metals_are_none():
    whole, placed = receptor("1bju"), ligand("1bju")
    nearest = cdist(whole.positions, placed.coords)
    assert shortest_contact(whole, placed) == pytest.approx(nearest.min())
    bridged = Receptor(
        np.array([placed.coords[0] + [0, 0, 1.8], placed.coords[0] + [0, 0, 90.0]]),
        ["Zn", "C"],
        ["ZN", "CA"],
        np.array([0, 1]),
        whole.residues[:2],
    )
    assert shortest_contact(bridged, placed) > 50


# the cache


def test_examples_are_what_the_readers_give(corpus):
    root, cache = corpus
    data = ready(root, cache, None)
    assert data.ids == PARTS
    for part, found in data.sets.items():
        assert len(found) == len(PARTS[part])
        for example in found:
            files = [root / part / f"{example.id}_{end}" for end in ("protein.pdb", "ligand.sdf")]
            assert pack(example.receptor, example.ligand) == pack(
                *read_pair(Complex(example.id, *files))
            )
            assert example.receptor.source.endswith(f"{example.id}_protein.pdb")


def test_a_second_setup_reads_and_writes_nothing(corpus):
    root, cache = corpus
    before = {file: file.stat().st_mtime_ns for file in cache.rglob("*")}
    data = ready(root, cache)
    list(data.sets["train"])
    assert {file: file.stat().st_mtime_ns for file in cache.rglob("*")} == before


def test_loading_takes_a_few_milliseconds(corpus):
    root, cache = corpus
    found = ready(root, cache).sets["train"]
    for index in range(len(found)):
        taken = []
        for _ in range(10):
            start = time.process_time()
            found[index]
            taken.append(time.process_time() - start)
        assert min(taken) < 5e-3


@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_a_damaged_file_is_read_again(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "damaged"
    write_pair(folder, "a2")
    store = ComplexCache(folder / "cache")
    entry = store.prepare(Complex("a2", folder / "a2_protein.pdb", folder / "a2_ligand.sdf"))
    file = store._file(entry.key)
    whole = file.read_bytes()
    bad = bytearray(whole)
    if data.draw(st.booleans()):
        bad = bad[: data.draw(st.integers(0, len(bad) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            bad[data.draw(st.integers(0, len(bad) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(bytes(bad))
    for _ in range(2):
        assert pack(*store.load(entry)) == whole
    file.write_bytes(whole)


def test_a_killed_build_goes_on(tmp_path):
    root, cache = write_corpus(tmp_path / "root", PARTS, {}), tmp_path / "cache"
    whole = ready(root, cache)
    files = sorted(cache.rglob("*.npz"))
    # What a kill leaves: some files are there, of one there is a part beside its place.
    for file in files[::2]:
        file.with_name(f".{file.name}.1.partial").write_bytes(file.read_bytes()[:1000])
        file.unlink()
    kept = {file: file.stat().st_mtime_ns for file in files[1::2]}
    again = ready(root, cache)
    assert sorted(cache.rglob("*.npz")) == files
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert packed(again) == packed(whole)
    assert again.data_hash == whole.data_hash


def test_what_changes_the_result_changes_the_key(tmp_path):
    write_pair(tmp_path / "one", "a0")
    write_pair(tmp_path / "two", "a0")
    ones = [
        Complex("a0", tmp_path / where / "a0_protein.pdb", tmp_path / where / "a0_ligand.sdf")
        for where in ("one", "two")
    ]
    near, far = ComplexCache(tmp_path / "cache", pocket=6), ComplexCache(tmp_path / "cache")
    first, same, wider = near.prepare(ones[0]), near.prepare(ones[1]), far.prepare(ones[0])
    assert first.key == same.key, "the place of the files is no part of what is in them"
    assert first.key != wider.key
    assert first.source == wider.source
    for file in (ones[1].ligand, ones[1].receptor):
        before = near.prepare(ones[1])
        file.write_text(file.read_text().replace(" A ", " B ").replace("RDKit", "RDKIT"))
        after = near.prepare(ones[1])
        assert after.key != before.key
        assert after.source != before.source


def test_a_source_that_changed_under_a_damaged_cache_is_an_error(tmp_path):
    write_pair(tmp_path, "a0")
    one = Complex("a0", tmp_path / "a0_protein.pdb", tmp_path / "a0_ligand.sdf")
    store = ComplexCache(tmp_path / "cache")
    entry = store.prepare(one)
    store._file(entry.key).write_bytes(b"")
    one.ligand.write_text("")
    with pytest.raises(InputError, match="its source has changed"):
        store.load(entry)


def test_a_cache_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        ComplexCache(tmp_path / "file" / "cache")
    for pocket in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="pocket must be a positive number"):
            ComplexCache(tmp_path, pocket=pocket)


# what is left out


def broken_corpus(root):
    """One complex of each way to be of no use, and two good ones."""
    ids = ["good0", "good1", "cut1", "flat2", "far3", "none4", "salt0", "bond1", "leak2", "twice3"]
    rows = {
        "bond1": {"covalent": 1},
        "leak2": {"max_seqid_test": 0.95, "max_tanimoto_same_protein": 0.7},
    }
    write_corpus(root, {"train": ids, "val": ["c0"], "test": ["d1", "twice3"]}, rows)
    train = root / "train"
    text = (train / "cut1_protein.pdb").read_text()
    (train / "cut1_protein.pdb").write_text(text[:30] + "x.yz" + text[34:])
    mol = Chem.MolFromMolFile(str(train / "flat2_ligand.sdf"))
    mol.RemoveAllConformers()
    Chem.MolToMolFile(mol, str(train / "flat2_ligand.sdf"))
    mol = ligand(demo_of("far3")).mol
    mol.GetConformer().SetPositions(mol.GetConformer().GetPositions() + 300.0)
    Chem.MolToMolFile(mol, str(train / "far3_ligand.sdf"))
    (train / "none4_ligand.sdf").unlink()
    (train / "salt0_ligand.sdf").write_bytes(bytes(range(256)))
    return ids


def test_every_complex_left_out_has_a_reason_and_the_others_are_trained_on(tmp_path):
    ids = broken_corpus(tmp_path / "root")
    data = module(tmp_path / "root", tmp_path / "cache")
    with pytest.warns(CorpusWarning, match="train: 2 of 10 complexes; left out ") as told:
        data.setup("fit")
    assert len(told) == 1
    assert data.ids["train"] == ["good0", "good1"]
    assert sorted([*data.ids["train"], *data.left_out]) == sorted(ids)
    kinds = {key: reason.split(":")[0] for key, reason in data.left_out.items()}
    unreadable = dict.fromkeys(["cut1", "flat2", "far3", "salt0"], "unreadable")
    expected = {"none4": "missing", "bond1": "covalent", "leak2": "leak", "twice3": "overlap"}
    assert kinds == unreadable | expected
    for count, kind in ((4, "unreadable"), (1, "missing"), (1, "covalent"), (1, "leak")):
        assert f"{count} {kind} (" in data.summary
    assert "val: 1 of 1 complexes" in data.summary
    assert [len(batch) for batch in data.train_dataloader()] == [2]
    # what was refused once is remembered, and the reasons are the same
    again = ready(tmp_path / "root", tmp_path / "cache")
    assert again.left_out == data.left_out
    assert str(tmp_path) not in str(data.left_out)


def test_covalent_ligands_are_for_the_asking_and_never_cut_from_the_test(tmp_path):
    rows = {key: {"covalent": 1} for key in ("a0", "c0", "d2")}
    root = write_corpus(tmp_path / "root", PARTS, rows)
    data = ready(root, tmp_path / "cache", None)
    assert data.left_out == {"a0": "covalent: the manifest says so"}
    assert data.ids["val"] == PARTS["val"]
    assert data.ids["test"] == PARTS["test"]
    assert ready(root, tmp_path / "cache", covalent=True).ids["train"] == PARTS["train"]


def test_covalent_ligands_are_measured_where_no_manifest_tells(tmp_path):
    root = write_corpus(tmp_path / "root", {"train": ["a0", "a1"], "val": ["c0"], "test": ["d2"]})
    mol = ligand(demo_of("a0")).mol
    whole = receptor(demo_of("a0"))
    near = cdist(whole.positions, mol.GetConformer().GetPositions())
    i, j = np.unravel_index(near.argmin(), near.shape)
    shift = whole.positions[i] - mol.GetConformer().GetPositions()[j]
    pulled = mol.GetConformer().GetPositions() + shift * (1 - 1.8 / np.linalg.norm(shift))
    mol.GetConformer().SetPositions(pulled)
    Chem.MolToMolFile(mol, str(root / "train" / "a0_ligand.sdf"))
    data = ready(root, tmp_path / "cache", split="published")
    assert data.ids["train"] == ["a1"]
    assert data.left_out["a0"].startswith("covalent: 1.")
    kept = ready(root, tmp_path / "cache", split="published", covalent=True)
    assert kept.ids["train"] == ["a0", "a1"]


def test_nothing_left_is_one_error(tmp_path):
    rows = {key: {"leak_loose": 1} for key in PARTS["train"]}
    root = write_corpus(tmp_path / "root", PARTS, rows)
    with pytest.raises(InputError, match=r"train: 0 of 7 complexes; left out 7 leak"):
        module(root, tmp_path / "cache").setup("fit")


@pytest.mark.parametrize("layout", ["archives", "pdbbind"])
def test_the_layout_makes_no_difference(corpus, tmp_path, layout):
    root, cache = corpus
    other = write_corpus(tmp_path / "root", PARTS, {}, layout)
    plain, same = ready(root, cache), ready(other, tmp_path / "cache")
    assert same.ids == plain.ids
    assert same.data_hash == plain.data_hash
    assert packed(same) == packed(plain)


def test_subsets_of_the_test_by_name(tmp_path):
    parts = {"train": ["a0"], "val": ["c0"], "test": ["d1", "d2"]}
    root = write_corpus(tmp_path / "root", parts, {"d1": {"in_posebusters": 1}})
    data = ready(root, tmp_path / "cache", "test", subset="posebusters")
    assert [e.id for batch in data.test_dataloader() for e in batch] == ["d1"]
    assert not data.left_out


# the order


def seen(loader):
    return [[example.id for example in batch] for batch in loader]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_every_complex_once_in_an_order_of_its_own(corpus, workers):
    root, cache = corpus
    loader = ready(root, cache, num_workers=workers, seed=3).train_dataloader()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    epochs = []
    for epoch in (0, 1, 0):
        loader.sampler.set_epoch(epoch)
        epochs.append(seen(loader))
        assert sorted(key for batch in epochs[-1] for key in batch) == PARTS["train"]
    assert epochs[0] == epochs[2] != epochs[1]
    assert torch.equal(torch.get_rng_state(), state), "the global stream was drawn from"
    plain = ready(root, cache, seed=3).train_dataloader()
    assert seen(plain) == epochs[0]
    assert seen(ready(root, cache, seed=4).train_dataloader()) != epochs[0]


def test_batches_are_lists_of_examples_which_processes_can_exchange(corpus):
    root, cache = corpus
    batch = next(iter(ready(root, cache, num_workers=1).train_dataloader()))
    assert type(batch) is list
    assert all(type(example) is Example for example in batch)
    here = {example.id: example for example in ready(root, cache).sets["train"]}
    for example in batch:
        assert as_plain(example) == as_plain(here[example.id])
        assert as_plain(pickle.loads(pickle.dumps(example))) == as_plain(example)


class Watch(pl.LightningModule):
    """Trains one weight on the number of atoms, and notes what it saw."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        self.seen.append([example.id for example in batch])
        sizes = torch.tensor([float(len(example.receptor)) for example in batch])
        return (self.weight * sizes.mean() / 1e3 - torch.rand(())).square()

    def validation_step(self, batch, batch_idx):
        self.log("val/n", float(len(batch)), batch_size=len(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class HaltError(Exception):
    pass


class HaltAfter(pl.Callback):
    def __init__(self, step):
        self.step = step

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.global_step == self.step:
            raise HaltError


def fit(folder, data, halt=None, path=None):
    pl.seed_everything(0, verbose=False)
    callbacks = [RunCheckpoint(folder, every=0.0)] + ([HaltAfter(halt)] if halt else [])
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    watch = Watch()
    trainer.fit(watch, datamodule=data, ckpt_path=path)
    return watch


@pytest.mark.parametrize(
    ("workers", "halt"), [(0, 2), (0, 5), pytest.param(2, 5, marks=pytest.mark.slow)]
)
def test_a_run_that_was_killed_goes_on_with_the_same_batches(corpus, tmp_path, workers, halt):
    root, cache = corpus

    def data():
        return module(root, cache, num_workers=workers)

    straight = fit(tmp_path / "straight", data())
    with pytest.raises(HaltError):
        fit(tmp_path / "killed", data(), halt)
    checkpoint = tmp_path / "killed" / "last.ckpt"
    stored = torch.load(checkpoint, weights_only=True)
    begun = ready(root, cache)
    assert stored["Complexes"] == {"data_hash": begun.data_hash}
    resumed = fit(tmp_path / "killed", data(), path=checkpoint)
    steps = len(straight.seen)
    assert steps == 8
    assert resumed.seen == straight.seen[steps - len(resumed.seen) :]
    assert len(resumed.seen) < steps
    assert torch.equal(resumed.weight, straight.weight)


def test_a_run_does_not_go_on_with_other_data(corpus, tmp_path):
    root, cache = corpus
    with pytest.raises(HaltError):
        fit(tmp_path, module(root, cache), 2)
    other = write_corpus(tmp_path / "root", PARTS | {"train": PARTS["train"][:-1]}, {})
    with pytest.raises(InputError, match="is not the data this run began with"):
        fit(tmp_path, module(other, cache), path=tmp_path / "last.ckpt")


# what it is made of


def test_the_hash_is_of_ids_and_sources_alone(corpus, tmp_path):
    root, cache = corpus
    plain = ready(root, cache)
    with pytest.raises(RuntimeError, match=r"setup\('fit'\)"):
        _ = module(root, cache).data_hash
    assert ready(root, tmp_path, pocket=6.0, seed=5, batch_size=1).data_hash == plain.data_hash
    found = {plain.data_hash}
    known = [key for ids in PARTS.values() for key in ids]
    changes = [
        lambda r: write_pair(r / "train", "a0", mol2=True),
        lambda r: (r / "val_ids.txt").write_text("c0\n"),
        lambda r: write_manifest(r / "manifest.csv", {key: {} for key in known[1:]}),
    ]
    for number, change in enumerate(changes):
        copy = write_corpus(tmp_path / f"root{number}", PARTS, {})
        change(copy)
        found.add(ready(copy, cache).data_hash)
    assert len(found) == 1 + len(changes)


def test_arguments_are_checked(corpus, monkeypatch):
    root, cache = corpus
    for options, said in (
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"num_workers": -1}, "num_workers must be at least 0, got -1"),
        ({"subset": "casf"}, "subset must be one of timesplit"),
        ({"split": "loose"}, "split must be one of published"),
        ({"pocket": 0.0}, "pocket must be a positive number"),
    ):
        with pytest.raises(ValueError, match=said):
            module(root, cache, **options)
    monkeypatch.delenv("OVERPARAM_DOCKING_DATA", raising=False)
    with pytest.raises(InputError, match="OVERPARAM_DOCKING_DATA"):
        Complexes(cache_dir=str(cache))
    monkeypatch.setenv("OVERPARAM_DOCKING_DATA", str(root))
    assert Complexes(cache_dir=str(cache)).splits.root == Path(root)
