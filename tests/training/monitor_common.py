"""Short trainings, watched or not."""

import copy
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import ase.io
from commands import REPEATABLE, run
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo, get_dataset
from metatrain.utils.omegaconf import expand_dataset_config, expand_loss_config
from omegaconf import OmegaConf
from training_common import MOLECULES, changed


OPTIONS = changed(
    architecture__training__num_epochs=4, architecture__training__checkpoint_interval=1
)
SYMMETRY = {"interval": 1, "max_overhead": 0.02, "lambda_max": 2, "estimator": "circles"}


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
        _, _, *rest = command(content)
        result = run(*rest, *arguments, env={**os.environ, **REPEATABLE})
        assert result.returncode == expect, result.stdout + result.stderr
        (folder_of_run,) = set(Path("outputs").glob("*/*")) - known
        return folder / folder_of_run, (folder_of_run / "train.log").read_text()


def few_molecules(folder):
    """Eight molecules as a data set, what it holds, and the options of its loss."""
    with inside(folder):
        ase.io.write("molecules.xyz", ase.io.read(MOLECULES, ":8"))
        section = OmegaConf.create(copy.deepcopy(OPTIONS["training_set"]))
        section = expand_dataset_config(section)
        dataset, infos, _ = get_dataset(section[0])
        training = get_default_hypers("pet")["training"]
        expanded = {"architecture": {"training": training}, "training_set": section}
        loss = expand_loss_config(OmegaConf.create(expanded)).architecture.training.loss
    types = sorted({int(t) for i in range(8) for t in dataset[i]["system"].types})
    info = DatasetInfo("Angstrom", types, infos)
    return dataset, info, OmegaConf.to_container(loss, resolve=True)
