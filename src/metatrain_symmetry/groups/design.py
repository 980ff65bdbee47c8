"""Small sets of points: orbits of finite groups in a random frame.

The icosahedral group with inversion (120 elements) is exact to degree 5 and the
smallest such set; T, O and D2 are smaller and exact to degrees 2, 3 and 1. What they fold
back from higher degrees is known: see :mod:`metatrain_symmetry.groups.mixing`.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from scipy.spatial.transform import Rotation

from .base import PointSet, UniformOrbit
from .folding import Folding
from .frames import Frame
from .gram import GramTransform
from .irreps import Irrep
from .mixing import characters, pair_traces


Name = Literal["D2", "T", "O", "I"]

ORDERS = {"D2": 4, "T": 12, "O": 24, "I": 60}
"""Number of rotations of each group."""

EXACT = {"D2": 1, "T": 2, "O": 3, "I": 5}
"""Degree to which the average over each group equals that over all rotations."""


@dataclass(frozen=True)
class GroupPoints(PointSet):
    """The elements of a finite group of rotations: a point set.

    :param name: ``D2`` (4 rotations), ``T`` (12), ``O`` (24) or ``I`` (60)
    :param improper: whether each rotation comes with its product with inversion
    """

    name: Name
    improper: bool = True

    @property
    def resolves(self) -> bool:
        """Without inversions σ is not known."""
        return self.improper

    @property
    def size(self) -> int:
        """Number of elements."""
        return (1 + self.improper) * ORDERS[self.name]

    def orbit(self, limit: int, frame: Frame | None = None) -> "GroupOrbit":
        """Make the orbit.

        :param limit: largest degree that is projected on, at most half of the exact one
        :param frame: in which the elements are taken
        :return: the orbit
        """
        most = EXACT[self.name] // 2
        return GroupOrbit(self.name, self.improper, frame, min(limit, most))

    def __str__(self) -> str:
        kind = "rotations and inversions" if self.improper else "rotations"
        return f"the {kind} of the group {self.name}"


class GroupOrbit(Folding, UniformOrbit):
    """Elements of a finite group of rotations, in a frame.

    :param name: ``D2`` (4 rotations), ``T`` (12), ``O`` (24) or ``I`` (60)
    :param improper: whether each rotation comes with its product with inversion
    :param frame: in which the elements are taken
    :param lambda_max: largest degree that is projected on; None for half of the exact one
    """

    transform_type = GramTransform

    def __init__(
        self,
        name: Name = "I",
        improper: bool = True,
        frame: Frame | None = None,
        lambda_max: int | None = None,
    ) -> None:
        self._points = GroupPoints(name, improper)
        self.degree = EXACT[name]
        self.lambda_max = self.degree // 2 if lambda_max is None else lambda_max
        self.elements = _elements(self._points)
        matrices = self.elements if frame is None else frame(self.elements)
        super().__init__(matrices)

    @property
    def resolves(self) -> bool:
        """Without inversions σ is not known."""
        return self.points.resolves

    @property
    def points(self) -> GroupPoints:
        """Which group it is, whatever its frame."""
        return self._points

    @property
    def irreps(self) -> tuple[Any, ...]:
        """What the transform projects on; without inversion σ = +1 only."""
        if self.points.resolves:
            return self.points.family(self.lambda_max)
        return tuple(Irrep(degree) for degree in range(self.lambda_max + 1))

    def kernels(self) -> torch.Tensor:
        """``d_α χ_α(g_i g_j⁻¹)`` for each irrep, shape ``(n_irreps, n, n)``."""
        return _kernels(self.points, self.irreps)

    def bytes_per_channel(self) -> int:
        """Memory that a transform takes for each channel, in bytes."""
        return 8 * len(self.matrices)


@lru_cache(maxsize=16)
def _elements(points: GroupPoints) -> torch.Tensor:
    rotations = torch.from_numpy(Rotation.create_group(points.name).as_matrix())
    return torch.cat([rotations, -rotations]) if points.improper else rotations


@lru_cache(maxsize=16)
def _kernels(points: GroupPoints, irreps: tuple[Any, ...]) -> torch.Tensor:
    traces, signs = pair_traces(_elements(points))
    values = characters(irreps, traces.numpy().ravel(), signs.numpy().ravel())
    sizes = torch.tensor([irrep.dimension for irrep in irreps])
    return torch.from_numpy(values).reshape(-1, *traces.shape) * sizes[:, None, None]
