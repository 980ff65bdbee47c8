r"""What a set of points folds back: known exactly in a random frame.

Take points ``g_i`` of O(3) with weights ``w_i`` in a random frame, that is
``h_i = h(l g_i r x)`` with random rotations l and r, and project as a quadrature would:

.. math::

    p_\alpha = d_\alpha \sum_{ij} w_i w_j\, \chi_\alpha(g_i g_j^{-1})\,
        h_i \cdot h_j.

The mean over r leaves ``E_r h_i . h_j = Σ_β tr(Γ_β D_β(l g_i g_j⁻¹ l⁻¹))`` with the left
Gram matrices Γ of the coefficients, that over l a class function,
``Σ_β B_β χ_β(g_i g_j⁻¹) / d_β``. So ``E p = M B`` exactly, with

.. math::

    M_{\alpha\beta} = \frac{d_\alpha}{d_\beta} \sum_{ij} w_i w_j\,
        \chi_\alpha(g_i g_j^{-1})\, \chi_\beta(g_i g_j^{-1}).

A rule of degree t has ``M_αβ = δ_αβ`` where ``λ_α + λ_β <= t``.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from .irreps import Irrep
from .product_rule import ProductRule


DIGITS = 9
"""Traces that agree to this number of decimals belong to one class."""

ROUNDING = 1e-7
"""Entries of M below this are zero: those that are not are above a thousandth."""


def characters(irreps: Sequence[Any], traces: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Characters of irreps of O(3).

    :param irreps: the irreps, of O(3) or of SO(3)
    :param traces: trace of the proper part of each element, ``1 + 2 cos θ``, ``(n,)``
    :param signs: determinant of each element, 1 or -1, ``(n,)``
    :return: float64, shape ``(n_irreps, n)``
    """
    degree = max((irrep.o3_lambda for irrep in irreps), default=0)
    # χ_{λ+1} = 2 cos θ χ_λ - χ_{λ-1}: a polynomial in the trace, stable for |2 cos θ| <= 2
    rows = [np.ones_like(traces), traces]
    for _ in range(degree - 1):
        rows.append((traces - 1) * rows[-1] - rows[-2])
    return np.stack(
        [rows[irrep.o3_lambda] * np.where(signs > 0, 1.0, irrep.parity) for irrep in irreps]
    )


def pair_traces(matrices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes of ``g_i g_j⁻¹``.

    :param matrices: elements of O(3), float64, shape ``(n, 3, 3)``
    :return: trace of the proper part, and determinant, each ``(n, n)``
    """
    signs = torch.linalg.det(matrices).sign()
    proper = (matrices * signs[:, None, None]).flatten(1)
    return proper @ proper.T, signs[:, None] * signs


def mixing(orbit: Any, rows: Sequence[Irrep], columns: Sequence[Irrep]) -> torch.Tensor:
    """Compute how the powers of irreps mix in the projections on a set of points.

    The frame of the orbit does not matter.

    :param orbit: with ``matrices`` and ``weights``
    :param rows: irreps α that are projected on
    :param columns: irreps β that the values may hold
    :return: M, float64, shape ``(n_rows, n_columns)``
    """
    if isinstance(orbit, ProductRule):
        classes = _classes_of_rule(orbit.degree, orbit.improper)
    else:
        classes = _classes(orbit.matrices, orbit.weights)
    traces, signs, weights = classes
    left = characters(rows, traces, signs) * weights
    right = characters(columns, traces, signs)
    sizes = np.array([irrep.dimension for irrep in rows])[:, None]
    found = sizes * (left @ right.T) / [irrep.dimension for irrep in columns]
    # what rounding leaves would count, multiplied by the largest powers
    found[abs(found) < ROUNDING] = 0.0
    return torch.from_numpy(found)


Classes = tuple[np.ndarray, np.ndarray, np.ndarray]


@lru_cache(maxsize=32)
def _classes_of_rule(degree: int, improper: bool) -> Classes:
    """Classes of a product rule: of its proper coset, then of both."""
    rule = ProductRule(degree, 0, improper=False)
    traces, signs, weights = _classes(rule.matrices, rule.weights)
    if not improper:
        return traces, signs, weights
    both = np.concatenate([signs, -signs])
    return np.tile(traces, 2), both, np.tile(weights / 2, 2)


def _classes(matrices: torch.Tensor, weights: torch.Tensor) -> Classes:
    """Distinct classes of all pairs of elements, and the weight of each."""
    rounded, masses = [], []
    step = max(1, 2_000_000 // len(matrices))
    signs = torch.linalg.det(matrices).sign()
    proper = (matrices * signs[:, None, None]).flatten(1)
    for start in range(0, len(matrices), step):
        part = slice(start, start + step)
        traces = (proper[part] @ proper.T).round(decimals=DIGITS)
        # the determinant goes along as an offset no trace can reach
        keys = traces + 10 * (signs[part, None] * signs)
        found, inverse = np.unique(keys.numpy(), return_inverse=True)
        mass = (weights[part, None] * weights).numpy().ravel()
        rounded.append(found)
        masses.append(np.bincount(inverse.ravel(), mass, minlength=len(found)))
    keys, inverse = np.unique(np.concatenate(rounded), return_inverse=True)
    total = np.bincount(inverse.ravel(), np.concatenate(masses), minlength=len(keys))
    determinants = np.sign(keys)
    return keys - 10 * determinants, determinants, total
