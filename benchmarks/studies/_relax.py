"""One relaxation, and what became of the symmetry."""

from __future__ import annotations

import time
import warnings
from typing import Any

import ase
import numpy as np
import spglib
from ase.build import minimize_rotation_and_translation
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS

from metatrain_symmetry import Symmetry, find_symmetry


FMAX = 1e-3  # eV/Å
STEPS = 300
TOLERANCES = (1e-5, 1e-2)  # symprec, Å
COLLAPSED = 0.5  # of the volume that it began with
BLOWN_UP = 2.0


def space_group(atoms: ase.Atoms, symprec: float) -> int | str:
    """Number of the space group from spglib, or symbol of the point group.

    :param atoms: a crystal or a molecule
    :param symprec: tolerance in Å
    """
    if not atoms.pbc.any():
        try:
            return find_symmetry(atoms, symprec).name
        except ValueError:  # at the edge of the tolerance
            return "none"
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = spglib.get_symmetry_dataset(cell, symprec=symprec)
    return "none" if found is None else int(found.number)


def fate(
    symmetry: Symmetry, before: ase.Atoms, atoms: ase.Atoms, group: int | str
) -> dict[str, Any]:
    """Compare a relaxed structure with the symmetry that it began with.

    :param symmetry: of the structure before
    :param before: the structure before
    :param atoms: after
    :param group: its space or point group before
    :return: for each tolerance the group, and ``kept``, ``lost`` (an operation is gone) or
        ``gained`` (another group that has all operations); the deviation in Å
    """
    deviation = symmetry.deviation(_turned_back(atoms, before))
    found: dict[str, Any] = {"deviation": deviation, "groups": {}, "fate": {}}
    for symprec in TOLERANCES:
        after = space_group(atoms, symprec)
        found["groups"][f"{symprec:g}"] = after
        other = "lost" if deviation > symprec else "gained"
        found["fate"][f"{symprec:g}"] = "kept" if after == group else other
    return found


def _turned_back(atoms: ase.Atoms, before: ase.Atoms) -> ase.Atoms:
    """Rotate a molecule to the orientation of before; lattice vectors need no rotation."""
    copy = atoms.copy()
    if not atoms.pbc.any():
        minimize_rotation_and_translation(before, copy)
    return copy


class Unphysical(Exception):
    """The structure collapsed or fell apart."""


def relax(
    atoms: ase.Atoms, calculator: Any, counter: Any, seconds: float
) -> dict[str, Any]:
    """Relax positions, and the cell of a crystal.

    :param atoms: symmetric structure, which is changed
    :param calculator: to use
    :param counter: has ``evaluations``
    :param seconds: processor time after which a relaxation ends
    :return: how it ended, steps, evaluations, energy in eV, and what became of the symmetry
    """
    symmetry, group = find_symmetry(atoms, 1e-6), space_group(atoms, 1e-6)
    before, counted = atoms.copy(), counter.evaluations
    atoms.calc = calculator
    calculator.reset()
    if hasattr(calculator, "symmetry"):
        calculator.symmetry = None
    start = time.process_time()
    moving: Any = FrechetCellFilter(atoms) if atoms.pbc.any() else atoms
    optimizer = BFGS(moving, logfile=None)
    end = "unconverged"
    try:
        for _ in optimizer.irun(fmax=FMAX, steps=STEPS):
            if time.process_time() - start > seconds:
                break
            _require_physical(atoms, before)
        else:
            end = "converged" if _converged(optimizer) else end
    except Unphysical:
        end = "unphysical"
    return {
        "end": end,
        "steps": optimizer.nsteps,
        "evaluations": counter.evaluations - counted,
        "energy": float(atoms.get_potential_energy()),
        "process_s": time.process_time() - start,
        **fate(symmetry, before, atoms, group),
    }


def _converged(optimizer: BFGS) -> bool:
    gradient = optimizer.optimizable.get_gradient()
    return bool(optimizer.converged(gradient))


def _require_physical(atoms: ase.Atoms, before: ase.Atoms) -> None:
    if atoms.pbc.any():
        ratio = atoms.get_volume() / before.get_volume()
        if not COLLAPSED < ratio < BLOWN_UP:
            raise Unphysical
    if not np.isfinite(atoms.positions).all():
        raise Unphysical
