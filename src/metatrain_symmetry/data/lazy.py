"""Structures that are prepared when they are asked for: a budget may not reach them all."""

from collections.abc import Sequence
from typing import Any, overload

from ..models.engine import Engine
from .labelled import LabelledStructure, Targets


class LazyStructures(Sequence[LabelledStructure]):
    """Prepares structures when they are asked for, and keeps them.

    :param engine: that prepares them
    :param systems: the structures, or clouds of points
    :param names: how messages call them
    :param targets: for each what is known of it; None if nothing is
    """

    def __init__(
        self,
        engine: Engine,
        systems: Sequence[Any],
        names: Sequence[str],
        targets: Sequence[Targets] | None = None,
    ) -> None:
        self.engine, self.systems, self.names = engine, systems, names
        self.targets = targets
        self.sizes = [len(system) for system in systems]
        self._prepared: dict[int, LabelledStructure] = {}

    def __len__(self) -> int:
        return len(self.systems)

    @overload
    def __getitem__(self, index: int) -> LabelledStructure: ...

    @overload
    def __getitem__(self, index: slice) -> list[LabelledStructure]: ...

    def __getitem__(
        self, index: int | slice
    ) -> LabelledStructure | list[LabelledStructure]:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there is no structure {index} among {len(self)}")
        index %= len(self)
        if index not in self._prepared:
            structure = self.engine.prepare(self.systems[index], self.names[index])
            known = {} if self.targets is None else self.targets[index]
            self._prepared[index] = LabelledStructure(structure, known)
        return self._prepared[index]
