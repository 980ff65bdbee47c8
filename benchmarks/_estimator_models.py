"""Models and structures on which the error bars are compared with exact grids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.build
import ase.io
import numpy as np
import torch
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info, get_generic_target_info
from omegaconf import OmegaConf

from metatrain_symmetry.data import read_systems
from metatrain_symmetry.models import Engine, Prepared, open_engine
from metatrain_symmetry.pet_ssh import PetSSH


DATA = Path(__file__).parents[1] / "data" / "xtb_molecules.xyz"
PROBES = ("EE", "BBF", "LLF")
CRYSTALS = (
    ("NaCl", "rocksalt", 5.64), ("MgO", "rocksalt", 4.21), ("Si", "diamond", 5.43),
    ("Al", "fcc", 4.05), ("GaAs", "zincblende", 5.65), ("CsCl", "cesiumchloride", 4.12),
    ("Cu", "fcc", 3.61), ("Fe", "bcc", 2.87),
)  # fmt: skip


def molecules(count: int, seed: int = 3) -> list[ase.Atoms]:
    """Conformers of the quickstart's data set."""
    frames = ase.io.read(DATA, ":")
    chosen = np.random.default_rng(seed).permutation(len(frames))[:count]
    return [frames[i] for i in chosen]


def solids(count: int) -> list[ase.Atoms]:
    """Rattled cubic cells of two to eight atoms."""
    frames = []
    for i in range(count):
        name, structure, length = CRYSTALS[i % len(CRYSTALS)]
        cubic = structure not in ("cesiumchloride", "bcc")
        atoms = ase.build.bulk(name, structure, a=length, cubic=cubic or structure == "bcc")
        atoms.rattle(0.02 + 0.02 * (i // len(CRYSTALS)), seed=i)
        frames.append(atoms)
    return frames


def untrained(numbers: list[int], l_max: int) -> PetSSH:
    """A small network with random weights, energy and direct forces."""
    torch.manual_seed(0)
    hypers: Any = get_default_hypers("pet_ssh")["model"]
    sizes = {"d_pet": 32, "d_head": 32, "d_node": 64, "d_feedforward": 64, "num_heads": 4}
    hypers |= {**sizes, "num_attention_layers": 1, "cutoff": 4.5}
    hypers["geometry_embedding"]["l_max"] = l_max
    force = {
        "quantity": "", "unit": "eV/A", "sample_kind": "atom", "num_subtargets": 1,
        "type": {"cartesian": {"rank": 1}}, "description": "",
    }  # fmt: skip
    targets = {
        "energy": get_energy_target_info(
            "energy", {"unit": "eV"}, add_position_gradients=True
        ),
        "non_conservative_force": get_generic_target_info(
            "non_conservative_force", OmegaConf.create(force)
        ),
    }
    return PetSSH(hypers, DatasetInfo("angstrom", sorted(set(numbers)), targets)).eval()


def of_checkpoint(path: Path, frames: list[ase.Atoms]) -> tuple[Engine, list[Prepared]]:
    """Engine and structures of a trained model."""
    engine = open_engine(path, None, PROBES)
    return engine, [engine.prepare(s) for _, s in read_systems(frames, engine)]


def of_random(frames: list[ase.Atoms], l_max: int) -> tuple[Engine, list[Prepared]]:
    """Engine and structures of an untrained model."""
    numbers = [int(n) for atoms in frames for n in atoms.numbers]
    engine = open_engine(untrained(numbers, l_max), None, PROBES)
    return engine, [engine.prepare(s) for _, s in read_systems(frames, engine)]
