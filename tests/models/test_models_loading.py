"""Opening models and structures, and what is said when that fails."""

import ase
import ase.io
import numpy as np
import pytest
import torch
from common import energy_info, molecule, pet, pet_ssh
from models_common import rich_info, rotations

from metatrain_symmetry.data import read_systems
from metatrain_symmetry.models import PETEngine, open_engine


@pytest.fixture(scope="module")
def engine():
    return open_engine(pet(energy_info()))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "model.ckpt"
    torch.save(pet_ssh(energy_info(gradients=True)).get_checkpoint(), path)
    return path


def names(engine):
    return [block.target for block in engine.blocks]


def test_checkpoint(checkpoint):
    engine = open_engine(checkpoint, probes=["EE"], dtype=torch.float64)
    assert isinstance(engine, PETEngine)
    assert engine.dtype == torch.float64
    ((atoms, system),) = read_systems(molecule(), engine)
    structure = engine.prepare(system, "ethanol")
    assert (structure.name, structure.n_atoms) == ("ethanol", len(atoms))
    values = engine.evaluate(structure, rotations(), engine.blocks, engine.probes)
    assert all(part.dtype == torch.float64 for part in values.targets.values())
    assert all(part.dtype == torch.float64 for part in values.layers.values())
    single = open_engine(str(checkpoint), gradients=False)
    assert single.dtype == torch.float32
    values = single.evaluate(single.prepare(system), rotations(), single.blocks, [])
    assert all(part.dtype == torch.float32 for part in values.targets.values())


def test_targets():
    model = pet(rich_info())
    assert set(names(open_engine(model))) == set(rich_info().targets)
    assert names(open_engine(model, ["mtt::scalars"])) == ["mtt::scalars"]
    assert names(open_engine(model, "energy")) == ["energy"]
    with pytest.raises(ValueError, match="did you mean mtt::density"):
        open_engine(model, ["density"])
    with pytest.raises(ValueError, match="non_conservative_force"):
        open_engine(model, ["non_conservative_forces"])


def test_gradients():
    trained, plain = pet(energy_info(gradients=True)), pet(energy_info())
    both = ["energy", "conservative_force", "conservative_stress", "conservative_stress"]
    assert names(open_engine(trained)) == both
    assert names(open_engine(trained, gradients=False)) == ["energy"]
    assert names(open_engine(plain)) == ["energy"]
    assert names(open_engine(plain, gradients=True)) == both
    with pytest.raises(ValueError, match="'auto', true or false"):
        open_engine(plain, gradients="always")


def test_exported_targets(tmp_path):
    path = tmp_path / "model.pt"
    pet(rich_info()).export().save(str(path))
    engine = open_engine(path)
    assert set(names(engine)) == {
        *rich_info().targets,
        "conservative_force",
        "conservative_stress",
    }
    assert engine.dtype == torch.float32
    with pytest.raises(ValueError, match="did you mean energy"):
        open_engine(path, ["enrgy"])


def test_no_model(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        open_engine(tmp_path / "missing.ckpt")
    options = tmp_path / "options.yaml"
    options.write_text("a: 1")
    with pytest.raises(ValueError, match="options file"):
        open_engine(options)
    text = tmp_path / "text.ckpt"
    text.write_text("not a model")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        open_engine(text)
    torch.save({"a": 1}, text)
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        open_engine(text)
    with pytest.raises(ValueError, match="is no model"):
        open_engine(3)
    with pytest.raises(ValueError, match="give dtype='float32' or 'float64'"):
        open_engine(pet(energy_info()), dtype=torch.float16)


def test_structures(engine, tmp_path):
    path = tmp_path / "structures.xyz"
    ase.io.write(path, [molecule(), molecule()])
    pairs = read_systems(path, engine)
    assert [len(atoms) for atoms, _ in pairs] == [9, 9]
    again = read_systems([system for _, system in pairs], engine)
    np.testing.assert_allclose(again[1][0].positions, pairs[1][0].positions)
    assert len(read_systems(str(path), engine)) == 2


@pytest.mark.parametrize(
    ("atoms", "match"),
    [
        ([molecule(), ase.Atoms("Fe")], "structure 1 has the element Fe.*H, C, N, O, Mg"),
        ([ase.Atoms()], "structure 0 has no atoms"),
        ([ase.Atoms("H", [[np.nan, 0, 0]])], "structure 0 has positions"),
        ([], "at least one"),
    ],
)
def test_structures_that_do_not_fit(engine, atoms, match):
    with pytest.raises(ValueError, match=match):
        read_systems(atoms, engine)


def test_files_that_do_not_fit(engine, tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_systems(tmp_path / "missing.xyz", engine)
    path = tmp_path / "bad.xyz"
    path.write_text("this is\nnot a structure\n")
    with pytest.raises(ValueError, match="cannot be read by ASE"):
        read_systems(path, engine)
    path.write_text("")
    with pytest.raises(ValueError, match=r"bad\.xyz"):
        read_systems(path, engine)
