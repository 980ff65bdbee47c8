"""The structures that are watched: a share of a held-out set, or a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from metatomic.torch import System

from ..data import read_systems
from ..data.labelled import Targets
from ..data.targets import of_atoms, of_options, of_tensors
from ..models import Block, Engine
from .options import SymmetryHypers, check_files


@dataclass
class HeldOut:
    """A structure and its targets.

    :param name: how messages call it
    :param system: the structure
    :param truth: its targets, with composition, for the blocks that are wanted
    """

    name: str
    system: System
    truth: Callable[[list[Block]], Targets]


def find_structures(
    options: SymmetryHypers,
    engine: Engine,
    val_datasets: Sequence[Any],
    checkpoint_dir: Path,
) -> list[HeldOut]:
    """Find the structures that the options ask for.

    :param options: complete options ``training.symmetry``
    :param engine: of the model, to check the structures
    :param val_datasets: validation sets as given to the trainer
    :param checkpoint_dir: folder of the run, for its test set
    :raises ValueError: if there are none, or if the model does not know them
    :return: at most as many as asked for
    """
    check_files(options)
    source, count, seed = options["structures"], options["n_structures"], options["seed"]
    if source == "validation":
        found = _of_datasets(val_datasets, engine, count, seed)
    elif source == "test":
        found = _of_datasets(_test_sets(checkpoint_dir), engine, count, seed)
    elif Path(source).suffix in (".yaml", ".yml"):
        found = _of_options(Path(source), engine, count, seed)
    else:
        found = _of_file(Path(source), engine, count, seed)
    if not found:
        raise ValueError(
            f"training.symmetry.structures: the {source} set is empty: name a file, or "
            "make the set larger"
        )
    # whether the model knows their elements, and whether positions are finite
    read_systems([one.system for one in found], engine)
    return found


def _choose(total: int, count: int, seed: int) -> list[int]:
    """Structures at random: the first ones are those that a small budget takes."""
    return np.random.default_rng(seed).permutation(total)[:count].tolist()


def _of_datasets(
    datasets: Sequence[Any], engine: Engine, count: int, seed: int
) -> list[HeldOut]:
    filled = [dataset for dataset in datasets if len(dataset)]
    if not filled:
        return []
    everything: Any = torch.utils.data.ConcatDataset(filled)
    model: Any = getattr(engine, "model", None)
    infos = model.dataset_info.targets
    found = []
    for index in _choose(len(everything), count, seed):
        sample = everything[index]
        tensors = {name: sample[name] for name in infos if name in sample._asdict()}
        found.append(_held(f"structure {index}", sample["system"], tensors, infos))
    return found


def _held(name: str, system: System, tensors: Any, infos: Any) -> HeldOut:
    return HeldOut(name, system, lambda blocks: of_tensors(system, tensors, infos, blocks))


def _of_options(path: Path, engine: Engine, count: int, seed: int) -> list[HeldOut]:
    systems, tensors, infos = of_options(path, engine)
    return [
        _held(f"structure {i}", systems[i], tensors[i], infos)
        for i in _choose(len(systems), count, seed)
    ]


def _of_file(path: Path, engine: Engine, count: int, seed: int) -> list[HeldOut]:
    pairs = read_systems(path, engine)
    return [
        HeldOut(f"structure {i}", pairs[i][1], _known(pairs[i][0]))
        for i in _choose(len(pairs), count, seed)
    ]


def _known(atoms: Any) -> Callable[[list[Block]], Targets]:
    return lambda blocks: of_atoms(atoms, blocks)


def _test_sets(checkpoint_dir: Path) -> list[Any]:
    """Read the test set, which metatrain does not give to trainers, as it did."""
    from metatrain.utils.data import get_dataset
    from omegaconf import OmegaConf

    path = checkpoint_dir / "options_restart.yaml"
    if not path.is_file():
        raise ValueError(
            f"training.symmetry.structures: the test set is read as '{path}' says, which "
            "is not there: take the validation set, or name a file"
        )
    options = OmegaConf.load(path)
    split = not OmegaConf.is_list(options.test_set)
    sections = options.training_set if split else options.test_set
    sets = []
    for number, section in enumerate(sections):
        dataset = get_dataset(section)[0]
        names = ["test.txt"] if len(sections) == 1 else [f"test_{number}.txt"]
        chosen = checkpoint_dir / "indices" / names[0]
        if chosen.is_file():
            indices = np.loadtxt(chosen, dtype=int, ndmin=1).tolist()
            dataset = torch.utils.data.Subset(dataset, indices)
        elif split:
            raise ValueError(f"the test set of this run is not in '{chosen}'")
        sets.append(dataset)
    return sets
