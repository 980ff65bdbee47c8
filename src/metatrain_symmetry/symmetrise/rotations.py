"""Rotated copies of ``ase.Atoms``, and answers that are rotated back."""

from typing import Any

import ase
import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress


INVARIANT = ("energy", "free_energy", "energies", "charges", "magmoms")
"""Properties that a rotation leaves as they are."""

VECTORS = ("forces", "dipole")


def rotated(atoms: ase.Atoms, matrix: np.ndarray) -> ase.Atoms:
    """A rotated copy, without constraints and calculator.

    An improper matrix makes a left-handed cell. Its vectors are then reversed, which is the
    same lattice: many calculators take right-handed cells only.

    :param atoms: any structure
    :param matrix: orthogonal, shape ``(3, 3)``
    :return: the copy, with rotated positions, cell, momenta and magnetic moments
    """
    copy = atoms.copy()
    copy.set_constraint()
    copy.positions = copy.positions @ matrix.T
    cell = copy.cell.array @ matrix.T
    copy.cell[:] = -cell if np.linalg.det(cell) < 0 else cell
    if "momenta" in copy.arrays:
        copy.arrays["momenta"] = copy.arrays["momenta"] @ matrix.T
    moments = copy.arrays.get("initial_magmoms")
    if moments is not None and moments.ndim == 2:
        axial = np.linalg.det(matrix) * matrix
        copy.arrays["initial_magmoms"] = moments @ axial.T
    return copy


def rotated_back(name: str, values: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Rotate answers on rotated copies back to the structure as it is.

    :param name: of the property, as ASE calls it
    :param values: answers, shape ``(n, ...)``; of a stress ``(n, 6)`` or ``(n, 3, 3)``
    :param matrices: that rotated the copies, shape ``(n, 3, 3)``
    :return: the same shape, a stress in Voigt's order
    """
    if name in INVARIANT:
        return values
    if name in VECTORS:
        rows = values.reshape(len(values), -1, 3)
        return np.matmul(rows, matrices).reshape(values.shape)
    full = voigt_6_to_full_3x3_stress(values) if values.ndim == 2 else values
    return voigt(matrices.transpose(0, 2, 1) @ full @ matrices)


def voigt(stress: np.ndarray) -> np.ndarray:
    """Stress in Voigt's order.

    :param stress: shape ``(..., 3, 3)``, of which the symmetric part counts
    :return: shape ``(..., 6)``
    """
    # older releases of ASE read one triangle only
    symmetric = (stress + np.swapaxes(stress, -1, -2)) / 2
    return np.asarray(full_3x3_to_voigt_6_stress(symmetric))


def full(stress: Any) -> np.ndarray:
    """Stress as a matrix.

    :param stress: shape ``(6,)`` or ``(3, 3)``
    :return: shape ``(3, 3)``
    """
    values = np.asarray(stress, dtype=np.float64)
    return values if values.shape == (3, 3) else voigt_6_to_full_3x3_stress(values)
