"""SO(3): all rotations, without inversion; a chiral model may have this symmetry."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from .base import Group
from .circles import Circles
from .design import GroupOrbit, GroupPoints, Name
from .frames import Frame, random_frame
from .grid import GridPoints, O3Grid
from .irreps import Irrep
from .mixing import characters
from .wigner import representation


@dataclass(frozen=True, order=True)
class RotationIrrep:
    """An irrep of SO(3).

    :param o3_lambda: degree, at least 0
    """

    o3_lambda: int
    parity: ClassVar[int] = 1
    pseudo: ClassVar[bool] = False

    @property
    def dimension(self) -> int:
        """Number of components, ``2 λ + 1``."""
        return 2 * self.o3_lambda + 1

    @property
    def labels(self) -> dict[str, int | str]:
        """Columns of a tidy table."""
        return {"lambda": self.o3_lambda}

    @property
    def degree(self) -> int:
        """λ: how far out it lies."""
        return self.o3_lambda

    def __str__(self) -> str:
        return f"λ={self.o3_lambda}"


def rotation_irreps(limit: int) -> tuple[RotationIrrep, ...]:
    """All irreps of SO(3) up to a degree.

    :param limit: largest degree
    :return: ``limit + 1`` irreps
    """
    return tuple(RotationIrrep(degree) for degree in range(limit + 1))


class SO3(Group):
    """The rotations in three dimensions.

    >>> from metatrain_symmetry import SO3, Irrep
    >>> [str(irrep) for irrep in SO3().irreps(2)]
    ['λ=0', 'λ=1', 'λ=2']
    >>> SO3().contained(Irrep(1, -1)) == SO3().contained(Irrep(1))
    True
    """

    name = "SO(3)"

    def irreps(self, limit: int) -> tuple[RotationIrrep, ...]:
        """List the irreps.

        :param limit: largest λ
        :return: λ = 0, 1, ...
        """
        return rotation_irreps(limit)

    def characters(
        self, irreps: Sequence[RotationIrrep], elements: torch.Tensor
    ) -> torch.Tensor:
        """Compute characters, from the angle of each rotation.

        :param irreps: as from :meth:`irreps`
        :param elements: rotations, float64, shape ``(n, 3, 3)``
        :raises ValueError: if one of them is no rotation
        :return: float64, shape ``(n_irreps, n)``
        """
        if not bool((torch.linalg.det(elements) > 0).all()):
            raise ValueError("one of the matrices is no rotation: SO(3) has no inversion")
        traces = elements.diagonal(dim1=1, dim2=2).sum(dim=1).numpy()
        return torch.from_numpy(characters(irreps, traces, traces * 0 + 1))

    def representation(
        self, irrep: Irrep | RotationIrrep, elements: torch.Tensor
    ) -> torch.Tensor:
        """Compute real Wigner matrices.

        :param irrep: of SO(3), or of O(3)
        :param elements: float64, shape ``(n, 3, 3)``
        :return: float64, shape ``(n, 2 λ + 1, 2 λ + 1)``, ``o3_mu = -λ ... λ``
        """
        return representation(Irrep(irrep.o3_lambda), elements)

    def contained(self, irrep: Irrep | RotationIrrep) -> tuple[RotationIrrep, ...]:
        """List the irreps that values are made of: a pseudovector is a vector here.

        :param irrep: of SO(3), or of O(3)
        :return: one
        """
        return (RotationIrrep(irrep.o3_lambda),)

    def exact(self, degree: int) -> "RotationGridPoints":
        """Name the grid of a degree.

        :param degree: integration degree, 0 to 131
        :return: Lebedev nodes times angles
        """
        return RotationGridPoints(degree)

    def cheap(self) -> tuple["RotationPoints", ...]:
        """List the orbits of finite groups of rotations.

        :return: of T, O and I
        """
        names: tuple[Name, ...] = ("T", "O", "I")
        return tuple(RotationPoints(name) for name in names)

    def circles(self, count: int, limit: int, seed: int) -> "RotationCircles":
        """Draw random circles.

        :param count: how many
        :param limit: largest λ that is resolved
        :param seed: of rotations and axes
        :return: the orbit
        """
        return RotationCircles(count, limit, seed)

    def circle_size(self, limit: int) -> int:
        """Count the elements of one circle.

        :param limit: largest λ that is resolved
        :return: how many
        """
        return RotationCircles.size(limit)

    def frame(self, seed: int) -> Frame:
        """Draw a frame uniformly.

        :param seed: of the draw
        :return: rotations from the left and from the right
        """
        return random_frame(seed)

    def elements(self, seed: int) -> torch.Tensor:
        """Take the icosahedral rotations in a random frame.

        :param seed: of the frame
        :return: float64, shape ``(60, 3, 3)``
        """
        return RotationPoints("I").orbit(0, self.frame(seed)).matrices


@dataclass(frozen=True)
class RotationPoints(GroupPoints):
    """Rotations of a finite group, which resolve the irreps of SO(3): a point set.

    :param name: ``D2``, ``T``, ``O`` or ``I``
    """

    improper: bool = False

    @property
    def resolves(self) -> bool:
        """There is no σ to be known."""
        return True

    def family(self, limit: int) -> tuple[RotationIrrep, ...]:
        """List the irreps up to a degree.

        :param limit: largest degree
        :return: those of SO(3)
        """
        return rotation_irreps(limit)

    def orbit(self, limit: int, frame: Frame | None = None) -> "RotationOrbit":
        """Make the orbit.

        :param limit: largest degree that is projected on, at most half of the exact one
        :param frame: in which the elements are taken
        :return: the orbit
        """
        return RotationOrbit(self, limit, frame)


class RotationOrbit(GroupOrbit):
    """Rotations of a finite group, in a frame.

    :param points: which
    :param limit: largest degree that is projected on, at most half of the exact one
    :param frame: in which the elements are taken
    """

    def __init__(self, points: RotationPoints, limit: int, frame: Frame | None) -> None:
        super().__init__(points.name, False, frame)
        self.lambda_max = min(limit, self.lambda_max)
        self._points = points


@dataclass(frozen=True)
class RotationGridPoints(GridPoints):
    """The grid of one degree over SO(3): a point set.

    :param degree: integration degree t, 0 to 131
    """

    improper: bool = False

    def family(self, limit: int) -> tuple[RotationIrrep, ...]:
        """List the irreps up to a degree.

        :param limit: largest degree
        :return: those of SO(3)
        """
        return rotation_irreps(limit)

    def orbit(self, limit: int, frame: Frame | None = None) -> "RotationGrid":
        """Make the grid.

        :param limit: largest degree that is resolved, at most half of the grid's
        :param frame: in which the elements are taken
        :return: the orbit
        """
        return RotationGrid(self.degree, min(limit, self.degree // 2), False, frame)


class RotationGrid(O3Grid):
    """Quadrature over SO(3): an orbit."""

    @property
    def points(self) -> RotationGridPoints:
        """Which grid it is, whatever its frame."""
        return RotationGridPoints(self.degree)

    @property
    def irreps(self) -> tuple[RotationIrrep, ...]:  # type: ignore[override]
        """What the transform resolves."""
        return rotation_irreps(self.lambda_max)


class RotationCircles(Circles):
    """Random circles on SO(3), without inversions.

    :param n_circles: how many
    :param lambda_max: largest degree resolved
    :param seed: of the random rotations and axes
    """

    signs = (1,)

    @property
    def irreps(self) -> tuple[RotationIrrep, ...]:  # type: ignore[override]
        """What the transform resolves."""
        return rotation_irreps(self.lambda_max)
