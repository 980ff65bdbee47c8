"""O(3): all rotations and inversions, the group of physics without external fields."""

from collections.abc import Sequence

import torch

from .base import Group, PointSet
from .circles import Circles
from .design import GroupPoints
from .frames import Frame, random_frame
from .grid import GridPoints
from .irreps import Irrep, irreps_up_to
from .mixing import characters
from .wigner import representation


class O3(Group):
    """The orthogonal group in three dimensions.

    >>> from metatrain_symmetry.groups import O3
    >>> [str(irrep) for irrep in O3().irreps(1)]
    ['(0,+)', '(0,-)', '(1,+)', '(1,-)']
    """

    name = "O(3)"
    orientations = True

    def irreps(self, limit: int) -> tuple[Irrep, ...]:
        """List the irreps.

        :param limit: largest λ
        :return: (0,+), (0,-), (1,+), ...
        """
        return irreps_up_to(limit)

    def characters(self, irreps: Sequence[Irrep], elements: torch.Tensor) -> torch.Tensor:
        """Compute characters, from the angle and the determinant of each element.

        :param irreps: as from :meth:`irreps`
        :param elements: float64, shape ``(n, 3, 3)``
        :return: float64, shape ``(n_irreps, n)``
        """
        signs = torch.linalg.det(elements).sign()
        traces = elements.diagonal(dim1=1, dim2=2).sum(dim=1) * signs
        return torch.from_numpy(characters(irreps, traces.numpy(), signs.numpy()))

    def representation(self, irrep: Irrep, elements: torch.Tensor) -> torch.Tensor:
        """Compute real Wigner matrices, with the sign of inversion.

        :param irrep: (λ, σ)
        :param elements: float64, shape ``(n, 3, 3)``
        :return: float64, shape ``(n, 2 λ + 1, 2 λ + 1)``, ``o3_mu = -λ ... λ``
        """
        return representation(irrep, elements)

    def contained(self, irrep: Irrep) -> tuple[Irrep, ...]:
        """Every irrep is its own.

        :param irrep: (λ, σ)
        :return: the same
        """
        return (irrep,)

    def exact(self, degree: int) -> PointSet:
        """Name the grid of a degree.

        :param degree: integration degree, 0 to 131
        :return: Lebedev nodes times angles, and their products with inversion
        """
        return GridPoints(degree)

    def cheap(self) -> tuple[PointSet, ...]:
        """List the orbits of finite groups of rotations.

        :return: two without inversions, then T, O and I with them
        """
        return (
            GroupPoints("D2", improper=False),
            GroupPoints("T", improper=False),
            GroupPoints("T"),
            GroupPoints("O"),
            GroupPoints("I"),
        )

    def circles(self, count: int, limit: int, seed: int) -> Circles:
        """Draw random circles.

        :param count: how many
        :param limit: largest λ that is resolved
        :param seed: of rotations and axes
        :return: the orbit
        """
        return Circles(count, limit, seed)

    def circle_size(self, limit: int) -> int:
        """Count the elements of one circle.

        :param limit: largest λ that is resolved
        :return: how many, inversions included
        """
        return Circles.size(limit)

    def elements(self, seed: int) -> torch.Tensor:
        """Take the icosahedral group with inversion in a random frame.

        :param seed: of the frame
        :return: float64, shape ``(120, 3, 3)``
        """
        return GroupPoints("I").orbit(0, self.frame(seed)).matrices

    def frame(self, seed: int) -> Frame:
        """Draw a frame uniformly.

        :param seed: of the draw
        :return: rotations from the left and from the right
        """
        return random_frame(seed)
