"""An exported model in a process that knows neither this package nor sphericart."""

import os
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from common import crystal, energy_info, molecule, pet_ssh, predict, systems
from metatomic.torch import ModelOutput


SCRIPT = Path(__file__).with_name("clean_process.py")
STEP = 2e-5  # Å


@pytest.fixture(params=["molecule", "crystal"])
def structure(request):
    return {"molecule": molecule, "crystal": crystal}[request.param]()


@pytest.fixture(scope="module", params=["harmonics", "LayerNorm", "distance", None])
def model(request):
    return pet_ssh(
        energy_info(), embedding={"l_max": 4, "normalization": request.param}
    ).double()


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """As ``mtt export`` writes it, in a process of its own."""
    folder = tmp_path_factory.mktemp("exported")
    torch.save(model.get_checkpoint(), folder / "model.ckpt")
    run([sys.executable, "-m", "metatrain_symmetry", "export", "model.ckpt"], folder)
    return folder / "model.pt"


def run(command, folder, **environment):
    """Run a command that has to succeed; return its standard error."""
    variables = os.environ | environment
    variables.pop("PYTHONPATH", None)
    process = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 0, process.stderr
    return process.stderr


def in_clean_process(exported, structure, folder):
    ase.io.write(folder / "structure.xyz", structure)
    command = [sys.executable, SCRIPT, exported, "structure.xyz", "result.npz"]
    # torch would import the plugin's hook by itself
    errors = run(command, folder, TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    assert "extension" not in errors  # nor warnings about missing libraries
    return np.load(folder / "result.npz")


def moved(structure, displacement):
    copy = structure.copy()
    copy.positions += displacement
    return copy


def strained(structure, strain):
    copy = structure.copy()
    copy.set_cell(copy.cell[:] @ strain)
    copy.positions = copy.positions @ strain
    return copy


def energy(model, structure):
    with torch.no_grad():
        return float(predict(model, [structure]).sum())


def eager_gradient(model, structure):
    (system,) = systems([structure], model, gradients=True)
    outputs = {"energy": ModelOutput(sample_kind="system")}
    value = model.eval()([system], outputs)["energy"].block().values.sum()
    return torch.autograd.grad(value, system.positions)[0].numpy()


def test_clean_process(model, exported, structure, tmp_path):
    result = in_clean_process(exported, structure, tmp_path)
    structure = ase.io.read(tmp_path / "structure.xyz")  # as rounded in the file

    assert result["energy"] == pytest.approx(energy(model, structure), rel=1e-10)
    gradient = eager_gradient(model, structure)
    np.testing.assert_allclose(result["gradient"], gradient, atol=1e-10)
    assert np.abs(gradient).max() > 1e-3

    numerical = np.zeros_like(gradient)
    for atom, axis in np.ndindex(*gradient.shape):
        step = np.zeros_like(gradient)
        step[atom, axis] = STEP
        numerical[atom, axis] = (
            energy(model, moved(structure, step)) - energy(model, moved(structure, -step))
        ) / (2 * STEP)
    np.testing.assert_allclose(result["gradient"], numerical, atol=1e-6)

    direction = result["direction"]
    numerical = (
        eager_gradient(model, moved(structure, STEP * direction))
        - eager_gradient(model, moved(structure, -STEP * direction))
    ) / (2 * STEP)
    np.testing.assert_allclose(result["hvp"], numerical, rtol=1e-6, atol=1e-6)
    assert np.abs(numerical).max() > 1e-2


def test_stress_in_clean_process(model, exported, tmp_path):
    structure = crystal()
    result = in_clean_process(exported, structure, tmp_path)
    structure = ase.io.read(tmp_path / "structure.xyz")
    numerical = np.zeros((3, 3))
    for i, j in np.ndindex(3, 3):
        step = np.zeros((3, 3))
        step[i, j] = STEP
        numerical[i, j] = (
            energy(model, strained(structure, np.eye(3) + step))
            - energy(model, strained(structure, np.eye(3) - step))
        ) / (2 * STEP)
    np.testing.assert_allclose(result["strain_gradient"], numerical, atol=1e-6)
    assert np.abs(numerical).max() > 1e-2
