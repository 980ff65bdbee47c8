"""Which structures make up a batch, with copies and without, at the same cost."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from .schedule import Schedule


class ThinnedBatches(Sampler[list[int]]):
    """metatrain's batches, each with as many structures as make room for their copies.

    :param batches: of one data set
    :param atoms: number of atoms of a structure; None unless batches are packed by atoms
    :param schedule: told the epoch; says how many copies
    :param seed: of the choice
    """

    def __init__(
        self,
        batches: Any,
        atoms: Callable[[int], int] | None,
        schedule: Schedule,
        seed: int = 0,
    ) -> None:
        self.batches, self.atoms, self.schedule = batches, atoms, schedule
        self.seed, self.epoch, self.next_epoch = seed, schedule.epoch, schedule.epoch

    def __len__(self) -> int:
        return len(self.batches)

    def begin(self) -> None:
        """Begin the next epoch."""
        self.schedule.epoch = self.epoch = self.next_epoch
        self.next_epoch += 1

    def __iter__(self) -> Iterator[list[int]]:
        # with workers, torch asks twice in an epoch: nothing may be counted here
        copies = self.schedule.copies
        if copies == 1:
            return iter(self.batches)
        random = np.random.default_rng([self.seed, self.epoch])
        return (self.thinned(batch, copies, random) for batch in self.batches)

    def thinned(
        self, batch: list[int], copies: int, random: np.random.Generator
    ) -> list[int]:
        """Some structures of a batch, whose copies cost what the batch would have cost.

        :param batch: indices
        :param copies: of each structure
        :param random: chooses
        :return: at least one of them
        """
        shuffled = [batch[i] for i in random.permutation(len(batch))]
        if self.atoms is None:
            return shuffled[: max(1, len(batch) // copies)]
        sizes = [self.atoms(i) for i in shuffled]
        room, taken = sum(sizes) // copies, []
        for index, size in zip(shuffled, sizes, strict=True):
            if size <= room:
                taken.append(index)
                room -= size
        return taken or [shuffled[int(np.argmin(sizes))]]


class ThinnedLoader(DataLoader):
    """Loads :class:`ThinnedBatches`; metatrain asks for an iterator once in each epoch."""

    def __iter__(self) -> Any:
        # before workers are started: what they make of a batch depends on the epoch
        assert isinstance(self.batch_sampler, ThinnedBatches)
        self.batch_sampler.begin()
        return super().__iter__()


class Switch:
    """Told every epoch by metatrain, as samplers of several processes are.

    :param begins: called with the number of an epoch, from 0, when it begins
    """

    def __init__(self, begins: Callable[[int], None]) -> None:
        self.begins = begins

    def set_epoch(self, epoch: int) -> None:
        """Hand it on.

        :param epoch: that begins, from 0
        """
        self.begins(epoch)


def thinned_loaders(
    found: tuple[list[DataLoader], list[Any]],
    by_atoms: bool,
    schedule: Schedule,
    switch: Switch,
) -> tuple[list[DataLoader], list[Any]]:
    """Put :class:`ThinnedBatches` in place of the batches of metatrain's loaders.

    :param found: loaders, and what is told the epoch
    :param by_atoms: whether batches are packed by atoms
    :param schedule: shared with what makes the copies
    :param switch: told the epoch as well
    :return: the same, with other loaders
    """
    loaders, samplers = found
    seed = torch.initial_seed() % 2**32
    new: list[DataLoader] = []
    for loader in loaders:
        atoms = _counter(loader.dataset) if by_atoms else None
        batches = ThinnedBatches(loader.batch_sampler, atoms, schedule, seed)
        new.append(
            ThinnedLoader(
                loader.dataset,
                batch_sampler=batches,
                collate_fn=loader.collate_fn,
                num_workers=loader.num_workers,
                multiprocessing_context=loader.multiprocessing_context,
            )
        )
    return new, [*samplers, switch]


def _counter(dataset: Any) -> Callable[[int], int]:
    return lambda index: len(dataset[index]["system"])
