"""Structures that are prepared when they are asked for: a budget may not reach them all."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import overload

from ..models.engine import Engine
from .given import GivenStructures
from .labelled import LabelledStructure


KEPT = 16
"""Structures that stay prepared: neighbour lists, and copies of them for a batch."""


class LazyStructures(Sequence[LabelledStructure]):
    """Reads and prepares structures when they are asked for, and keeps the latest.

    :param engine: that prepares them
    :param given: the structures, or clouds of points
    :param labels: whether their targets are wanted
    :param kept: how many stay prepared, at most
    """

    def __init__(
        self, engine: Engine, given: GivenStructures, labels: bool = True, kept: int = KEPT
    ) -> None:
        self.engine, self.given, self.labels, self.kept = engine, given, labels, kept
        self.sizes = [given.size(index) for index in range(len(given))]
        self._prepared: OrderedDict[int, LabelledStructure] = OrderedDict()

    def __len__(self) -> int:
        return len(self.given)

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
            one = self.given[index]
            known = one.targets(self.engine.blocks) if self.labels else {}
            structure = self.engine.prepare(one.system, one.name)
            self._prepared[index] = LabelledStructure(structure, known)
        self._prepared.move_to_end(index)
        if len(self._prepared) > self.kept:
            self._prepared.popitem(last=False)
        return self._prepared[index]
