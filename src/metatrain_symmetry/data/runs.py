"""Data sets as a trainer of metatrain has them, and the test set that it does not get."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from omegaconf import OmegaConf

from .datasets import Infos
from .given import GivenStructure
from .opened import open_data
from .targets_of_tensors import of_tensors


class TrainerStructures(Sequence[GivenStructure]):
    """Structures of the data sets of a trainer, read when they are asked for.

    :param datasets: of metatrain
    :param infos: metatrain's ``TargetInfo`` of the targets of the model
    """

    def __init__(self, datasets: Sequence[Any], infos: Infos) -> None:
        self.infos = infos
        filled = [dataset for dataset in datasets if len(dataset)]
        self.samples: Any = torch.utils.data.ConcatDataset(filled) if filled else []

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> GivenStructure: ...

    @overload
    def __getitem__(self, index: slice) -> list[GivenStructure]: ...

    def __getitem__(self, index: int | slice) -> GivenStructure | list[GivenStructure]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        sample = self.samples[index]
        known = sample._asdict()
        tensors = {name: sample[name] for name in self.infos if name in known}
        targets = partial(of_tensors, sample["system"], tensors, self.infos)
        return GivenStructure(f"structure {index}", sample["system"], targets)


def test_sets(run: Path) -> list[Any]:
    """Read the test set of a training, which metatrain does not give to trainers.

    :param run: folder of the run
    :raises ValueError: if the run does not say what its test set is
    :return: data sets of metatrain
    """
    path = run / "options_restart.yaml"
    if not path.is_file():
        raise ValueError(
            f"the test set is read as '{path}' says, which is not there: take the "
            "validation set, or name a file"
        )
    options = OmegaConf.load(path)
    split = not OmegaConf.is_list(options.test_set)
    sections = options.training_set if split else options.test_set
    sets = []
    for number, section in enumerate(sections):
        dataset = open_data(section)[0]
        name = "test.txt" if len(sections) == 1 else f"test_{number}.txt"
        chosen = run / "indices" / name
        if chosen.is_file():
            indices = np.loadtxt(chosen, dtype=int, ndmin=1).tolist()
            dataset = torch.utils.data.Subset(dataset, indices)
        elif split:
            raise ValueError(
                f"the test set of this run is not in '{chosen}': take the validation set, "
                "or name a file"
            )
        sets.append(dataset)
    return sets
