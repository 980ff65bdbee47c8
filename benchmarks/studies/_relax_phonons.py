"""Frequencies at Γ, and by how much those that symmetry makes equal are split."""

from __future__ import annotations

import warnings
from typing import Any

import ase
import numpy as np
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from metatrain_symmetry import Symmetry


DISTANCE = 0.01  # Å
CM = 33.35640952  # cm⁻¹ in a THz
SAME = 1e-4  # relative: eigenvalues that are equal but for rounding
TRANSLATIONS = 3


def frequencies(
    atoms: ase.Atoms, calculator: Any, elements: np.ndarray, reduced: bool
) -> dict[str, Any]:
    """Compute the modes at Γ with phonopy.

    :param atoms: relaxed primitive cell
    :param calculator: of ASE
    :param elements: of the group that the crystal began with, of :func:`operations`
    :param reduced: whether phonopy makes use of the symmetry that it finds (symprec 1e-5),
        as by default; otherwise all atoms are displaced along all directions
    :return: largest splitting of a degenerate mode in cm⁻¹, largest frequency, number of
        displaced structures
    """
    phonons = Phonopy(
        PhonopyAtoms(
            numbers=atoms.numbers, cell=atoms.cell.array, positions=atoms.positions
        ),
        np.eye(3, dtype=int),
        primitive_matrix=np.eye(3),
        is_symmetry=reduced,
        log_level=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        phonons.generate_displacements(distance=DISTANCE)
        displaced: Any = phonons.supercells_with_displacements
        phonons.forces = [_forces(cell, calculator) for cell in displaced]
        phonons.produce_force_constants()
        dynamical: Any = phonons.dynamical_matrix
        dynamical.run([0, 0, 0])
    matrix = np.real(dynamical.dynamical_matrix)
    factor = phonons.unit_conversion_factor * CM
    return {
        "splitting": splitting(matrix, elements, factor),
        "highest": float(_roots(np.linalg.eigvalsh(matrix), factor).max()),
        "structures": len(displaced),
    }


def _forces(cell: Any, calculator: Any) -> np.ndarray:
    atoms = ase.Atoms(cell.numbers, cell.positions, cell=cell.cell, pbc=True)
    atoms.calc = calculator
    forces = np.asarray(atoms.get_forces(), dtype=float)
    return forces - forces.mean(axis=0)


def operations(symmetry: Symmetry, atoms: ase.Atoms) -> np.ndarray:
    """How operations act on displacements of the atoms of a primitive cell.

    :param symmetry: of a structure with as many classes as atoms
    :param atoms: that has the symmetry exactly: its cell makes the matrices orthogonal
    :return: float64, shape ``(n, 3 * atoms, 3 * atoms)``
    """
    basis = symmetry.lattice @ atoms.cell.array
    inverse = np.linalg.inv(basis)
    size = len(atoms)
    found = np.zeros((len(symmetry), size, 3, size, 3))
    for index, (rotation, targets) in enumerate(
        zip(symmetry.rotations, symmetry.permutations, strict=True)
    ):
        matrix = basis.T @ rotation @ inverse.T
        for atom, target in enumerate(targets[symmetry.classes]):
            image = int(np.flatnonzero(symmetry.classes == target)[0])
            found[index, image, :, atom] = matrix
    return found.reshape(len(symmetry), 3 * size, 3 * size)


def splitting(matrix: np.ndarray, elements: np.ndarray, factor: float) -> float:
    """Largest splitting of modes that a group makes degenerate.

    The mean over the group has the degeneracies; within each of its degenerate spaces the
    matrix is diagonalised again.

    :param matrix: dynamical matrix at Γ, shape ``(n, n)``
    :param elements: of the group, shape ``(m, n, n)``
    :param factor: from the root of an eigenvalue to cm⁻¹
    :return: in cm⁻¹; 0 if nothing is degenerate
    """
    mean = np.einsum("gij,jk,glk->il", elements, matrix, elements) / len(elements)
    values, vectors = np.linalg.eigh((mean + mean.T) / 2)
    scale, start, most = SAME * np.abs(values).max(), 0, 0.0
    for end in range(1, len(values) + 1):
        if end < len(values) and values[end] - values[end - 1] < scale:
            continue
        space = vectors[:, start:end]
        # translations are zero, and not by symmetry of the crystal
        if np.abs(values[start:end]).max() > scale:
            found = _roots(np.linalg.eigvalsh(space.T @ matrix @ space), factor)
            most = max(most, float(np.ptp(found)))
        start = end
    return most


def _roots(values: np.ndarray, factor: float) -> np.ndarray:
    """Frequencies; imaginary ones are negative."""
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)) * factor)
