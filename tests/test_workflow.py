"""``mtt`` with ``pet_ssh``, as a user types it."""

import copy
import os
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from metatomic.torch import ModelOutput
from metatomic_ase import MetatomicCalculator
from omegaconf import OmegaConf
from training_common import MOLECULES, changed, mtt


OPTIONS = changed(base_precision=64)


def write_options(name="options.yaml", source=OPTIONS, **changes):
    """Write an options file; ``architecture__training__x=1`` changes one entry."""
    OmegaConf.save(OmegaConf.create(changed(source, **changes)), name)
    return name


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder with a few molecules, a trained ``pet_ssh`` and a trained ``pet``."""
    folder = tmp_path_factory.mktemp("trained")
    ase.io.write(folder / "molecules.xyz", ase.io.read(MOLECULES, ":15"))
    before = Path.cwd()
    os.chdir(folder)
    try:
        mtt("train", write_options(), "-o", "model.pt")
        plain = write_options("pet.yaml", architecture__name="pet")
        mtt("train", plain, "-o", "pet.pt")
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    """A working folder of its own with everything that was trained."""
    for path in trained.glob("*.*"):
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predictions(model):
    """Energies (eV) and forces (eV/Å) of the first structures by an exported model."""
    calculator = MetatomicCalculator(model)
    energies, forces = [], []
    for atoms in ase.io.read("molecules.xyz", ":4"):
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    return np.array(energies), np.concatenate(forces)


def assert_same_predictions(first, second, rtol):
    for ours, theirs in zip(predictions(first), predictions(second), strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * scale)


def test_train_leaves_no_extensions(folder):
    assert not (folder / "extensions").exists()
    assert not list(folder.glob("**/.saving-*"))
    assert torch.load("model.ckpt", weights_only=False)["architecture_name"] == ("pet_ssh")


def test_ase_calculator(folder):
    atoms = ase.io.read("molecules.xyz", "0")
    calculator = MetatomicCalculator("model.pt")
    atoms.calc = calculator
    forces = atoms.get_forces()
    numerical = np.zeros_like(forces)
    for atom, axis in np.ndindex(*forces.shape):
        energies = []
        for step in (1e-4, -1e-4):  # Å
            moved = atoms.copy()
            moved.positions[atom, axis] += step
            moved.calc = calculator
            energies.append(moved.get_potential_energy())
        numerical[atom, axis] = (energies[1] - energies[0]) / 2e-4
    scale = np.abs(numerical).max()
    assert scale > 1e-4  # eV/Å
    np.testing.assert_allclose(forces, numerical, atol=1e-4 * scale)


def test_restart(folder):
    mtt("train", write_options(architecture__training__num_epochs=4), "--restart",
        "model.ckpt", "-o", "again.pt")  # fmt: skip
    checkpoint = torch.load("again.ckpt", weights_only=False)
    assert checkpoint["epoch"] == 3
    assert checkpoint["architecture_name"] == "pet_ssh"


def test_restart_with_other_embedding_is_refused(folder):
    options = write_options(architecture__model__geometry_embedding={"l_max": 2})
    text = mtt("train", options, "--restart", "model.ckpt", "-o", "no.pt", expect=1)
    assert "geometry_embedding" in text
    assert "'l_max': 2" in text
    assert not Path("no.pt").exists()


def test_export_and_eval(folder):
    mtt("export", "model.ckpt", "-o", "exported.pt")
    assert_same_predictions("exported.pt", "model.pt", 1e-6)
    eval_options = {
        "systems": {"read_from": "molecules.xyz", "length_unit": "angstrom"},
        "targets": OPTIONS["training_set"]["targets"],
    }
    mtt("eval", "exported.pt", write_options("eval.yaml", eval_options), "-o", "out.xyz")
    written = ase.io.read("out.xyz", ":4")
    energies = np.array([atoms.get_potential_energy() for atoms in written])
    np.testing.assert_allclose(energies, predictions("model.pt")[0], rtol=1e-6)


FINETUNE = {
    "full": {"method": "full"},
    "heads": {
        "method": "heads",
        "config": {
            "head_modules": ["node_heads", "edge_heads"],
            "last_layer_modules": ["node_last_layers", "edge_last_layers"],
        },
    },
    "lora": {"method": "lora", "config": {"rank": 2, "alpha": 2}},
}


@pytest.mark.parametrize("method", FINETUNE)
@pytest.mark.parametrize("source", ["model.ckpt", "pet.ckpt"])
def test_finetuning(folder, method, source):
    """Also from a plain PET, which is upgraded on the way."""
    finetune = {"read_from": source, **FINETUNE[method]}
    mtt("train", write_options(architecture__training__finetune=finetune), "-o", "f.pt")
    checkpoint = torch.load("f.ckpt", weights_only=False)
    assert checkpoint["architecture_name"] == "pet_ssh"
    assert checkpoint["model_data"]["model_hypers"]["geometry_embedding"]["l_max"] == 4
    mtt("export", "f.ckpt", "-o", "again.pt")
    assert_same_predictions("again.pt", "f.pt", 1e-6)


@pytest.mark.parametrize(
    "embedding", [{"l_max": 8}, {"l_max": 3, "normalization": "LayerNorm"}]
)
def test_upgrade_before_the_first_step(folder, embedding):
    """A learning rate of zero stops the clock: the predictions are still PET's."""
    options = write_options(
        architecture__training__finetune={"read_from": "pet.ckpt", "method": "full"},
        architecture__training__learning_rate=0.0,
        architecture__model__geometry_embedding=embedding,
    )
    mtt("train", options, "-o", "f.pt")
    assert_same_predictions("f.pt", "pet.pt", 1e-5)
    assert list(folder.glob("outputs/*/*/upgraded/pet.ckpt"))
    # where `--restart auto` looks
    assert not list(folder.glob("outputs/*/*/pet*.ckpt"))


def test_llpr(folder):
    llpr = {
        "name": "llpr",
        "model": {},
        "training": {"model_checkpoint": "model.ckpt", "batch_size": 2},
    }
    targets = {"energy": OPTIONS["training_set"]["targets"]["energy"]}
    options = copy.deepcopy(OPTIONS) | {"architecture": llpr}
    options["training_set"]["targets"] = targets
    mtt("train", write_options("llpr.yaml", options), "-o", "llpr.pt")
    atoms = ase.io.read("molecules.xyz", "0")
    calculator = MetatomicCalculator("llpr.pt")
    wanted = {"energy_uncertainty": ModelOutput(sample_kind="system")}
    values = calculator.run_model(atoms, wanted)["energy_uncertainty"].block().values
    assert values.shape == (1, 1)
    assert values.item() > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architecture__model__geometry_embedding": {"l_max": -1}},
            "l_max must be a whole number from 0 to 24, or null for standard PET, but "
            "got -1",
        ),
        (
            {"architecture__model__geometry_embedding": {"l_max": 2.5}},
            "but got 2.5",
        ),
        (
            {"architecture__model__geometry_embedding": {"l_max": 99}},
            "but got 99",
        ),
        (
            {"architecture__model__geometry_embedding": {"lmax": 2}},
            "Unrecognized option 'lmax'",
        ),
        (
            {"training_set__systems__read_from": "missing.xyz"},
            "missing.xyz",
        ),
        (
            {"training_set__systems__read_from": "nan.xyz"},
            "structure 3 (counting from 0) has positions that are not finite numbers",
        ),
        (
            {"architecture__atomic_types": [1, 6]},
            "but the model was made for [1, 6]",
        ),
        (
            {
                "architecture__training__finetune": {
                    "read_from": "soap.ckpt",
                    "method": "full",
                }
            },
            "'soap.ckpt' holds a 'soap_bpnn' model, but 'pet_ssh' can only be "
            "fine-tuned from 'pet' and 'pet_ssh' models",
        ),
        (
            {
                "architecture__training__finetune": {
                    "read_from": "missing.ckpt",
                    "method": "full",
                }
            },
            "The checkpoint 'missing.ckpt' does not exist",
        ),
    ],
)
def test_wrong_options(folder, changes, message):
    structures = ase.io.read("molecules.xyz", ":")
    structures[3].positions[1, 1] = np.nan
    ase.io.write("nan.xyz", structures)
    torch.save({"architecture_name": "soap_bpnn"}, "soap.ckpt")
    text = mtt("train", write_options(**changes), "-o", "no.pt", expect=1)
    assert message in text.replace("\n", " ")
    assert not Path("no.pt").exists()
    assert not Path("no.ckpt").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "truncated.ckpt",
            "cannot be read as a checkpoint, perhaps because it is trunc",
        ),
        ("missing.ckpt", "does not exist"),
        ("list.ckpt", "is not a checkpoint of metatrain"),
        ("pet.ckpt", "give it as `training: finetune: read_from:` to upgrade it"),
    ],
)
def test_wrong_restart(folder, name, message):
    whole = Path("model.ckpt").read_bytes()
    Path("truncated.ckpt").write_bytes(whole[: len(whole) // 2])
    torch.save([1, 2], "list.ckpt")
    options = write_options()
    text = mtt("train", options, "--restart", name, "-o", "no.pt", expect=1)
    assert message in text
    assert not Path("no.pt").exists()


def test_truncated_checkpoint_is_not_exported(folder):
    whole = Path("model.ckpt").read_bytes()
    Path("truncated.ckpt").write_bytes(whole[: len(whole) // 2])
    mtt("export", "truncated.ckpt", "-o", "no.pt", expect=1)
    assert not Path("no.pt").exists()


def test_unknown_species_and_nan_in_eval(folder):
    structures = ase.io.read("molecules.xyz", ":3")
    structures[1].numbers[0] = 17
    ase.io.write("chlorine.xyz", structures)
    structures[1].numbers[0] = 6
    structures[2].positions[0, 0] = np.nan
    ase.io.write("nan.xyz", structures)
    for name, message in [
        ("chlorine.xyz", "does not support the atomic type '17'"),
        ("nan.xyz", "non-finite"),
    ]:
        options = {
            "systems": {"read_from": name, "length_unit": "angstrom"},
            "targets": {"energy": {"key": "energy", "unit": "eV"}},
        }
        options = write_options("eval.yaml", options)
        assert message in mtt("eval", "model.pt", options, "-o", "no.xyz", expect=1)
        assert not Path("no.xyz").exists()
