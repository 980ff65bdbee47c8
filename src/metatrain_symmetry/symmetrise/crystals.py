"""Space groups of crystals and slabs, from spglib."""

import warnings
from typing import Any, NamedTuple

import ase
import numpy as np
import spglib
from scipy.spatial import cKDTree

from ..messages import reason


VACUUM = 10.0
"""Å of vacuum in directions that are not periodic, for the search only."""


class Found(NamedTuple):
    """What a search finds, as in ``Symmetry``."""

    name: str
    rotations: np.ndarray
    permutations: np.ndarray
    offsets: np.ndarray
    classes: np.ndarray
    lattice: np.ndarray


def box(atoms: ase.Atoms) -> np.ndarray:
    """Periodic lattice vectors, and unit vectors that are perpendicular to them.

    :param atoms: with at least one periodic direction
    :raises ValueError: if a periodic direction has no lattice vector
    :return: rows, shape ``(3, 3)``
    """
    basis = atoms.cell.array.copy()
    periodic = basis[atoms.pbc]
    if np.linalg.matrix_rank(periodic) < len(periodic):
        raise ValueError(
            "a periodic direction has no lattice vector of its own: give the structure a "
            "cell, or set pbc"
        )
    if len(periodic) < 3:
        basis[~atoms.pbc] = np.linalg.svd(periodic)[2][len(periodic) :]
    return basis


def space_group(atoms: ase.Atoms, kinds: np.ndarray, symprec: float) -> Found:
    """Find the operations of a structure with periodic directions.

    They are those of the primitive cell: a supercell need not have the rotations of its
    crystal.

    :param atoms: the structure
    :param kinds: int, which atoms are alike, shape ``(atoms,)``
    :param symprec: tolerance in Å
    :raises ValueError: if spglib fails
    :return: name, and operations in units of the primitive lattice vectors
    """
    extents = _extents(atoms)
    basis = box(atoms) * extents[:, None]
    centred = atoms.positions - atoms.positions.mean(axis=0)
    data = _dataset(basis, centred, kinds, symprec)
    cells = np.round(basis @ np.linalg.inv(data.primitive_lattice))
    primitive = np.linalg.solve(cells, basis)
    _, first, classes = np.unique(
        data.mapping_to_primitive, return_index=True, return_inverse=True
    )
    numbers = kinds[first]
    data = _dataset(primitive, centred[first], numbers, symprec)
    places = centred[first] @ np.linalg.inv(primitive)
    targets, offsets = _targets(places, numbers, data)
    lattice = np.linalg.inv(cells) * extents
    rotations = data.rotations.astype(float)
    return Found(data.international, rotations, targets, offsets, classes, lattice)


def _extents(atoms: ase.Atoms) -> np.ndarray:
    """By how much the vectors of the box are stretched: vacuum where it ends."""
    extents = np.ones(3)
    if not atoms.pbc.all():
        basis = box(atoms)
        longest = np.linalg.norm(basis[atoms.pbc], axis=1).max()
        heights = (atoms.positions @ np.linalg.inv(basis))[:, ~atoms.pbc]
        # longer than any lattice vector: no operation exchanges the two
        extents[~atoms.pbc] = 2 * np.ptp(heights) + 2.5 * longest + VACUUM
    return extents


def _dataset(
    basis: np.ndarray, positions: np.ndarray, numbers: np.ndarray, symprec: float
) -> Any:
    places, why = positions @ np.linalg.inv(basis), "none found"
    with warnings.catch_warnings():
        # how spglib reports errors is changing from None to exceptions
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            cell: Any = (basis, places, numbers)
            data = spglib.get_symmetry_dataset(cell, symprec=symprec)
        except Exception as error:
            data, why = None, reason(error)
    if data is None:
        raise ValueError(
            f"spglib finds no space group at symprec={symprec:g} ({why}): check that no "
            "two atoms are closer than that, or choose another symprec"
        )
    return data


def _targets(
    places: np.ndarray, numbers: np.ndarray, data: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Which atom each goes to, and what to add; exact, whatever the noise of places."""
    tree = cKDTree(_wrapped(places), boxsize=1)
    targets, offsets = [], []
    for rotation, shift in zip(data.rotations, data.translations, strict=True):
        images = places @ rotation.T + shift
        target = tree.query(_wrapped(images))[1]
        if len(set(target)) < len(target) or (numbers[target] != numbers).any():
            raise ValueError(
                "two atoms go to the same place under an operation that spglib finds: "
                "choose a smaller symprec"
            )
        whole = np.round(places[target] - images)
        # the mean of all atoms stays where it is, which fixes the translation
        offsets.append(whole - whole.mean(axis=0))
        targets.append(target)
    return np.array(targets), np.array(offsets)


def _wrapped(places: np.ndarray) -> np.ndarray:
    inside = places % 1.0
    return np.where(inside >= 1.0, 0.0, inside)
