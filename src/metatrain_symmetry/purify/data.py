"""The data set of an options file, split as ``mtt train`` splits it.

With the options file, seed and numbers of structures of a training, the validation set is
the same as there. ``test_set`` is never looked at.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from metatomic.torch import System
from omegaconf import OmegaConf


Infos = Mapping[str, Any]


class Source:
    """A set of structures, read when they are asked for.

    :param name: how messages call it
    :param datasets: of metatrain
    :param infos: for each data set metatrain's ``TargetInfo`` of its targets
    :param chosen: data set and index of each structure
    """

    def __init__(
        self,
        name: str,
        datasets: list[Any],
        infos: list[Infos],
        chosen: list[tuple[int, int]],
    ) -> None:
        self.name, self.datasets, self.infos, self.chosen = name, datasets, infos, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def targets(self) -> set[str]:
        """Names of the targets that some structures have."""
        return {name for number, _ in self.chosen for name in self.infos[number]}

    def get(self, index: int) -> tuple[str, System, dict[str, Any], Infos]:
        """Read a structure.

        :param index: in this set
        :return: how messages call it, the structure, its targets, what they are
        """
        number, position = self.chosen[index]
        sample, infos = self.datasets[number][position], self.infos[number]
        where = f"structure {position}"
        if len(self.datasets) > 1:
            where += f" of data set {number}"
        tensors = {name: getattr(sample, name) for name in infos}
        return f"{where} ({self.name} set)", sample.system, tensors, infos

    def limited(self, count: int | None, seed: int) -> "Source":
        """Some of the structures, at random.

        :param count: how many, None for all
        :param seed: of the choice
        :return: this set, or a smaller one
        """
        if count is None or count >= len(self):
            return self
        picked = np.random.default_rng(seed).permutation(len(self))[:count]
        chosen = [self.chosen[i] for i in sorted(picked)]
        return Source(self.name, self.datasets, self.infos, chosen)


def read_sets(options: Mapping[str, Any]) -> tuple[Source, Source]:
    """Read training and validation set.

    :param options: complete, see :func:`~metatrain_symmetry.purify.options.read_options`
    :raises ValueError: if a section cannot be read, or if a set is empty
    :return: training and validation set
    """
    with _seeded(options["seed"]):
        try:
            train, held_out = _split(options)
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"the data set cannot be read: {reason}") from error
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


def _split(options: Mapping[str, Any]) -> tuple[Source, Source]:
    datasets, infos, chosen = _open(options["training_set"], "training")
    full = [len(dataset) for dataset in datasets]
    validation, test = options["validation_set"], options["test_set"]
    share, rest = 0.0, 1.0
    if isinstance(validation, int | float):
        share = float(validation)
        rest -= share
        chosen, held_out = _divide(chosen, rest, share)
        kept = Source("validation", datasets, infos, held_out)
    elif OmegaConf.is_dict(validation) and _only_indices(validation):
        if len(datasets) > 1:
            raise ValueError("indices alone do not name structures of several data sets")
        held_out = [(0, i) for i in _indices(validation["indices"], full[0])]
        kept = Source("validation", datasets, infos, held_out)
    else:
        kept = Source("validation", *_open(validation, "validation"))
    if isinstance(test, int | float) and test > 0:
        chosen, _ = _divide(chosen, rest - float(test), float(test))
    return Source("training", datasets, infos, chosen), kept


def _divide(
    chosen: list[tuple[int, int]], train_share: float, other_share: float
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Split each data set with metatrain's own function, which draws from numpy."""
    from metatrain.utils.data.dataset import _train_test_random_split

    kept: list[tuple[int, int]] = []
    others: list[tuple[int, int]] = []
    for number in sorted({number for number, _ in chosen}):
        part: Any = [pair for pair in chosen if pair[0] == number]
        first, second = _train_test_random_split(part, train_share, other_share)
        kept += [part[i] for i in first.indices]
        others += [part[i] for i in second.indices]
    return kept, others


def _open(section: Any, name: str) -> tuple[list[Any], list[Infos], list[tuple[int, int]]]:
    """Open the data sets of a section."""
    from metatrain.utils.data import get_dataset
    from metatrain.utils.omegaconf import check_dataset_options, expand_dataset_config

    parts = expand_dataset_config(section)
    check_dataset_options(parts)
    datasets, infos, chosen = [], [], []
    for number, part in enumerate(parts):
        if "systems" not in part or "targets" not in part:
            raise ValueError(f"{name}_set needs 'systems' and 'targets'")
        dataset, known, _ = get_dataset(part)
        indices = range(len(dataset))
        if "indices" in part:
            indices = _indices(part["indices"], len(dataset))
        datasets.append(dataset)
        infos.append(known)
        chosen += [(number, int(i)) for i in indices]
    return datasets, infos, chosen


def _only_indices(section: Any) -> bool:
    return "indices" in section and "systems" not in section


def _indices(given: Any, size: int) -> Any:
    """Indices of a list or file, checked."""
    from metatrain.utils.data import load_indices

    found = load_indices(given)
    if found and max(found) >= size:
        raise ValueError(f"there is no structure {max(found)} among {size}")
    return found
