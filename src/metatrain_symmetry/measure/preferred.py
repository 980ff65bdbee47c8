r"""Which directions of the laboratory a model prefers.

With ``ε(g) = ρ(g)⁻¹ f(g x)`` and its coefficients ``c_mn = (2λ+1) <D_mn(g) ε(g)>``, the
first index belongs to the laboratory, the second one to the structure. The Gram matrix

.. math:: Γ_{mm'} = \sum_n c_{mn} c_{m'n} / (2λ+1)

has the power of the irrep as its trace. A model without a preferred direction has a Γ that
is a multiple of the identity. The part of Γ that belongs to a direction u is
``Y(u)ᵀ Γ Y(u)``, Y being the component of the irrep that is symmetric about u.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ..groups import Irrep, representation
from .labels import BLOCK
from .statuses import ROUNDING


IRREPS = tuple(Irrep(degree, sigma) for degree in (1, 2) for sigma in (1, -1))
"""What the icosahedral group with inversion resolves."""

TINY = 1e-12
"""Deviations that are rounding in any unit and dtype."""

CANDIDATES = 4001
"""Directions that are tried, about a degree apart."""


@dataclass
class Preference:
    """Sums over structures, of one target.

    :param squares: of the deviations from the mean over orientations
    :param rounding: what rounding makes of them
    :param gram: Γ of each irrep, ``(2 λ + 1, 2 λ + 1)``
    """

    squares: float = 0.0
    rounding: float = 0.0
    gram: dict[Irrep, torch.Tensor] = field(default_factory=dict)

    def add(self, back: torch.Tensor, matrices: torch.Tensor, noise: float = 0.0) -> None:
        """Take the values of one block on one structure.

        :param back: rotated back, ``(n, ...)``, float64
        :param matrices: elements of an orbit that is exact to degree 5, ``(n, 3, 3)``
        :param noise: root mean square of rounding
        """
        spread = (back - back.mean(dim=0)).flatten(1)
        self.squares += float(spread.square().mean(dim=0).sum())
        self.rounding += max(ROUNDING * noise, TINY) ** 2 * spread.shape[1]
        for irrep in IRREPS:
            turn = representation(irrep, matrices)
            size = irrep.dimension
            found = size * torch.einsum("gmn,gk->mnk", turn, spread) / len(spread)
            gram = torch.einsum("mnk,lnk->ml", found, found) / size
            self.gram[irrep] = self.gram.get(irrep, 0.0) + gram

    def rows(self, target: str) -> list[dict[str, Any]]:
        """Say for each irrep which direction has the largest part.

        :param target: its name
        :return: ``target``, ``o3_lambda``, ``o3_sigma``, ``share`` (of A²), ``x``, ``y``,
            ``z`` (unit vector of the laboratory), ``along`` (share of the irrep that
            belongs to this direction), ``even`` (the same without a preference); nothing if
            all is rounding
        """
        found = []
        for irrep, gram in self.gram.items():
            power = float(gram.trace())
            if self.squares <= self.rounding or power <= 0:
                continue
            along, direction = _largest(irrep, gram / power)
            labels = dict(zip(BLOCK[2:], (irrep.o3_lambda, irrep.o3_sigma), strict=True))
            found.append({
                "target": target, **labels, "share": power / self.squares,
                **dict(zip("xyz", direction, strict=True)), "along": along,
                "even": 1 / irrep.dimension,
            })  # fmt: skip
        return found


def _largest(irrep: Irrep, gram: torch.Tensor) -> tuple[float, list[float]]:
    """Largest part of a Γ of trace one, and its direction."""
    if irrep.o3_lambda == 1:
        values, vectors = torch.linalg.eigh(gram)
        part, direction = float(values[-1]), vectors[[2, 0, 1], -1]
    else:
        directions = _directions()
        harmonics = _harmonics(directions)
        parts = torch.einsum("im,mn,in->i", harmonics, gram, harmonics)
        best = int(parts.argmax())
        part, direction = float(parts[best]), directions[best]
    # a direction and its opposite are the same axis: the largest component is positive
    sign = direction[direction.abs().argmax()].sign()
    return part, [float(value) for value in direction * sign + 0.0]


def _directions() -> torch.Tensor:
    """The axes, and the points of a spiral on half of a sphere, ``(n, 3)``."""
    index = torch.arange(CANDIDATES, dtype=torch.float64) + 0.5
    z = 1 - index / CANDIDATES
    angle = np.pi * (1 + 5**0.5) * index
    flat = (1 - z**2).sqrt()
    spiral = torch.stack([flat * angle.cos(), flat * angle.sin(), z], 1)
    return torch.cat([torch.eye(3, dtype=torch.float64), spiral])


def _harmonics(directions: torch.Tensor) -> torch.Tensor:
    """Components of (2,+) that are symmetric about directions, ``(n, 5)``; unit length."""
    x, y, z = directions.T
    root = 3**0.5
    parts = [root * x * y, root * y * z, (3 * z**2 - 1) / 2, root * x * z]
    return torch.stack([*parts, root / 2 * (x**2 - y**2)], 1)
