"""The data set of an options file, split as ``mtt train`` splits it.

With the options file, seed and numbers of structures of a training, the validation set is
the same as there. ``test_set`` is never looked at.
"""

import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from metatrain.utils.omegaconf import check_units
from omegaconf import OmegaConf

from ..messages import reason
from .datasets import DataSet, Infos, open_sets, read_indices
from .given import GivenStructure
from .targets_of_tensors import of_tensors


class StructureSet:
    """A set of structures, read when they are asked for.

    :param name: how messages call it
    :param datasets: those of the options file
    :param chosen: data set and index of each structure, ``(structures, 2)``
    """

    def __init__(self, name: str, datasets: list[DataSet], chosen: np.ndarray) -> None:
        self.name, self.datasets, self.chosen = name, datasets, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def targets(self) -> set[str]:
        """Names of the targets that some structures have."""
        numbers = np.unique(self.chosen[:, 0])
        return {name for number in numbers for name in self.datasets[number].infos}

    @property
    def sizes(self) -> dict[str, int]:
        """Number of structures of each data set that has some, by what messages call it."""
        if len(self.datasets) == 1:
            return {f"the {self.name} set": len(self)}
        which, counts = np.unique(self.chosen[:, 0], return_counts=True)
        return {
            f"data set {n} of the {self.name} set": c
            for n, c in zip(which.tolist(), counts.tolist(), strict=True)
        }

    @property
    def infos(self) -> list[Infos]:
        """What the targets of each data set are."""
        return [one.infos for one in self.datasets]

    def read(self, index: int, length_unit: str = "") -> GivenStructure:
        """Read a structure.

        :param index: in this set
        :param length_unit: of the model; empty for that of the file
        :return: the structure
        """
        number, position = self.chosen[index].tolist()
        where = f"structure {position}"
        if len(self.datasets) > 1:
            where += f" of data set {number}"
        one = self.datasets[number]
        system, tensors = one.sample(position, length_unit)
        targets = partial(of_tensors, system, tensors, one.infos)
        return GivenStructure(f"{where} ({self.name} set)", system, targets)

    def limited(self, count: int | None, seed: int) -> "StructureSet":
        """Some of the structures, at random.

        :param count: how many, None for all
        :param seed: of the choice
        :return: this set, or a smaller one
        """
        if count is None or count >= len(self):
            return self
        picked = np.random.default_rng(seed).permutation(len(self))[:count]
        return StructureSet(self.name, self.datasets, self.chosen[np.sort(picked)])


@dataclass(frozen=True)
class Sections:
    """Data sets of an options file, checked by metatrain.

    :param training_set: in any form that metatrain takes
    :param validation_set: a share of the training set, indices, or a section
    :param test_set: a share, or a section, which is never looked at
    :param seed: of the split
    """

    training_set: Any
    validation_set: Any
    test_set: Any = 0.0
    seed: int = 0


def read_sets(sections: Sections) -> tuple[StructureSet, StructureSet]:
    """Read training and validation set.

    :param sections: of the options file
    :raises ValueError: if a section cannot be read, or if a set is empty
    :return: training and validation set
    """
    with _seeded(sections.seed):
        train, held_out = _split(sections)
    for source in (train, held_out):
        if not len(source):
            raise ValueError(
                f"the {source.name} set is empty: make {source.name}_set larger"
            )
    return train, held_out


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The random state in which ``mtt train`` splits, for a while."""
    states = np.random.get_state(), random.getstate()  # noqa: NPY002 (metatrain's)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])


def _split(sections: Sections) -> tuple[StructureSet, StructureSet]:
    datasets, section = open_sets(sections.training_set, "training_set")
    _check_agreement(datasets)
    chosen = _all_of(datasets)
    validation, test = sections.validation_set, sections.test_set
    share, rest = 0.0, 1.0
    if isinstance(validation, int | float):
        share = float(validation)
        rest -= share
        chosen, held_out = _divide(chosen, rest, share)
        kept = StructureSet("validation", datasets, held_out)
    else:
        kept = _named(validation, datasets, section)
    if isinstance(test, int | float) and test > 0:
        chosen, _ = _divide(chosen, rest - float(test), float(test))
    return StructureSet("training", datasets, chosen), kept


def _check_agreement(datasets: list[DataSet]) -> None:
    """Data sets mean the same by a target."""
    known: dict[str, Any] = {}
    for number, one in enumerate(datasets):
        for name, info in one.infos.items():
            if known.setdefault(name, info) != info:
                raise ValueError(
                    f"the target '{name}' differs between training_set[0] and "
                    f"training_set[{number}]: write the same type, unit and sample_kind"
                )


def _named(validation: Any, datasets: list[DataSet], section: Any) -> StructureSet:
    """A validation set that is no share of the training set."""
    if OmegaConf.is_dict(validation) and "systems" not in validation:
        if len(datasets) > 1:
            raise ValueError(
                "validation_set has indices alone, which do not name structures of "
                "several data sets: write it with systems and targets"
            )
        size = len(datasets[0].data)
        indices = read_indices(validation["indices"], size, "validation_set")
        return StructureSet("validation", datasets, _pairs(0, indices))
    found, completed = open_sets(validation, "validation_set")
    if len(found) != len(datasets):
        raise ValueError(
            f"validation_set has {len(found)} data sets and training_set {len(datasets)}: "
            "give as many"
        )
    try:
        check_units(actual_options=completed, desired_options=section)
    except ValueError as error:
        raise ValueError(f"validation_set and training_set: {reason(error)}") from error
    return StructureSet("validation", found, _all_of(found))


def _all_of(datasets: list[DataSet]) -> np.ndarray:
    """Every structure of some data sets."""
    return np.concatenate([_pairs(n, one.indices) for n, one in enumerate(datasets)])


def _pairs(number: int, indices: Sequence[int]) -> np.ndarray:
    """Structures of one data set: 16 bytes for each, where tuples would take 100."""
    pairs = np.full((len(indices), 2), number, dtype=np.int64)
    pairs[:, 1] = indices
    return pairs


def _divide(
    chosen: np.ndarray, train_share: float, other_share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Split each data set with metatrain's own function, which draws from numpy."""
    from metatrain.utils.data.dataset import _train_test_random_split

    if train_share <= 0:
        raise ValueError(
            "validation_set and test_set leave nothing of the training set: make them "
            "smaller, below 1 together"
        )
    kept, others = [chosen[:0]], [chosen[:0]]
    for number in np.unique(chosen[:, 0]):
        part: Any = chosen[chosen[:, 0] == number]
        with warnings.catch_warnings():
            # an empty set is an error here
            warnings.simplefilter("ignore", UserWarning)
            first, second = _train_test_random_split(part, train_share, other_share)
        kept.append(part[np.array(first.indices, dtype=int)])
        others.append(part[np.array(second.indices, dtype=int)])
    return np.concatenate(kept), np.concatenate(others)
