"""Structures on their way into a model: neighbour lists, rotated and strained copies."""

from collections.abc import Sequence

import metatensor.torch as mts
import torch
from metatomic.torch import NeighborListOptions, System, register_autograd_neighbors
from metatomic.torch.o3 import O3Transformations
from metatrain.utils.neighbor_lists import get_system_with_neighbor_lists


# Å between the atoms of a made-up structure
TRIAL_SPACING = 2.0

TRIAL_SIZES = ((5, 4), (7, 4))
"""Atoms of the structures of two made-up batches."""


def copy_system(system: System) -> System:
    """Copy of a structure that can be given more neighbour lists.

    :param system: is left as it is
    :return: without gradients
    """
    copy = System(
        types=system.types,
        positions=system.positions.detach(),
        cell=system.cell.detach(),
        pbc=system.pbc,
    )
    for options in system.known_neighbor_lists():
        copy.add_neighbor_list(options, mts.detach_block(system.get_neighbor_list(options)))
    for name in system.known_data():
        copy.add_data(name, system.get_data(name))
    return copy


def with_neighbors(
    system: System,
    requests: list[NeighborListOptions],
    dtype: torch.dtype,
    device: torch.device,
) -> System:
    """Copy of a structure with the neighbour lists that a model asks for.

    :param system: is left as it is
    :param requests: of the model; lists that are there already are kept
    :param dtype: of the model; the lists are made before the cast
    :param device: of the model
    :return: the copy
    """
    copy = get_system_with_neighbor_lists(copy_system(system), requests)
    return copy.to(dtype=dtype, device=device)


def volume(system: System) -> float:
    """Volume of the cell.

    :param system: any structure
    :return: in Å³, zero unless periodic in three dimensions
    """
    if not bool(system.pbc.all()):
        return 0.0
    return float(torch.linalg.det(system.cell.detach().double()).abs())


def _degree(system: System) -> int:
    """Largest degree among the data that a structure carries."""
    degrees = [1]
    for name in system.known_data():
        keys = system.get_data(name).keys
        if "o3_lambda" in keys.names:
            degrees.append(int(keys.column("o3_lambda").max()))
    return max(degrees)


def rotate(system: System, matrices: torch.Tensor) -> list[System]:
    """Rotated copies, with cell, neighbour lists and data.

    :param system: structure
    :param matrices: ``(n, 3, 3)``, proper or improper
    :return: ``n`` structures
    """
    matrices = matrices.to(system.positions)
    copies = O3Transformations(matrices, _degree(system))
    return copies.transform_systems([system] * len(matrices))


def differentiable(system: System) -> tuple[System, torch.Tensor, torch.Tensor]:
    """Copy of a structure whose energy can be differentiated.

    :param system: structure with neighbour lists
    :return: the copy, its positions, and the strain (the identity) that acts on positions
        and cell from the right
    """
    positions = system.positions.detach().clone().requires_grad_(True)
    strain = torch.eye(3, dtype=positions.dtype, device=positions.device)
    strain.requires_grad_(True)
    copy = System(
        types=system.types,
        positions=positions @ strain,
        cell=system.cell.detach() @ strain,
        pbc=system.pbc,
    )
    for options in system.known_neighbor_lists():
        neighbors = mts.detach_block(system.get_neighbor_list(options))
        register_autograd_neighbors(copy, neighbors)
        copy.add_neighbor_list(options, neighbors)
    for name in system.known_data():
        copy.add_data(name, system.get_data(name))
    return copy, positions, strain


def trial_system(types: list[int]) -> System:
    """Make up a structure, to see which blocks a model returns.

    :param types: atomic types that the model knows
    :return: a zigzag of one atom of each type in a large periodic cell
    """
    index = torch.arange(len(types), dtype=torch.float64)
    positions = torch.stack([index, index % 2, 0 * index], 1) * TRIAL_SPACING
    edge = TRIAL_SPACING * (len(types) + 5)
    return System(
        types=torch.tensor(types, dtype=torch.int32),
        positions=positions,
        cell=torch.eye(3, dtype=torch.float64) * edge,
        pbc=torch.ones(3, dtype=torch.bool),
    )


def trial_batch(types: list[int], sizes: Sequence[int], spread: float) -> list[System]:
    """Make up structures, to see which modules return features of atoms.

    :param types: atomic types that the model knows
    :param sizes: number of atoms of each
    :param spread: factor of all positions
    :return: zigzags in large periodic cells, with as many types as there is room for
    """
    made = []
    for size in sizes:
        repeated = (types * size)[:size]
        system = trial_system(repeated)
        made.append(
            System(system.types, system.positions * spread, system.cell, system.pbc)
        )
    return made
