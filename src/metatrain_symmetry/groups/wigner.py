r"""Wigner matrices: small d for the fast transform, real D for representations.

``d^λ(β) = exp(-i β J_y)`` through the eigenvectors of ``J_y``, accurate to rounding for
every degree used here (recursions in λ are not). The real matrices come from metatomic's
public :class:`metatomic.torch.o3.O3Transformations`.
"""

from functools import lru_cache

import numpy as np
import torch
from metatomic.torch.o3 import O3Transformations
from numpy.typing import NDArray

from .irreps import Irrep


@lru_cache(maxsize=256)
def _rotation_generator(o3_lambda: int) -> tuple[NDArray, NDArray]:
    """Eigenvalues and eigenvectors of ``J_y`` in the basis ``m = -λ ... λ``."""
    m = np.arange(-o3_lambda, o3_lambda)
    raising = np.sqrt(o3_lambda * (o3_lambda + 1) - m * (m + 1))
    j_plus = np.diag(raising, k=-1).astype(complex)
    values, vectors = np.linalg.eigh((j_plus - j_plus.T) / 2j)
    return np.round(values), vectors


def small_d(o3_lambda: int, beta: NDArray) -> NDArray:
    """Compute Wigner's small d matrices.

    :param o3_lambda: degree
    :param beta: angles in radians, shape ``(n,)``
    :return: ``d^λ_mn(β)``, float64, shape ``(n, 2 λ + 1, 2 λ + 1)``, m and n from -λ to λ
    """
    values, vectors = _rotation_generator(o3_lambda)
    phases = np.exp(-1j * np.multiply.outer(beta, values))
    return ((vectors * phases[:, None, :]) @ vectors.conj().T).real


def representation(irrep: Irrep, matrices: torch.Tensor) -> torch.Tensor:
    """Compute the real orthogonal matrices by which an irrep of O(3) transforms.

    Restricted to a finite subgroup they represent it too, perhaps reducibly.

    :param irrep: the irrep
    :param matrices: elements of O(3), float64, shape ``(n, 3, 3)``
    :return: shape ``(n, 2 λ + 1, 2 λ + 1)``, components ordered ``o3_mu = -λ ... λ``
    """
    determinants = torch.linalg.det(matrices)
    signs = torch.where(determinants > 0, 1.0, float(irrep.parity))
    if irrep.o3_lambda == 0:
        return signs.reshape(-1, 1, 1).to(matrices)
    if irrep.o3_lambda == 1:  # (y, z, x)
        proper = matrices * determinants.sign().reshape(-1, 1, 1)
        rotated = proper.roll(-1, dims=1).roll(-1, dims=2)
    else:
        rotated = _wigner(irrep.o3_lambda, matrices)
    return rotated * signs.reshape(-1, 1, 1).to(matrices)


def _wigner(o3_lambda: int, matrices: torch.Tensor) -> torch.Tensor:
    """Real Wigner matrices of the proper part of each element."""
    transformations = O3Transformations(matrices.to("cpu"), o3_lambda)
    return transformations.wigner_D_matrices(o3_lambda).to(matrices)
