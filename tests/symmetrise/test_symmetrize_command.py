"""``mtt symmetrize``: what it writes works without us, and what it says when it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from averaged_common import (
    Pairs,
    average_of,
    averaged_pair_energy,
    exported,
    inputs,
)
from common import crystal, energy_info, molecule, pet_ssh
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic_ase import MetatomicCalculator

from metatrain_symmetry import symmetrize_model
from metatrain_symmetry.groups import named_group
from metatrain_symmetry.plugin.commands import COMMANDS
from metatrain_symmetry.symmetrise.export import averaged, energies


EVAL = """\
systems: {0}
targets:
  energy: {{read_from: {0}, key: energy, unit: eV, forces: {{key: forces}}, stress: off}}
"""

ENGINE = Path(__file__).with_name("engine_process.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint, an exported model and structures."""
    folder = tmp_path_factory.mktemp("models")
    model = pet_ssh(energy_info(gradients=True), d_pet=8, d_node=8, d_feedforward=8)
    torch.save(model.get_checkpoint(), folder / "model.ckpt")
    model.export().save(str(folder / "model.pt"))
    exported().save(str(folder / "pairs.pt"))
    atoms = crystal()
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=0 * atoms.positions)
    ase.io.write(folder / "crystal.xyz", atoms)
    return folder


def run(command, folder, **environment):
    process = subprocess.run(
        list(map(str, command)), cwd=folder, env=os.environ | environment,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return process.stdout + process.stderr


def test_an_engine_needs_nothing_of_ours(folder, tmp_path):
    averaged = tmp_path / "averaged.pt"
    # in a process of its own: a file lists whatever libraries its process has loaded
    command = [sys.executable, "-m", "metatrain_symmetry", "symmetrize", "pairs.pt"]
    run([*command, "-o", averaged, "--group", "octahedral"], folder)
    arguments = [averaged, folder / "crystal.xyz", tmp_path / "result.npz"]
    said = run(
        [sys.executable, ENGINE, *arguments], folder, TORCH_DEVICE_BACKEND_AUTOLOAD="0"
    )
    assert "extension" not in said
    found = np.load(tmp_path / "result.npz")
    atoms = ase.io.read(folder / "crystal.xyz")
    positions, strain, system = inputs(atoms, exported())
    r = system.get_neighbor_list(system.known_neighbor_lists()[0]).values.squeeze(-1)
    energy = averaged_pair_energy(r, "O").sum()
    gradient, stress = torch.autograd.grad(energy, (positions, strain))
    stress = ((stress + stress.T) / 2 / atoms.get_volume()).numpy()
    for i in range(4):
        assert found["energies"][i] == pytest.approx(energy.item(), rel=1e-12)
        np.testing.assert_allclose(found["forces"][i], -gradient.numpy(), atol=1e-10)
        voigt = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        np.testing.assert_allclose(found["stresses"][i], voigt, atol=1e-12)
    assert found["per_atom"].sum() == pytest.approx(energy.item(), rel=1e-12)


def test_command_and_mtt_eval(folder, tmp_path):
    command = [sys.executable, "-m", "metatrain_symmetry"]
    output = tmp_path / "averaged.pt"
    said = run(
        [*command, "symmetrize", "model.ckpt", "-o", output, "--group", "T", "--inversion"],
        folder,
    )
    assert "tetrahedral group with inversion, 24 elements" in said
    (tmp_path / "eval.yaml").write_text(EVAL.format(folder / "crystal.xyz"))
    run([*command, "eval", output, "eval.yaml", "-o", "out.xyz", "--no-warm-up"], tmp_path)

    bare, atoms = (
        MetatomicCalculator(folder / "model.pt"),
        ase.io.read(folder / "crystal.xyz"),
    )
    energies, forces = [], []
    for matrix in named_group("Ti").elements.numpy():
        turned = atoms.copy()
        turned.set_cell(atoms.cell[:] @ matrix.T)
        turned.positions = atoms.positions @ matrix.T
        turned.calc = bare
        energies.append(turned.get_potential_energy())
        forces.append(turned.get_forces() @ matrix)
    found = ase.io.read(tmp_path / "out.xyz")
    assert found.get_potential_energy() == pytest.approx(np.mean(energies), abs=1e-5)
    gradient = np.array(found.info["energy_positions_gradients"])
    np.testing.assert_allclose(gradient, -np.mean(forces, 0), atol=1e-5)


def test_names_units_and_capabilities_stay(tmp_path):
    before = exported(supported_devices=["cpu", "cuda"])
    after = average_of(before, "I", tmp_path / "a.pt")
    old, new = before.capabilities(), after.capabilities()
    for name in ("atomic_types", "interaction_range", "length_unit", "dtype"):
        assert getattr(old, name) == getattr(new, name)
    assert old.supported_devices == new.supported_devices
    for name, output in old.outputs.items():
        assert new.outputs[name].unit == output.unit
        assert new.outputs[name].sample_kind == output.sample_kind
    assert set(old.outputs) == set(new.outputs)
    (lists,) = after.requested_neighbor_lists()
    assert (lists.cutoff, lists.full_list, lists.strict) == (3.5, False, True)
    assert after.metadata().name == "pairs"
    assert "icosahedral group (60 elements)" in after.metadata().description


def test_a_target_in_a_unit_of_energy_is_differentiated(folder):
    from metatomic.torch import ModelOutput

    units = {"energy": "eV", "mtt::u0": "kcal/mol", "mtt::gap": "", "mtt::aux::x": "eV"}
    units |= {"energy_uncertainty": "eV", "energy/pbe": "eV", "mtt::dipole": "e*A"}
    outputs = {name: ModelOutput(unit=unit) for name, unit in units.items()}
    found = energies(exported(outputs=outputs))
    assert found == ["energy", "mtt::u0", "energy/pbe"]


# --- bad input --------------------------------------------------------------------------


class Odd(Pairs):
    """Gives an output whose components mean nothing."""

    def forward(self, systems, outputs, selected_atoms):
        label = Labels("letter", torch.arange(2).reshape(-1, 1))
        values = torch.zeros(1, 2, 1, dtype=torch.float64)
        one = Labels("system", torch.zeros(1, 1, dtype=torch.int32))
        block = TensorBlock(values, one, [label], one.rename("system", "p"))
        return {"energy": TensorMap(Labels.single(), [block])}


def bad(message, **changes):
    return pytest.param(changes, message, id=message[:20])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        bad("did you mean icosahedral", group="icosaedral"),
        bad("there is no group 7", group=7),
        bad("group 'C1' leaves the model as it is", group="C1"),
        bad("must end in .pt", output="averaged.ckpt"),
        bad("the input", output="model.pt"),
        bad("does not exist", model="nowhere.pt"),
        bad("holds one state only", state="best"),
        bad("is a folder", model="."),
        bad("give 1 or more", batch_atoms=0),
        bad("is a file and not a folder", output="crystal.xyz/averaged.pt"),
        bad("no folder of extensions", extensions="nowhere"),
    ],
)
def test_bad_input(changes, message, folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    arguments = {"model": "model.pt", "output": "new.pt"} | changes
    with pytest.raises(ValueError, match=message):
        symmetrize_model(**arguments)
    assert sorted(folder.rglob("*")) == before


def test_a_folder_that_takes_no_files(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", _refused)
    with pytest.raises(ValueError, match="cannot be written, because the folder"):
        symmetrize_model(folder / "pairs.pt", tmp_path / "new.pt")


def _refused(*_, **__):
    raise PermissionError(13, "Permission denied")


def test_nothing_is_left_where_saving_fails(folder, tmp_path, monkeypatch):
    from metatomic.torch import AtomisticModel

    def fails(self, path):
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(AtomisticModel, "save", fails)
    (tmp_path / "new.pt").write_text("older")
    with pytest.raises(OSError, match="No space"):
        symmetrize_model(folder / "pairs.pt", tmp_path / "new.pt", overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["new.pt"]
    assert (tmp_path / "new.pt").read_text() == "older"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a computer without a GPU")
def test_a_model_for_another_device():
    model = exported(supported_devices=["cuda"])
    with pytest.raises(ValueError, match="runs on cuda only, which this computer"):
        averaged(model, named_group("T"))


def test_a_model_that_averages_already(tmp_path):
    model = average_of(exported(), "T", tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"already, over the tetrahedral group \(12"):
        averaged(model, named_group("I"))


def test_an_output_that_cannot_be_rotated():
    from metatomic.torch import ModelOutput

    Odd.forward.__annotations__ = Pairs.forward.__annotations__
    model = exported(Odd(), outputs={"energy": ModelOutput(sample_kind="system")})
    with pytest.raises(ValueError, match=r"'energy' cannot be rotated, .*'letter'"):
        averaged(model, named_group("T"))


def test_explicit_gradients_are_refused(tmp_path):
    from metatomic.torch import ModelEvaluationOptions, ModelOutput

    model = average_of(exported(), "T", tmp_path / "a.pt")
    _, _, system = inputs(molecule(), model)
    outputs = {"energy": ModelOutput(explicit_gradients=["positions"])}
    options = ModelEvaluationOptions("Angstrom", outputs)
    with pytest.raises(torch.jit.Error, match="gives no explicit gradients of 'energy'"):
        model([system], options, check_consistency=False)


def test_the_command_is_there():
    assert "symmetrize" in [command.name for command in COMMANDS]
