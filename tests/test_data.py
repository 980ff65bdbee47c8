"""The shipped data set is what its README says, and metatrain reads it."""

from collections import Counter
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from metatrain.utils.data import get_dataset
from metatrain.utils.omegaconf import expand_dataset_config
from metatrain.utils.pydantic import validate_base_options
from omegaconf import OmegaConf


ROOT = Path(__file__).parents[1]
DATA = ROOT / "data" / "xtb_molecules.xyz"
CONFIG = ROOT / "configs" / "quickstart.yaml"


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    return ase.io.read(DATA, ":")


def test_size_and_counts(frames):
    assert DATA.stat().st_size < 2e6
    counts = Counter(frame.info["molecule"] for frame in frames)
    assert len(counts) == 10
    assert set(counts.values()) == {40}


def test_elements_and_keys(frames):
    for frame in frames:
        assert set(frame.numbers) <= {1, 6, 7, 8}
        assert len(frame) <= 12
        assert not frame.pbc.any()
        assert np.isfinite(frame.get_potential_energy())


def test_forces(frames):
    for frame in frames:
        forces = frame.get_forces()
        assert np.isfinite(forces).all()
        assert np.linalg.norm(forces, axis=1).max() <= 30.0
        np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-6)
        np.testing.assert_array_equal(frame.arrays["non_conservative_force"], forces)


def test_orientations_are_diverse(frames):
    # the principal axis of glycine would point one way if structures were not turned
    axes = []
    for frame in frames:
        if frame.info["molecule"] == "glycine":
            axis = np.linalg.eigh(frame.positions.T @ frame.positions)[1][:, -1]
            axes.append(np.outer(axis, axis))
    assert np.linalg.eigvalsh(np.mean(axes, axis=0)).max() < 0.6


def test_order_is_shuffled(frames):
    first = Counter(frame.info["molecule"] for frame in frames[:100])
    assert len(first) == 10


def test_metatrain_reads_the_quickstart(frames, monkeypatch):
    monkeypatch.chdir(ROOT)  # paths in the options are relative to the repository
    options = OmegaConf.create(
        validate_base_options(OmegaConf.to_container(OmegaConf.load(CONFIG)))
    )
    [section] = expand_dataset_config(options["training_set"])
    dataset, targets, _ = get_dataset(section)
    assert len(dataset) == len(frames)
    assert targets["energy"].gradients == ["positions"]
    assert targets["non_conservative_force"].is_cartesian
    assert targets["non_conservative_force"].per_atom
    # metatrain stores the gradient of the energy: the force with its sign changed
    sample = dataset[0]
    gradient = sample["energy"].block().gradient("positions").values
    np.testing.assert_allclose(gradient[..., 0], -frames[0].get_forces())
    direct = sample["non_conservative_force"].block().values
    np.testing.assert_allclose(direct[..., 0], frames[0].get_forces())
