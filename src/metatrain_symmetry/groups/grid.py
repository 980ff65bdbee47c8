r"""The product grid on O(3) or SO(3), and its fast transform.

A Lebedev rule on the sphere (α, β) times ``K`` equispaced angles γ (the construction
of ``metatomic.torch.o3.SymmetrizedModel``). With both of degree t, products of Wigner
matrix elements of total degree t are integrated exactly, so coefficients up to
``λ = t / 2`` are those of an orthonormal system: ``Σ B <= <|h|²>``, with equality for a
function of that band.

The transform uses ``D^λ_mn = e^{-imα} d^λ_mn(β) e^{-inγ}``: a Fourier transform along γ,
one along the fourfold axis that every Lebedev rule has, then one product per frequency.
The coefficients of the two cosets {R} and {-R} combine into irreps of O(3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .base import PointSet, Powers, Transform, TransformedOrbit
from .fast_transform import FastTransform
from .folding import Folding
from .frames import Frame
from .narrow_transform import NarrowTransform
from .product_rule import ProductRule, rings


@dataclass(frozen=True)
class GridPoints(PointSet):
    """The grid of one degree: a point set.

    :param degree: integration degree t, 0 to 131
    :param improper: O(3) if true, SO(3) if false
    """

    degree: int
    improper: bool = True

    @property
    def size(self) -> int:
        """Number of elements."""
        nodes = sum(len(ring.alpha) for ring in rings(self.degree))
        return (1 + self.improper) * nodes * (self.degree + 1)

    @property
    def reach(self) -> int:
        """Circles look beyond its degree, at what it misses."""
        return self.degree + 2

    def orbit(self, limit: int, frame: Frame | None = None) -> "O3Grid":
        """Make the grid.

        :param limit: largest degree that is resolved, at most half of the grid's
        :param frame: in which the elements are taken
        :return: the orbit
        """
        return O3Grid(self.degree, min(limit, self.degree // 2), self.improper, frame)

    def __str__(self) -> str:
        return f"a grid of degree {self.degree}"


class GridTransform:
    """The transform of a grid: for values that are all float32 the one that is made for it.

    :param grid: the grid whose values come
    :param widths: number of channels of each slice
    :param device: where the sums live
    """

    def __init__(self, grid: "O3Grid", widths: Sequence[int], device: torch.device) -> None:
        self.grid, self.widths, self.device = grid, widths, device
        self.chosen: Transform | None = None

    def add(self, values: Sequence[torch.Tensor]) -> None:
        """Take the next elements.

        :param values: for each slice, shape ``(n, channels)``
        """
        if self.chosen is None:
            float32 = all(piece.dtype == torch.float32 for piece in values)
            self.chosen = self._choose(float32)
        self.chosen.add(values)

    def _choose(self, float32: bool) -> Transform:
        """A transform, of which the budget of memory knows only the other one.

        The narrow one works on blocks that fit the cache of a core: a GPU would wait for
        each of them.
        """
        fits = NarrowTransform.bytes_per_channel(self.grid) <= self.grid.bytes_per_channel()
        narrow = float32 and fits and self.device.type == "cpu"
        kind = NarrowTransform if narrow else FastTransform
        return kind(self.grid, self.widths, self.device)

    def finish(self) -> list[Powers]:
        """Resolve each slice by irrep.

        :raises RuntimeError: if elements are missing
        :return: for each slice one replicate
        """
        chosen = self._choose(False) if self.chosen is None else self.chosen
        return chosen.finish()


class O3Grid(Folding, ProductRule, TransformedOrbit):
    """Quadrature over O(3), or over SO(3): an orbit.

    :param degree: integration degree t, 0 to 131
    :param lambda_max: largest degree resolved, t // 2 at most and by default
    :param improper: O(3) if true, SO(3) if false
    :param frame: in which the elements are taken, None for that of the rule
    :raises ValueError: if the degree or ``lambda_max`` is out of range
    """

    transform_type = GridTransform
    kind = "grid"

    @property
    def points(self) -> GridPoints:
        """Which grid it is, whatever its frame."""
        return GridPoints(self.degree, self.improper)

    def bytes_per_channel(self) -> int:
        """Memory that a transform takes for each channel, in bytes."""
        n = self.lambda_max + 1
        coefficients = len(self.signs) * n * (4 * n * n - 1) // 3
        largest = max(sum(len(r.alpha) for r in batch) for batch in self.batches)
        return 8 * (coefficients + largest * (2 * self.lambda_max + 1))
