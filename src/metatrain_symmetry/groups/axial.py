r"""SO(2) and O(2) about an axis: what is left of O(3) in a field, or on a surface.

The irreps of SO(2) are :math:`e^{im\theta}`, those of O(2), with its mirrors through the
axis (C∞v), are A1, A2 and, of two components, E1, E2, ... A few dozen angles
average exactly over them, so there is no need for random circles:

.. math::

    \hat h_m = \frac1N \sum_k h(\theta_k)\, e^{-im\theta_k}, \qquad
    B_m = |\hat h_m|^2, \qquad m = -t/2 \dots t/2, \quad N = t + 1.

What lies beyond ``t/2`` folds back: m onto ``m - N``. It is taken to be no more than what
is in the top quarter of the band, which is measured (:attr:`Powers.tail`).
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from .axes import direction, perpendicular, spelled
from .base import AnyIrrep, Group, PointSet, Powers, UniformOrbit
from .frames import Frame
from .gram import GramTransform
from .irreps import Irrep
from .wigner import representation


MAX_DEGREE = 131
"""As for the grids of O(3)."""

SAME = 1e-6
"""How far a matrix may be from one of the group."""

STAND_FOR = 24
"""Angles that stand for all of them where a few have to do."""


@dataclass(frozen=True)
class AxialIrrep:
    """An irrep of SO(2): turning by θ multiplies by ``exp(i m θ)``.

    :param m: any integer
    """

    m: int
    dimension: ClassVar[int] = 1
    pseudo: ClassVar[bool] = False

    @property
    def labels(self) -> dict[str, int | str]:
        """Columns of a tidy table."""
        return {"m": self.m}

    @property
    def degree(self) -> int:
        """How far out it lies: ``|m|``."""
        return abs(self.m)

    def __str__(self) -> str:
        return f"m={self.m:+d}" if self.m else "m=0"


@dataclass(frozen=True)
class MirrorIrrep:
    """An irrep of O(2) with mirrors through the axis.

    :param m: at least 0
    :param sign: of m = 0, what a mirror multiplies by; 1 for the others
    """

    m: int
    sign: int = 1
    pseudo: ClassVar[bool] = False

    @property
    def dimension(self) -> int:
        """Number of components: two where m is not zero."""
        return 2 if self.m else 1

    @property
    def labels(self) -> dict[str, int | str]:
        """Columns of a tidy table."""
        return {"irrep": str(self)}

    @property
    def degree(self) -> int:
        """How far out it lies: m."""
        return self.m

    def __str__(self) -> str:
        if self.m:
            return f"E{self.m}"
        return "A1" if self.sign == 1 else "A2"


class AxialGroup(Group):
    """A continuous group about an axis.

    :param axis: ``x``, ``y``, ``z``, or a vector
    :raises ValueError: if it is no direction
    """

    symbol: ClassVar[str]
    cosets: ClassVar[tuple[int, ...]]
    """Determinants of its parts."""

    degree_name = "|m|"
    chooses = ("lambda_max", "degree", "max_degree")

    def __init__(self, axis: Any = "z") -> None:
        self.axis = direction(axis)
        self.name = spelled(self.symbol, self.axis)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def angles(self, elements: torch.Tensor) -> torch.Tensor:
        """Find by how much elements turn, in a mirrored frame after a mirror.

        :param elements: of this group, float64, shape ``(n, 3, 3)``
        :raises ValueError: if one is not in the group
        :return: in radians, float64, shape ``(n,)``
        """
        axis, x, y = self._frame()
        signs = torch.linalg.det(elements)
        kept = (elements @ axis - axis).abs().amax(dim=1) < SAME
        inside = torch.zeros_like(kept)
        for sign in self.cosets:
            inside |= (signs - sign).abs() < SAME
        if not bool((kept & inside).all()):
            raise ValueError(
                f"these are no group elements of {self.name}: give matrices of this group"
            )
        images = elements @ x
        return torch.atan2(images @ y, images @ x)

    def _frame(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The axis, and two directions across it."""
        rows = perpendicular(self.axis)
        axis, x, y = (torch.tensor(row, dtype=torch.float64) for row in rows)
        return axis, x, y

    def representation(self, irrep: Any, elements: torch.Tensor) -> torch.Tensor:
        """Compute the matrices by which values transform.

        :param irrep: of this group, or of O(3), restricted to this group
        :param elements: float64, shape ``(n, 3, 3)``
        :raises ValueError: if one is not in the group
        :return: shape ``(n, d, d)``, unitary
        """
        if isinstance(irrep, Irrep):
            return representation(irrep, elements)
        return self.own_representation(irrep, elements)

    @abstractmethod
    def own_representation(self, irrep: Any, elements: torch.Tensor) -> torch.Tensor:
        """Compute the matrices of an irrep of this group.

        :param irrep: of this group
        :param elements: float64, shape ``(n, 3, 3)``
        :return: shape ``(n, d, d)``, unitary
        """

    def characters(self, irreps: Sequence[Any], elements: torch.Tensor) -> torch.Tensor:
        """Compute characters.

        :param irreps: of this group
        :param elements: float64, shape ``(n, 3, 3)``
        :raises ValueError: if one is not in the group
        :return: float64 or complex128, shape ``(n_irreps, n)``
        """
        several = [self.own_representation(irrep, elements) for irrep in irreps]
        return torch.stack([m.diagonal(dim1=1, dim2=2).sum(dim=1) for m in several])

    @abstractmethod
    def kernel(self, irrep: Any, angle: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
        """Compute ``d χ(g⁻¹ g')`` of pairs of elements; its real part is enough.

        :param irrep: of this group
        :param angle: of ``g⁻¹ g'``, in radians
        :param mirrored: whether it is in the other coset
        :return: the same shape
        """

    def exact(self, degree: int) -> "Angles":
        """Name the uniform angles of a degree.

        :param degree: integration degree, 0 to 131
        :raises ValueError: if it is out of range
        :return: ``degree + 1`` of them, in each coset
        """
        return Angles(self, degree)

    def cheap(self) -> tuple["Angles", ...]:
        """List what is taken where there is no time for more.

        :return: nine angles
        """
        return (Angles(self, 8),)

    def frame(self, seed: int) -> Frame:
        """Draw the first angle uniformly.

        :param seed: of the draw
        :return: a rotation about the axis
        """
        angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
        start = Rotation.from_rotvec(angle * np.array(self.axis)).as_matrix()
        return Frame(torch.from_numpy(start), torch.eye(3, dtype=torch.float64))

    def elements(self, seed: int) -> torch.Tensor:
        """Take uniform angles with a random start.

        :param seed: of the start
        :return: float64, shape ``(n, 3, 3)``
        """
        return Angles(self, STAND_FOR - 1).orbit(0, self.frame(seed)).matrices


class SO2(AxialGroup):
    """Rotations about an axis: the symmetry in a magnetic field.

    :param axis: ``x``, ``y``, ``z``, or a vector
    :raises ValueError: if it is no direction

    >>> from metatrain_symmetry import SO2, Irrep
    >>> group = SO2("x")
    >>> group.name, [str(irrep) for irrep in group.contained(Irrep(1))]
    ('SO(2):x', ['m=0', 'm=+1', 'm=-1'])
    """

    symbol = "SO(2)"
    cosets = (1,)

    def irreps(self, limit: int) -> tuple[AxialIrrep, ...]:
        """List the irreps.

        :param limit: largest ``|m|``
        :return: m = 0, 1, -1, 2, ...
        """
        others = [AxialIrrep(sign * m) for m in range(1, limit + 1) for sign in (1, -1)]
        return (AxialIrrep(0), *others)

    def own_representation(self, irrep: AxialIrrep, elements: torch.Tensor) -> torch.Tensor:
        """Compute ``exp(i m θ)``.

        :param irrep: of this group
        :param elements: float64, shape ``(n, 3, 3)``
        :raises ValueError: if one is not in the group
        :return: complex128, shape ``(n, 1, 1)``
        """
        return torch.exp(1j * irrep.m * self.angles(elements))[:, None, None]

    def contained(self, irrep: Any) -> tuple[AxialIrrep, ...]:
        """List the irreps that values are made of: every ``|m| <= λ`` once.

        :param irrep: of this group, or of O(3)
        :return: each once
        """
        return self.irreps(irrep.o3_lambda) if isinstance(irrep, Irrep) else (irrep,)

    def kernel(
        self, irrep: AxialIrrep, angle: np.ndarray, mirrored: np.ndarray
    ) -> np.ndarray:
        """Compute ``cos(m θ)``.

        :param irrep: of this group
        :param angle: in radians
        :param mirrored: there are no mirrors
        :return: the same shape
        """
        return np.cos(irrep.m * angle)


class O2(AxialGroup):
    """Rotations about an axis, and mirrors through it (C∞v): an electric field, a surface.

    :param axis: ``x``, ``y``, ``z``, or a vector
    :raises ValueError: if it is no direction

    >>> from metatrain_symmetry import O2, Irrep
    >>> [str(irrep) for irrep in O2([1, 1, 0]).contained(Irrep(1, -1))]
    ['A2', 'E1']
    """

    symbol = "O(2)"
    cosets = (1, -1)

    def irreps(self, limit: int) -> tuple[MirrorIrrep, ...]:
        """List the irreps.

        :param limit: largest m
        :return: A1, A2, E1, E2, ...
        """
        others = [MirrorIrrep(m) for m in range(1, limit + 1)]
        return (MirrorIrrep(0), MirrorIrrep(0, -1), *others)

    def own_representation(
        self, irrep: MirrorIrrep, elements: torch.Tensor
    ) -> torch.Tensor:
        """Compute real orthogonal matrices: turns by m θ, and a mirror before them.

        :param irrep: of this group
        :param elements: float64, shape ``(n, 3, 3)``
        :raises ValueError: if one is not in the group
        :return: float64, shape ``(n, d, d)``
        """
        angles = irrep.m * self.angles(elements)
        signs = torch.linalg.det(elements).sign()
        if not irrep.m:
            values = signs if irrep.sign == -1 else torch.ones_like(signs)
            return values[:, None, None]
        c, s = torch.cos(angles), torch.sin(angles)
        rows = [torch.stack([c, -signs * s], dim=1), torch.stack([s, signs * c], dim=1)]
        return torch.stack(rows, dim=1)

    def contained(self, irrep: Any) -> tuple[MirrorIrrep, ...]:
        """List the irreps that values are made of: A1 or A2 by σ, and Em for ``m <= λ``.

        :param irrep: of this group, or of O(3)
        :return: each once
        """
        if not isinstance(irrep, Irrep):
            return (irrep,)
        others = [MirrorIrrep(m) for m in range(1, irrep.o3_lambda + 1)]
        return (MirrorIrrep(0, irrep.o3_sigma), *others)

    def kernel(
        self, irrep: MirrorIrrep, angle: np.ndarray, mirrored: np.ndarray
    ) -> np.ndarray:
        """Compute ``d χ``: ``4 cos(m θ)`` for a turn and zero for a mirror, or a sign.

        :param irrep: of this group
        :param angle: in radians
        :param mirrored: whether it is a mirror
        :return: the same shape
        """
        if irrep.m:
            return np.where(mirrored, 0.0, 4 * np.cos(irrep.m * angle))
        return np.where(mirrored, float(irrep.sign), 1.0)


@dataclass(frozen=True)
class Angles(PointSet):
    """Uniform angles about an axis: a point set.

    :param group: SO(2) or O(2)
    :param degree: integration degree t, 0 to 131
    :raises ValueError: if it is out of range
    """

    group: AxialGroup
    degree: int

    def __post_init__(self) -> None:
        if not 0 <= self.degree <= MAX_DEGREE:
            raise ValueError(
                f"there are no angles of degree {self.degree}: choose 0 to {MAX_DEGREE}"
            )

    @property
    def size(self) -> int:
        """Number of elements."""
        return len(self.group.cosets) * (self.degree + 1)

    def family(self, limit: int) -> tuple[AnyIrrep, ...]:
        """List the irreps up to a degree.

        :param limit: largest ``|m|``
        :return: those of the group
        """
        return self.group.irreps(limit)

    def orbit(self, limit: int, frame: Frame | None = None) -> "AngleOrbit":
        """Make the orbit.

        :param limit: means nothing here: all of the band is resolved
        :param frame: in which the elements are taken
        :return: the orbit
        """
        return AngleOrbit(self, frame)

    def __str__(self) -> str:
        mirrors = " and as many mirrors" * (len(self.group.cosets) > 1)
        return f"{self.degree + 1} angles{mirrors}"


class AngleTransform(GramTransform):
    """Resolves every m of the band, and says what may lie beyond."""

    def finish(self) -> list[Powers]:
        """Resolve each slice by irrep.

        :raises RuntimeError: if elements are missing
        :return: for each slice one replicate
        """
        found = super().finish()
        start = 3 * max(irrep.degree for irrep in self.orbit.irreps) // 4
        for powers in found:
            top = [irrep.degree > start for irrep in powers.irreps]
            powers.tail = float(powers.powers[0, torch.tensor(top)].clamp(min=0).sum())
        return found


class AngleOrbit(UniformOrbit):
    """Uniform angles, proper ones first.

    :param points: which
    :param frame: in which the elements are taken
    """

    transform_type = AngleTransform
    kind = "grid"

    def __init__(self, points: Angles, frame: Frame | None = None) -> None:
        self.points, self.degree = points, points.degree
        axis, _, mirror = perpendicular(points.group.axis)
        theta = 2 * np.pi * np.arange(self.degree + 1) / (self.degree + 1)
        turns = Rotation.from_rotvec(np.outer(theta, axis)).as_matrix()
        flipped = turns @ (np.eye(3) - 2 * np.outer(mirror, mirror))
        both = [turns if sign > 0 else flipped for sign in points.group.cosets]
        matrices = torch.from_numpy(np.concatenate(both))
        super().__init__(matrices if frame is None else frame(matrices))

    @property
    def irreps(self) -> tuple[AnyIrrep, ...]:
        """All of the band."""
        return self.points.group.irreps(self.degree // 2)

    def kernels(self) -> torch.Tensor:
        """``d χ(g⁻¹ g')`` for each irrep, float64, shape ``(n_irreps, n, n)``."""
        return _kernels(self.points)

    def bytes_per_channel(self) -> int:
        """Memory that a transform takes for each channel, in bytes."""
        return 8 * len(self.matrices)


@lru_cache(maxsize=8)
def _kernels(points: Angles) -> torch.Tensor:
    """Kernels of all pairs, whatever the frame."""
    group, count = points.group, points.degree + 1
    theta = np.tile(2 * np.pi * np.arange(count) / count, len(group.cosets))
    sign = np.repeat(group.cosets, count)
    # g = R(θ) or R(θ) M, and M R(θ) = R(-θ) M
    angle = theta - theta[:, None]
    mirrored = sign != sign[:, None]
    irreps = group.irreps(points.degree // 2)
    return torch.from_numpy(
        np.stack([group.kernel(irrep, angle, mirrored) for irrep in irreps])
    )
