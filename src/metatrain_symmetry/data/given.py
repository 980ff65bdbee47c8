"""A structure as it was read, before an engine prepares it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import torch
from metatomic.torch import System

from ..models.engine import Block, Engine
from .labelled import LabelledStructure, labelled


@dataclass
class GivenStructure:
    """A structure and its targets, in the unit of length of a model.

    :param name: how messages call it
    :param system: the structure
    :param targets: for blocks that are wanted the targets that there are, composition
        included, ``(samples, 2 λ + 1, properties)``
    """

    name: str
    system: System
    targets: Callable[[list[Block]], dict[Block, torch.Tensor]]

    def labelled(self, engine: Engine) -> LabelledStructure:
        """Prepare the structure, and take composition off its targets.

        :param engine: what evaluates the model
        :return: for measurements again and again
        """
        prepared = engine.prepare(self.system, self.name)
        return labelled(engine, prepared, self.targets(engine.blocks))


class GivenStructures(Sequence[GivenStructure]):
    """Structures that are read when they are asked for, and are not kept.

    :param count: how many there are
    :param read: reads one, by its number
    :param size: says how many atoms or points one has
    :param chosen: numbers of those that are taken; None for all

    >>> from metatrain_symmetry.data.given import GivenStructures
    >>> squares = GivenStructures(10, lambda i: i**2, lambda i: 1)
    >>> list(squares.some(3, seed=0)), squares.some(3, seed=0).size(0)
    ([25, 36, 81], 1)
    """

    def __init__(
        self,
        count: int,
        read: Callable[[int], GivenStructure],
        size: Callable[[int], int],
        chosen: Sequence[int] | None = None,
    ) -> None:
        self._count, self._read, self._size = count, read, size
        self._chosen: Sequence[int] = range(count) if chosen is None else chosen

    def __len__(self) -> int:
        return len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> GivenStructure: ...

    @overload
    def __getitem__(self, index: slice) -> "GivenStructures": ...

    def __getitem__(self, index: int | slice) -> "GivenStructure | GivenStructures":
        if isinstance(index, slice):
            return self._of(self._chosen[index])
        return self._read(self._chosen[index])

    def size(self, index: int) -> int:
        """Number of atoms or points of a structure.

        :param index: of the structure
        """
        return self._size(self._chosen[index])

    def some(self, limit: int | None, seed: int) -> "GivenStructures":
        """Some of the structures, at random, in their order.

        :param limit: at most how many; None for all
        :param seed: of the choice
        :return: the same structures for the same seed
        """
        if limit is None or limit >= len(self):
            return self
        random = np.random.default_rng(seed)
        picked = np.sort(random.choice(len(self), limit, replace=False))
        return self._of([self._chosen[int(i)] for i in picked])

    def _of(self, chosen: Sequence[int]) -> "GivenStructures":
        return GivenStructures(self._count, self._read, self._size, chosen)
