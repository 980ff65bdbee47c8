r"""Resolves few elements by irrep, through the Gram matrix of their values.

For weights w and the kernel ``d_α χ_α`` of an irrep,

.. math::

    p_\alpha = d_\alpha \sum_{ij} w_i w_j\, \chi_\alpha(g_i^{-1} g_j)\,
        h(g_i x) \cdot h(g_j x).

Over a finite group these are the powers; for other points of O(3) see
:mod:`metatrain_symmetry.groups.mixing`.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from .base import Powers


class WithKernels(Protocol):
    """An orbit that knows the kernels of its irreps."""

    matrices: torch.Tensor
    weights: torch.Tensor

    @property
    def irreps(self) -> tuple[Any, ...]:
        """What is resolved."""

    def kernels(self) -> torch.Tensor:
        """``d_α χ_α`` of each pair of elements, float64, ``(n_irreps, n, n)``."""


class GramTransform:
    """Keeps the values of every element, then contracts their Gram matrix.

    :param orbit: the orbit whose values come
    :param widths: number of channels of each slice
    :param device: where they are kept
    """

    def __init__(
        self, orbit: WithKernels, widths: Sequence[int], device: torch.device
    ) -> None:
        self.orbit = orbit
        n = len(orbit.matrices)
        self.values = [
            torch.empty(n, width, dtype=torch.float64, device=device) for width in widths
        ]
        self.taken = 0

    def add(self, values: Sequence[torch.Tensor]) -> None:
        """Take the next elements.

        :param values: for each slice, shape ``(n, channels)``
        """
        count = len(values[0])
        for kept, piece in zip(self.values, values, strict=True):
            kept[self.taken : self.taken + count] = piece
        self.taken += count

    def finish(self) -> list[Powers]:
        """Resolve each slice by irrep.

        :raises RuntimeError: if elements are missing
        :return: for each slice one replicate
        """
        n = len(self.orbit.matrices)
        if self.taken != n:
            raise RuntimeError(f"only {self.taken} of {n} elements were added")
        weights = self.orbit.weights
        kernels = self.orbit.kernels() * weights[:, None] * weights
        results = []
        for values in self.values:
            gram = (values @ values.T).cpu()
            powers = (kernels * gram).sum(dim=(1, 2))
            norm2 = weights @ gram.diagonal()
            results.append(Powers(self.orbit.irreps, powers[None], norm2[None]))
        return results
