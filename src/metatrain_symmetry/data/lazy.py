"""Structures that are prepared when they are asked for: a budget may not reach them all."""

from collections.abc import Sequence
from typing import overload

from metatomic.torch import System

from ..models.engine import Engine, Prepared


class LazyStructures(Sequence[Prepared]):
    """Prepares structures when they are asked for, and keeps them.

    :param engine: that prepares them
    :param systems: the structures
    :param names: how messages call them
    """

    def __init__(
        self, engine: Engine, systems: Sequence[System], names: Sequence[str]
    ) -> None:
        self.engine, self.systems, self.names = engine, systems, names
        self.sizes = [len(system) for system in systems]
        self._prepared: dict[int, Prepared] = {}

    def __len__(self) -> int:
        return len(self.systems)

    @overload
    def __getitem__(self, index: int) -> Prepared: ...

    @overload
    def __getitem__(self, index: slice) -> list[Prepared]: ...

    def __getitem__(self, index: int | slice) -> Prepared | list[Prepared]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no structure {index} among {len(self)}")
        index %= len(self)
        if index not in self._prepared:
            self._prepared[index] = self.engine.prepare(
                self.systems[index], self.names[index]
            )
        return self._prepared[index]
