"""A made-up batch, to see what layers of a PET backend return, and a made-up crystal."""

from typing import Any

import torch
from metatomic.torch import System


_SLOTS = {1: "node", 2: "edge", 3: "tokens"}


def trial_batch(backend: Any) -> dict[str, torch.Tensor]:
    """Made-up batch of three atoms with two edges each.

    :param backend: PET's backend
    :return: what its ``preprocess`` returns, as far as the layers need it
    """
    weight = next(backend.parameters())
    device, dtype = weight.device, weight.dtype
    species = torch.zeros(3, dtype=torch.long, device=device)
    vectors = torch.linspace(-1, 1, 18, dtype=dtype, device=device).reshape(3, 2, 3)
    return {
        "element_indices_nodes": species,
        "element_indices_neighbors": species[:, None].repeat(1, 2),
        "edge_vectors": vectors,
        "edge_distances": vectors.norm(dim=-1),
        "padding_mask": torch.ones(3, 2, dtype=torch.bool, device=device),
        "reverse_neighbor_index": torch.arange(6, device=device).reshape(3, 2),
        "cutoff_factors": torch.ones(3, 2, dtype=dtype, device=device),
        "charge": species[:1],
        "spin_multiplicity": species[:1] + 1,
        "system_indices": species,
    }


def run_backend(
    backend: Any, batch: dict[str, torch.Tensor], cells: torch.Tensor, names: list[str]
) -> dict[str, list[torch.Tensor]]:
    """Features and predictions of a batch, without long-range features.

    :param backend: PET's backend
    :param batch: as of ``preprocess``
    :param cells: ``(systems, 3, 3)``
    :param names: targets
    :return: for each target its blocks, per atom
    """
    nodes, edges = backend.calculate_features(batch, capture_diagnostics=True)
    indices = batch["system_indices"]
    return backend.predict(nodes, edges, batch, cells, indices, names)[0]


def kind_of(output: Any) -> tuple[str, int]:
    """What an output of the trial holds.

    Three atoms have one token, two edges or three tokens each: no two can be mistaken.

    :param output: what a layer returned
    :return: ``node``, ``edge``, ``tokens`` or ``other``, and the number of channels
    """
    if not isinstance(output, torch.Tensor) or output.shape[:1] != (3,):
        return "other", 0
    if output.ndim == 2:
        return "node", output.shape[-1]
    if output.ndim == 3:
        return _SLOTS.get(output.shape[1], "other"), output.shape[-1]
    return "other", 0


def trial_crystal(model: Any) -> System:
    """Made-up crystal of eight atoms with about 18 neighbours each.

    :param model: PET
    :return: the structure, in the unit of length of the model, in float64
    """
    width = 0.6 * float(model.requested_nl.cutoff)
    corners = torch.cartesian_prod(*[torch.arange(2, dtype=torch.float64)] * 3)
    shifts = torch.linspace(-0.1, 0.1, 24, dtype=torch.float64).reshape(8, 3)
    types = model.dataset_info.atomic_types
    return System(
        types=torch.tensor([types[index % len(types)] for index in range(8)]),
        positions=width * (corners + shifts.roll(1, 1)),
        cell=2 * width * torch.eye(3, dtype=torch.float64),
        pbc=torch.ones(3, dtype=torch.bool),
    )
