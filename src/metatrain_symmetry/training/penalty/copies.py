"""Batches of a few structures, each in several random orientations."""

from typing import Any

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import System
from metatomic.torch.o3 import O3Transformations, random_transformations
from metatrain.utils.augmentation import O3Augmenter, _tensor_system_ids

from .schedule import Schedule


ROTATIONS = "mtt::symmetry_rotations"
"""Extra data of a batch: the matrix of each copy, of one structure next to each other."""

Tensors = dict[str, TensorMap]


class CopyingAugmenter(O3Augmenter):
    """metatrain's augmentation, of several copies of each structure.

    :param schedule: says how many
    :param arguments: of metatrain's class
    """

    def __init__(self, schedule: Schedule, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.schedule = schedule

    def apply_random_augmentations(
        self, systems: list[System], targets: Tensors, extra_data: Tensors | None = None
    ) -> tuple[list[System], Tensors, Tensors]:
        """Copy and rotate a batch.

        :param systems: its structures
        :param targets: their targets
        :param extra_data: what else belongs to them
        :return: the same, ``copies`` times as many structures, copies of one next to each
            other; extra data hold the matrices under :data:`ROTATIONS`
        """
        count = self.schedule.copies
        if count == 1:
            return super().apply_random_augmentations(systems, targets, extra_data)
        size = len(systems)
        systems = [system for system in systems for _ in range(count)]
        targets = {name: repeated(one, size, count) for name, one in targets.items()}
        extra_data = extra_data or {}
        extra_data = {name: repeated(one, size, count) for name, one in extra_data.items()}
        rotations = random_transformations(
            len(systems),
            self._max_angular_momentum,
            device=torch.device("cpu"),
            dtype=systems[0].positions.dtype,
            add_inversions=True,
        )
        systems, targets, extra_data = self._apply(
            systems, targets, rotations, extra_data=extra_data
        )
        extra_data[ROTATIONS] = _packed(rotations.matrices)
        return systems, targets, extra_data


def repeated(tensor: TensorMap, size: int, count: int) -> TensorMap:
    """Repeat the rows of every structure of a batch.

    :param tensor: of a batch, with a sample dimension ``system``
    :param size: structures in the batch
    :param count: copies of each
    :return: copy ``k`` of the ``p``-th structure is system ``p * count + k``; rows are
        sorted by system, and keep their order otherwise
    """
    ids = _tensor_system_ids(tensor, size)
    blocks = []
    for block in tensor.blocks():
        position = _positions(block.samples.column("system"), ids)
        origin, system = _repeat(position, count)
        samples = _relabelled(block.samples, origin, system)
        new = TensorBlock(block.values[origin], samples, block.components, block.properties)
        for name, gradient in block.gradients():
            new.add_gradient(name, _repeated_gradient(gradient, position, count))
        blocks.append(new)
    return TensorMap(tensor.keys, blocks)


def _positions(column: torch.Tensor, ids: torch.Tensor | None) -> torch.Tensor:
    """Where in the batch the structure of each row stands."""
    column = column.to(torch.long)
    if ids is None:
        return column
    ids = ids.to(torch.long)
    place = torch.full((int(ids.max()) + 1,), -1, dtype=torch.long)
    place[ids] = torch.arange(len(ids))
    return place[column]


def _repeat(position: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows that are taken, and their new systems."""
    origin = torch.arange(len(position)).repeat(count)
    copy = torch.arange(count).repeat_interleave(len(position))
    system = position[origin] * count + copy
    order = torch.argsort(system, stable=True)
    return origin[order], system[order]


def _relabelled(samples: Labels, origin: torch.Tensor, system: torch.Tensor) -> Labels:
    values = samples.values[origin].clone()
    values[:, samples.names.index("system")] = system.to(values.dtype)
    return Labels(samples.names, values)


def _repeated_gradient(
    gradient: TensorBlock, position: torch.Tensor, count: int
) -> TensorBlock:
    """Repeat a gradient as the rows that it belongs to."""
    parents, systems = _repeat(position, count)
    # for each copy of a row, its place among the repeated rows
    place = torch.empty(count, len(position), dtype=torch.long)
    place[systems % count, parents] = torch.arange(len(parents))
    parent = gradient.samples.column("sample").to(torch.long)
    origin = torch.arange(len(parent)).repeat(count)
    sample = torch.cat([place[k][parent] for k in range(count)])
    order = torch.argsort(sample, stable=True)
    origin, sample = origin[order], sample[order]
    values = gradient.samples.values[origin].clone()
    names = gradient.samples.names
    values[:, names.index("sample")] = sample.to(values.dtype)
    if "system" in names:
        values[:, names.index("system")] = systems[sample].to(values.dtype)
    return TensorBlock(
        gradient.values[origin],
        Labels(names, values),
        gradient.components,
        gradient.properties,
    )


def _packed(matrices: torch.Tensor) -> TensorMap:
    """Matrices ``(n, 3, 3)`` as a TensorMap, which a batch can carry."""
    axis = torch.arange(3, dtype=torch.int32)[:, None]
    rows = torch.arange(len(matrices), dtype=torch.int32)[:, None]
    block = TensorBlock(
        matrices, Labels("system", rows), [Labels("row", axis)], Labels("column", axis)
    )
    return TensorMap(Labels("_", torch.zeros(1, 1, dtype=torch.int32)), [block])


def rotations_of(extra_data: Tensors | None, o3_lambda: int) -> O3Transformations | None:
    """The rotations of a batch.

    :param extra_data: of the batch
    :param o3_lambda: largest one of the targets
    :return: one for each structure; None if the batch has no copies
    """
    packed = (extra_data or {}).get(ROTATIONS)
    if packed is None:
        return None
    return O3Transformations(packed.block(0).values, o3_lambda)
