"""How the raw predictions of PET become the blocks that it returns.

PET predicts dense blocks, atom by atom. It then multiplies them by scale factors, and of
a target in an atomic basis it keeps the entries that each type of atom has. Both depend
on the structure only, not on its orientation.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import System
from metatrain.pet import PET
from metatrain.utils.data.atomic_basis_helpers import sparsify_atomic_basis_target

from ..irrep_blocks import key_values


@dataclass(frozen=True)
class Place:
    """Where a returned block stands among the dense ones.

    :param dense: index of the dense block
    :param atoms: its atoms, None for all
    :param properties: its properties, None for all
    :param key: names and values of the returned block's key
    :param components: names of its component axes
    """

    dense: int
    atoms: torch.Tensor | None
    properties: torch.Tensor | None
    key: dict[str, int]
    components: list[str]

    def take(self, values: list[torch.Tensor]) -> torch.Tensor:
        """Entries of the returned block.

        :param values: dense blocks, ``(n, atoms, *components, properties)``
        :return: a part of one of them
        """
        part = values[self.dense]
        if self.atoms is None:
            return part
        return part[:, self.atoms][..., self.properties]


def scale_factors(
    model: PET, targets: Iterable[str], system: System, samples: Labels
) -> dict[str, list[torch.Tensor]]:
    """Factors of the raw predictions.

    :param model: PET, or what inherits from it
    :param targets: names of targets
    :param system: structure
    :param samples: its atoms, as PET labels them
    :return: for each target and dense block ``(atoms, *components, properties)``
    """
    ones = {}
    for target in targets:
        shapes = model.output_shapes[target].values()
        values = [system.positions.new_ones(len(system), *shape) for shape in shapes]
        ones[target] = _dense(model, target, samples, values)
    # a copy, since applying scales casts them in place
    scaled = copy.deepcopy(model.scaler).apply_scales([system], ones)
    return {
        target: [block.values for block in tensor.blocks()]
        for target, tensor in scaled.items()
    }


def find_places(
    model: PET, targets: Iterable[str], system: System, samples: Labels
) -> dict[str, list[Place]]:
    """Where to find the blocks that PET returns.

    :param model: PET, or what inherits from it
    :param targets: names of targets
    :param system: structure
    :param samples: its atoms, as PET labels them
    :return: for each target one place per returned block
    """
    places = {}
    for target in targets:
        info = model.dataset_info.targets[target]
        if info.is_atomic_basis:
            places[target] = _sparse_places(model, target, info, system, samples)
            continue
        keys, components = model.key_labels[target], model.component_labels[target]
        places[target] = [
            Place(
                index, None, None, key_values(key), [n for axis in axes for n in axis.names]
            )
            for index, (key, axes) in enumerate(zip(keys, components, strict=True))
        ]
    return places


def _sparse_places(
    model: PET, target: str, info: Any, system: System, samples: Labels
) -> list[Place]:
    """Where metatrain puts the entries of an atomic basis, seen on numbered ones."""
    shapes = list(model.output_shapes[target].values())
    width, atoms = max(shape[-1] for shape in shapes), len(system)
    values = []
    for index, shape in enumerate(shapes):
        first = torch.arange(index * atoms, (index + 1) * atoms, dtype=torch.float64)
        numbers = first[:, None] * width + torch.arange(shape[-1])
        wide = numbers.reshape(atoms, *[1] * (len(shape) - 1), shape[-1])
        values.append(wide.expand(atoms, *shape).contiguous().to(system.device))
    dense = _dense(model, target, samples, values)
    sparse = sparsify_atomic_basis_target([system], dense, info.layout, system.types)
    found = []
    for key, block in sparse.items():
        if block.values.numel():
            numbers = block.values[:, 0].long()
            rows, columns = numbers[:, 0] // width, numbers[0] % width
            names = [name for axis in block.components for name in axis.names]
            index = int(rows[0]) // atoms
            found.append(Place(index, rows % atoms, columns, key_values(key), names))
    return found


def _dense(
    model: PET, target: str, samples: Labels, values: list[torch.Tensor]
) -> TensorMap:
    """Values of the dense blocks of a target, labelled as PET labels them."""
    components, properties = model.component_labels[target], model.property_labels[target]
    blocks = [
        TensorBlock(
            part, samples, [axis.to(part.device) for axis in axes], last.to(part.device)
        )
        for part, axes, last in zip(values, components, properties, strict=True)
    ]
    return TensorMap(model.key_labels[target].to(values[0].device), blocks)
