"""The structures that are watched: a share of a held-out set, or a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import read_systems
from ..data.given import GivenStructure
from ..data.read import open_structures
from ..data.runs import TrainerStructures, test_sets
from ..models import Engine
from .options import SymmetryHypers, check_files


def find_structures(
    options: SymmetryHypers,
    engine: Engine,
    val_datasets: Sequence[Any],
    checkpoint_dir: Path,
) -> list[GivenStructure]:
    """Find the structures that the options ask for.

    :param options: complete options ``training.symmetry``
    :param engine: of the model, to check the structures
    :param val_datasets: validation sets as given to the trainer
    :param checkpoint_dir: folder of the run, for its test set
    :raises ValueError: if there are none, or if the model does not know them
    :return: at most as many as asked for, at random: a small budget takes the first ones
    """
    check_files(options)
    source = options["structures"]
    try:
        known = _known(source, engine, val_datasets, checkpoint_dir)
    except ValueError as error:
        raise ValueError(f"training.symmetry.structures: {error}") from error
    if not len(known):
        raise ValueError(
            f"training.symmetry.structures: the {source} set is empty: name a file, or "
            "make the set larger"
        )
    order = np.random.default_rng(options["seed"]).permutation(len(known)).tolist()
    found = [known[index] for index in order[: options["n_structures"]]]
    # whether the model knows their elements, and whether positions are finite
    read_systems([one.system for one in found], engine)
    return found


def _known(
    source: str, engine: Engine, val_datasets: Sequence[Any], checkpoint_dir: Path
) -> Sequence[GivenStructure]:
    """All structures of a source."""
    if source in ("validation", "test"):
        datasets = val_datasets if source == "validation" else test_sets(checkpoint_dir)
        model: Any = getattr(engine, "model", None)
        return TrainerStructures(datasets, model.dataset_info.targets)
    return open_structures(source, engine)
