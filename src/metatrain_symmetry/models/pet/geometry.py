"""Rotated copies of one structure, as the batches that PET evaluates."""

from collections.abc import Mapping
from typing import Any

import torch
from metatensor.torch import TensorBlock
from metatomic.torch import System, register_autograd_neighbors
from metatrain.pet import PET

from ..engine import Block
from ..gradients import forces_and_stress, gradient_of
from .structure import Batch, PETStructure


# sizes of chunks whose index tensors are kept: the usual one, and the last one
_KEPT_TILES = 3
# tensors of a batch that are the same for all copies
_SAME = (
    "element_indices_nodes",
    "element_indices_neighbors",
    "edge_distances",
    "padding_mask",
    "cutoff_factors",
    "charge",
    "spin_multiplicity",
)


class Geometry:
    """Positions, cells and structures of rotated copies, differentiable if need be.

    Gradients are taken before the rotation, where all copies are the same, so that
    rounding cannot give them different edges.

    :param structure: prepared by :class:`PETEngine`
    :param n: number of copies
    :param rotations: ``(n, 3, 3)``, in the dtype of the model
    :param grad: whether gradients are wanted
    """

    def __init__(
        self, structure: PETStructure, n: int, rotations: torch.Tensor, grad: bool
    ) -> None:
        self.structure, self.n, self.rotations, self.grad = structure, n, rotations, grad
        system = structure.system
        self.positions = system.positions.expand(n, -1, -1)
        self.strains = torch.eye(3).to(system.positions).expand(n, 3, 3)
        if grad:
            self.positions = self.positions.clone().requires_grad_(True)
            self.strains = self.strains.clone().requires_grad_(True)

    def batch(self, model: PET) -> Batch:
        """Batch of rotated copies.

        :param model: PET, or what inherits from it
        :return: what its ``preprocess`` returns, with edge vectors rotated
        """
        structure, n = self.structure, self.n
        tiles = structure.tiles
        if n not in tiles:
            while len(tiles) >= _KEPT_TILES:
                tiles.pop(next(iter(tiles)))
            tiles[n] = tile(structure.batch, n, structure.n_atoms)
        batch = dict(tiles[n])
        if self.grad:
            width = model.cutoff_width_adaptive
            batch |= model.backend.preprocess(*self.arrays(), width)
        vectors = batch["edge_vectors"]
        shape = (n, -1, 3) if vectors.numel() else (n, 0, 3)
        rotated = vectors.reshape(shape) @ self.rotations.transpose(1, 2)
        batch["edge_vectors"] = rotated.reshape(vectors.shape)
        return batch

    def arrays(self) -> tuple[torch.Tensor, ...]:
        """What ``preprocess`` needs, for unrotated copies."""
        _, centers, neighbors, species, _, shifts, _, _ = self.structure.arrays
        n, atoms = self.n, self.structure.n_atoms
        positions = (self.positions @ self.strains).flatten(0, 1)
        cells = self.structure.system.cell @ self.strains
        indices = torch.arange(n, device=positions.device).repeat_interleave(atoms)
        return (
            positions,
            _offset(centers, n, atoms),
            _offset(neighbors, n, atoms),
            species.repeat(n),
            cells,
            shifts.repeat(n, 1),
            indices,
        )

    def cells(self) -> torch.Tensor:
        """Cells of the rotated copies, ``(n, 3, 3)``."""
        return self.structure.system.cell @ self.rotations.transpose(1, 2)

    def systems(self, options: Any) -> list[System]:
        """Rotated copies with the neighbour list of PET."""
        system = self.structure.system
        block = system.get_neighbor_list(options)
        turn = self.strains @ self.rotations.transpose(1, 2)
        copies = []
        for index in range(self.n):
            rotated = System(
                types=system.types,
                positions=self.positions[index] @ turn[index],
                cell=system.cell @ turn[index],
                pbc=system.pbc,
            )
            vectors = block.values.detach()[..., 0] @ turn[index].detach()
            neighbors = TensorBlock(
                vectors[..., None], block.samples, block.components, block.properties
            )
            if self.grad:
                register_autograd_neighbors(rotated, neighbors)
            rotated.add_neighbor_list(options, neighbors)
            copies.append(rotated)
        return copies

    def differentiate(
        self, energy: torch.Tensor, kinds: Mapping[str, list[Block]]
    ) -> dict[Block, torch.Tensor]:
        """Forces and stresses, in the frame of the rotated copies."""
        forces, strain = gradient_of(energy, [self.positions, self.strains])
        turn = self.rotations
        gradients = {
            "positions": torch.einsum("nij,najp->naip", turn, forces).flatten(0, 1),
            "strain": torch.einsum("nij,njkp,nlk->nilp", turn, strain, turn),
        }
        return forces_and_stress(kinds, gradients, self.n, self.structure.volume)


def _offset(indices: torch.Tensor, n: int, step: int) -> torch.Tensor:
    """Copies of indices, each copy ``step`` further."""
    offsets = torch.arange(n, device=indices.device, dtype=indices.dtype) * step
    offsets = offsets.reshape(-1, *[1] * indices.ndim)
    return (indices[None] + offsets).flatten(0, 1)


def tile(batch: Batch, n: int, atoms: int) -> Batch:
    """Copies of an unrotated batch.

    :param batch: of one structure, as PET's ``preprocess`` returns it
    :param n: number of copies
    :param atoms: of the structure
    :return: a batch of all copies
    """
    slots = batch["edge_vectors"].shape[1]
    tiled = {
        name: batch[name].repeat(n, *[1] * (batch[name].ndim - 1))
        for name in (*_SAME, "edge_vectors", "nef_to_edges_neighbor")
        if name in batch
    }
    # PET indexes the edges of a batch with atoms and slots flattened into one axis
    tiled["reverse_neighbor_index"] = _offset(
        batch["reverse_neighbor_index"], n, atoms * slots
    )
    tiled["centers"] = _offset(batch["centers"], n, atoms)
    tiled["system_indices"] = _offset(batch["system_indices"], n, 1)
    return tiled
