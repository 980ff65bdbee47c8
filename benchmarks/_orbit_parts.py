"""What the benchmark of orbits compares: model, structures, floor, ours and peer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase
import ase.build
import ase.io
import numpy as np
import torch
from metatomic.torch import ModelOutput, System, systems_to_torch
from metatomic.torch.o3 import SymmetrizedModel
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

from metatrain_symmetry.groups import O3Grid
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.models import Engine, Prepared, sweep
from metatrain_symmetry.models.sweep import chunk_size


DATA = Path(__file__).parent.parent / "data" / "xtb_molecules.xyz"
MEMORY = 2**31
PROBES = [
    *(
        f"gnn_layers.{i}{part}"
        for i in (0, 1)
        for part in (".edge_embedder", ".compress", "_node", "_edge")
    ),
    *("node_backbone.0", "edge_backbone.0"),
    *("node_heads.energy.0", "edge_heads.energy.0"),
    *(
        f"gnn_layers.{i}.trans.layers.{j}_{part}"
        for i in (0, 1)
        for j in (0, 1)
        for part in ("node", "edge")
    ),
    *("combination_mlps.0", "combination_mlps.1", "combination_norms.0"),
    *("gnn_layers.0.compress.0", "gnn_layers.1.compress.0"),
]


def build(dtype: torch.dtype, device: str = "cpu") -> PET:
    """Untrained PET of the default size, but for d_pet: 64 instead of 128."""
    target = get_energy_target_info("energy", {"quantity": "energy", "unit": "eV"})
    info = DatasetInfo("Angstrom", [1, 6, 7, 8, 12], {"energy": target})
    torch.manual_seed(0)
    hypers = get_default_hypers("pet")["model"] | {"d_pet": 64, "d_node": 256}
    return PET(hypers, info).to(device=device, dtype=dtype).eval()


def ethanol(seed: int = 1) -> ase.Atoms:
    """A rattled molecule of 9 atoms."""
    atoms = ase.build.molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=seed)
    return atoms


def cluster() -> ase.Atoms:
    """Eleven rattled ethanol molecules, 99 atoms, on a grid of 4.5 Å."""
    atoms = ase.Atoms()
    for i in range(11):
        part = ethanol(i)
        part.translate(4.5 * np.array([i % 3, i // 3 % 2, i // 6]))
        atoms += part
    return atoms


def to_system(atoms: ase.Atoms, model: PET, dtype: torch.dtype) -> System:
    """Structure with the neighbour list of a model."""
    system = systems_to_torch(atoms, dtype=torch.float64).to(dtype)
    return get_system_with_neighbor_lists(system, get_requested_neighbor_lists(model))


def ours(engine: Engine, structure: Prepared, degree: int, probes: list[str]) -> None:
    """Exact grid, with layers."""
    grid = O3Grid(degree, degree // 2)
    measure_structure(
        engine, structure, grid, [], probes, equivariance=False, memory=MEMORY
    )


def floor(engine: Engine, structure: Prepared, degree: int, probes: list[str]) -> None:
    """Backend alone, in the chunks that ``ours`` takes."""
    chunk = chunk_size(engine, structure, probes, MEMORY)
    budget = chunk * engine.bytes_per_rotation(structure, [])
    matrices = O3Grid(degree, 0).matrices
    for _ in sweep(engine, structure, matrices, [], [], budget):
        pass


def peer_model(model: PET, lambda_max: int) -> Any:
    """Wrap a model for the peer."""
    return SymmetrizedModel(
        model, max_angular_momentum_target=0, max_angular_momentum_character=lambda_max
    )


def peer(wrapped: Any, system: System, probes: list[str]) -> None:
    """Character projections of the peer."""
    prefix = "o3::character_projection::mtt::feature::"
    outputs = {prefix + p: ModelOutput(sample_kind="atom") for p in probes}
    with torch.no_grad():
        wrapped([system], outputs, None)


def coefficient_bytes(
    engine: Engine, structure: Prepared, probes: list[str], lambda_max: int
) -> int:
    """Memory of all coefficients of both cosets, in bytes."""
    values = engine.evaluate(structure, torch.eye(3, dtype=torch.float64)[None], [], probes)
    channels = sum(part[0].numel() for part in values.layers.values())
    per_channel = sum((2 * l + 1) ** 2 for l in range(lambda_max + 1))
    return 2 * channels * per_channel * engine.dtype.itemsize


def distinct(engine: Engine, structure: Prepared, probes: list[str]) -> int:
    """Number of probes that are a tensor of their own; we resolve only these."""
    values = engine.evaluate(structure, torch.eye(3, dtype=torch.float64)[None], [], probes)
    return len({id(part) for part in values.layers.values()})
