"""Short trainings, watched or not."""

import copy
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import ase.io
from common import SMALL
from omegaconf import OmegaConf


MOLECULES = Path(__file__).parents[2] / "data/xtb_molecules.xyz"
OPTIONS = {
    "seed": 1,
    "architecture": {
        "name": "pet_ssh",
        "model": {**SMALL, "num_gnn_layers": 1},
        "training": {
            "num_epochs": 4,
            "learning_rate": 3e-3,
            "batch_size": 4,
            "num_workers": 0,
            "checkpoint_interval": 1,
        },
    },
    "training_set": {
        "systems": {"read_from": "molecules.xyz", "length_unit": "angstrom"},
        "targets": {
            "energy": {"key": "energy", "unit": "eV", "forces": True},
            "non_conservative_force": {
                "key": "non_conservative_force",
                "unit": "eV/Angstrom",
                "sample_kind": "atom",
                "type": {"cartesian": {"rank": 1}},
            },
        },
    },
    "validation_set": 0.2,
    "test_set": 0.2,
}
# metatrain orders the losses of the targets by a set, and so by Python's hashes of names
REPEATABLE = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
# everything that can be afforded, so that nothing is left out
SYMMETRY = {"interval": 1, "max_overhead": 1e6, "lambda_max": 2, "estimator": "circles"}


def options(symmetry=None, **training):
    """Options of a training; ``_`` removes the options of the watching."""
    found = copy.deepcopy(OPTIONS)
    found["architecture"]["training"] |= training
    if symmetry is not None:
        found["architecture"]["training"]["symmetry"] = symmetry
    return found


@contextmanager
def inside(folder):
    """Work in a folder that has a few molecules."""
    folder.mkdir(exist_ok=True, parents=True)
    if not (folder / "molecules.xyz").exists():
        ase.io.write(folder / "molecules.xyz", ase.io.read(MOLECULES, ":15"))
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


def command(content):
    """Write the options of a training; return what one types to run it."""
    OmegaConf.save(OmegaConf.create(content), "options.yaml")
    return [sys.executable, "-m", "metatrain", "train", "options.yaml"]


def train(folder, content, *arguments, expect=0):
    """Run ``mtt train`` in a process; return the run's folder and its log."""
    with inside(folder):
        known = set(Path("outputs").glob("*/*"))
        result = subprocess.run(
            [*command(content), *arguments],
            env={**os.environ, **REPEATABLE},
            capture_output=True,
            text=True,
        )
        assert result.returncode == expect, result.stdout + result.stderr
        (run,) = set(Path("outputs").glob("*/*")) - known
        return folder / run, (run / "train.log").read_text()
