"""Targets that stand in a structure of ASE: entries, arrays, results of a calculator."""

from typing import Any

import ase
import numpy as np
import torch

from ..groups import Irrep
from ..messages import quoted
from ..models.engine import Block
from ..models.irrep_blocks import split
from ..models.lengths import per_length
from .agreement import described


FORCES = ("non_conservative_force", "conservative_force", "forces")
STRESSES = ("non_conservative_stress", "conservative_stress", "stress")


def of_atoms(atoms: ase.Atoms, blocks: list[Block]) -> dict[Block, torch.Tensor]:
    """Take targets from where ASE keeps what a file says.

    Entries and per-atom arrays named like a target come first; energy, forces and stress
    of a calculation, which ASE keeps per Å, are what there is otherwise.

    :param atoms: a structure
    :param blocks: blocks that are wanted
    :raises ValueError: if what stands there is no number, infinite, or of another shape
    :return: ``(samples, 2 λ + 1, properties)``, float64, for those that are there
    """
    truth: dict[Block, torch.Tensor] = {}
    for target in dict.fromkeys(block.target for block in blocks):
        wanted = [b for b in blocks if b.target == target and not b.detail]
        value, key = _value(atoms, target, bool(wanted) and wanted[0].sample_kind == "atom")
        if value is None:
            continue
        values = _numbers(value, key)
        parts = _match(target, values, wanted, len(atoms))
        if wanted and not parts and not np.isnan(values).all():
            raise ValueError(_misfit(key, target, values, wanted, len(atoms)))
        # a length in the unit of the model, where that is not Å
        factor = per_length(wanted[0].unit) if wanted and key in _OF_ASE else 1.0
        truth |= {block: part * factor for block, part in parts.items()}
    return truth


_OF_ASE = ("forces", "stress")


def _value(atoms: ase.Atoms, target: str, atomic: bool) -> tuple[Any, str]:
    """What a structure says of a target, and under which name."""
    store = atoms.arrays if atomic else atoms.info
    if target in store:
        return store[target], target
    name = _CALCULATED.get(target, "")
    known = {} if atoms.calc is None else atoms.calc.results
    if known.get(name) is None:
        return store.get(name), name
    return (atoms.get_stress(voigt=False) if name == "stress" else known[name]), name


_CALCULATED = {
    "energy": "energy",
    "dipole": "dipole",
    **dict.fromkeys(FORCES, "forces"),
    **dict.fromkeys(STRESSES, "stress"),
}


def _numbers(value: Any, key: str) -> np.ndarray:
    """Labels as numbers; NaN stands for one that is missing."""
    try:
        values = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"'{key}' is not made of numbers but of {quoted(value)}: correct it, or "
            "take it out"
        ) from error
    if np.isinf(values).any():
        raise ValueError(
            f"'{key}' holds an infinite number: correct it, or write nan where a label is "
            "missing"
        )
    return values


def _misfit(
    key: str, target: str, values: np.ndarray, wanted: list[Block], n_atoms: int
) -> str:
    return (
        f"'{key}' has the shape {values.shape}, and the target '{target}' of the model is "
        f"{described(wanted)}, with {n_atoms} atoms: rename it if it is something else, "
        "or give an options file that says how to read it"
    )


def _match(
    target: str, value: np.ndarray, wanted: list[Block], n_atoms: int
) -> dict[Block, torch.Tensor]:
    """Split one value into the blocks of its target, if its shape allows."""
    if not wanted:
        return {}
    tensor = torch.from_numpy(value)
    atomic = wanted[0].sample_kind == "atom"
    rows = n_atoms if atomic else 1
    irreps = [block.irrep for block in wanted]
    parts: list[tuple[Irrep, str, torch.Tensor]] = []
    if target in STRESSES and value.size == 9:
        parts = split(target, {}, ["xyz_1", "xyz_2"], tensor.reshape(1, 3, 3, 1))
    elif irreps == [Irrep(1)] and value.size == 3 * rows:
        parts = split(target, {}, ["xyz"], tensor.reshape(rows, 3, 1))
    elif irreps == [Irrep(0)] and value.size and value.size % rows == 0:
        atoms_first = not atomic or len(np.atleast_1d(value)) == n_atoms
        parts = split(target, {}, [], tensor.reshape(rows, -1)) if atoms_first else []
    found = {irrep: part for irrep, _, part in parts}
    return {block: found[block.irrep] for block in wanted if block.irrep in found}
