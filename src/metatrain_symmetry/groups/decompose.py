r"""Characters of a finite group, from its multiplication table alone.

The regular representation ``(L(g) v)(h) = v(g⁻¹ h)`` holds every irrep as often as it has
components. What commutes with it are the multiplications from the right: a random
Hermitian one,

.. math::

    H_{hk} = a(h^{-1} k), \qquad a(g^{-1}) = a(g)^*,

has one eigenspace of d dimensions for each copy of an irrep, almost surely. The traces of
L on it are the characters.
"""

import numpy as np
import torch


GAP = 1e-9
"""Eigenvalues that are closer than this, relative to the largest, belong together."""

ROUNDING = 1e-8
"""What characters may be wrong by; different ones differ by far more."""

TRIES = 8
"""Random matrices that are tried: two eigenvalues may be close by chance."""


def computed_characters(products: torch.Tensor) -> torch.Tensor:
    """Compute the characters of all irreps.

    :param products: index of ``g⁻¹ g'`` for each pair of elements of a group,
        shape ``(n, n)``
    :raises ValueError: if the table is not that of a group
    :return: float64, or complex128 if one is complex; ``(n_irreps, n)``, the trivial one
        first, then by ascending dimension
    """
    table = products.numpy()
    for seed in range(TRIES):
        found = _attempt(table, np.random.default_rng(seed))
        if found is not None:
            rows = torch.from_numpy(found)
            return rows.real.clone() if not rows.imag.any() else rows
    raise ValueError(
        "the matrices are no group: their products do not split into irreps, so look for "
        "an element that is missing"
    )


def _attempt(table: np.ndarray, random: np.random.Generator) -> np.ndarray | None:
    """Characters from one random matrix; None if its eigenvalues do not tell."""
    n = len(table)
    # a(h⁻¹ k), and its adjoint
    values = random.normal(size=n) + 1j * random.normal(size=n)
    matrix = values[table]
    levels, vectors = np.linalg.eigh((matrix + matrix.conj().T) / 2)
    cuts = np.flatnonzero(np.diff(levels) > GAP * np.abs(levels).max()) + 1
    rows: list[np.ndarray] = []
    for space in np.split(vectors, cuts, axis=1):
        row = _traces(space, table)
        if abs(np.vdot(row, row) / n - 1) > ROUNDING:
            return None  # two copies, or two irreps, in one
        if all(abs(np.vdot(row, other)) < n / 2 for other in rows):
            rows.append(row)
    sizes = [space.real.max() for space in rows]
    if round(sum(size**2 for size in sizes)) != n:
        return None
    return np.array(sorted((_tidy(row) for row in rows), key=_order))


def _traces(space: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Trace of every ``L(g)`` on an invariant subspace, shape ``(n,)``."""
    projector = space @ space.conj().T
    # L(g) has a one at (h, g⁻¹ h)
    rows = [projector[row, np.arange(len(table))].sum() for row in table]
    return np.array(rows)


def _tidy(row: np.ndarray) -> np.ndarray:
    """Without the rounding of what is real or an integer."""
    parts = []
    for part in (row.real, row.imag):
        near = part.round()
        parts.append(np.where(abs(part - near) < ROUNDING, near, part))
    return np.asarray(parts[0] + 1j * parts[1])


def _order(row: np.ndarray) -> tuple[object, ...]:
    """The trivial irrep, then by dimension, then real ones before complex ones."""
    trivial = bool(np.allclose(row, 1))
    return (not trivial, round(row.real.max()), bool(row.imag.any()), *(-row.real.round(6)))
