"""What a group has to give, and what an orbit, a point set and a transform are.

The measures ask a :class:`Group` for everything: its irreps and their characters, how a
value transforms, and the elements at which a model is evaluated. Nothing above this room
knows which group it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeGuard, runtime_checkable

import numpy as np
import torch

from .frames import Frame
from .irreps import irreps_up_to


@runtime_checkable
class AnyIrrep(Protocol):
    """What the measures need to know of an irrep, of whatever group."""

    @property
    def dimension(self) -> int:
        """Number of components."""

    @property
    def labels(self) -> dict[str, int | str]:
        """What names it in a tidy table: columns ``chi_NAME``."""

    @property
    def degree(self) -> int:
        """How far out it lies among the irreps of an infinite group; 0 for a finite one."""

    @property
    def pseudo(self) -> bool:
        """Whether it differs from another irrep of its degree by the sign of inversion."""


@dataclass
class Powers:
    """Squared norms of the values of one slice of channels, resolved by irrep.

    :param irreps: what the columns of ``powers`` are
    :param powers: B of each irrep, float64, shape ``(replicates, n_irreps)``; one
        replicate where the orbit is a quadrature, one for each circle otherwise
    :param norm2: average of the squared norm, float64, shape ``(replicates,)``
    :param tail: what may be folded back from beyond the band, an upper estimate; zero
        where that is known otherwise
    """

    irreps: tuple[AnyIrrep, ...]
    powers: torch.Tensor
    norm2: torch.Tensor
    tail: float = 0.0

    @property
    def limit(self) -> int:
        """Largest degree among the irreps."""
        return max((irrep.degree for irrep in self.irreps), default=0)

    def by_degree(self) -> torch.Tensor:
        """Powers of all irreps of each degree, averaged over replicates.

        :return: float64, shape ``(limit + 1,)``
        """
        mean = self.powers.mean(dim=0)
        degrees = torch.tensor([irrep.degree for irrep in self.irreps], dtype=torch.long)
        return mean.new_zeros(self.limit + 1).index_add(0, degrees, mean)


class Transform(Protocol):
    """Takes the values along an orbit, in order, and resolves them by irrep."""

    def add(self, values: Sequence[torch.Tensor]) -> None:
        """Take the next elements: for each slice ``(n, channels)``, any float dtype."""

    def finish(self) -> list[Powers]:
        """Resolve each slice by irrep, once all elements have been added."""


class Orbit(Protocol):
    """Group elements with weights, in the order of evaluation."""

    kind: str
    """For tables: ``grid``, ``orbit`` or ``circles``."""

    @property
    def resolves(self) -> bool:
        """Whether it resolves all irreps of its band."""

    folds: bool
    """Whether projections on it collect powers of irreps beyond its band."""

    @property
    def matrices(self) -> torch.Tensor:
        """Elements, float64, shape ``(n, 3, 3)``."""

    @property
    def weights(self) -> torch.Tensor:
        """Weights, float64, shape ``(n,)``, sum one."""

    @property
    def irreps(self) -> tuple[AnyIrrep, ...]:
        """What a transform resolves."""

    @property
    def replicates(self) -> int:
        """Random samples of equal size, one after the other; 0 for a quadrature."""

    def transform(self, widths: Sequence[int], device: torch.device) -> Transform:
        """Start a transform of slices of the given numbers of channels."""

    def bytes_per_channel(self) -> int:
        """Memory that a transform takes for each channel."""


class FoldingOrbit(Orbit, Protocol):
    """An orbit that collects powers from beyond its band, by known amounts."""

    @property
    def points(self) -> "PointSet":
        """Which set it is, whatever its frame."""

    lambda_max: int
    degree: int
    """Up to which averages over it are exact."""

    def folded(self, irrep: Any, limit: int) -> np.ndarray:
        """Share of each irrep up to a degree that is folded into one of the band."""

    def most_folded(self, irrep: Any, start: int) -> float:
        """Largest such share from a degree on; into the whole band for None."""


def folds(orbit: Orbit | None) -> TypeGuard[FoldingOrbit]:
    """Whether an orbit collects powers from beyond its band.

    :param orbit: any, or none
    :return: whether it can be asked how much
    """
    return orbit is not None and orbit.folds


class PointSet(ABC):
    """A kind of orbit, before it is made: hashable, cheap to ask for its size."""

    @property
    def resolves(self) -> bool:
        """Whether its orbit resolves all irreps of its band."""
        return True

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of elements."""

    @property
    def reach(self) -> int:
        """Degree up to which circles beside it have to look; 0 if it does not matter."""
        return 0

    def family(self, limit: int) -> tuple[Any, ...]:
        """List the irreps into which and from which powers are folded.

        :param limit: largest degree
        :return: all of them up to it, by ascending degree: those of O(3)
        """
        return irreps_up_to(limit)

    @abstractmethod
    def orbit(self, limit: int, frame: Frame | None = None) -> Orbit:
        """Make the orbit, with irreps up to a degree at most."""


class Group(ABC):
    """A compact or finite group that acts on structures.

    A new group is a subclass. Finite ones need no more than their elements and characters:
    see :class:`~metatrain_symmetry.groups.finite.FiniteGroup`.

    >>> from metatrain_symmetry import O3, Group, Irrep, octahedral_group
    >>> for group in (O3(), octahedral_group()):
    ...     assert isinstance(group, Group)
    ...     print(group.name, [str(own) for own in group.contained(Irrep(2))])
    O(3) ['(2,+)']
    Oh ['Eg', 'T2g']
    """

    name: str
    """As in tables and on pages."""

    finite: ClassVar[bool] = False
    """Whether one orbit is exact for everything."""

    orientations: ClassVar[bool] = False
    """Whether it is all rotations and inversions, sets of which are compared then."""

    degree_name: ClassVar[str] = "λ"
    """What the degree of an irrep is called."""

    chooses: ClassVar[tuple[str, ...]] = (
        "lambda_max", "estimator", "degree", "max_degree", "circles",
    )  # fmt: skip
    """Settings that choose among its orbits; the others mean nothing for it."""

    @abstractmethod
    def irreps(self, limit: int) -> tuple[AnyIrrep, ...]:
        """List the irreps.

        :param limit: largest degree; a finite group has one degree, 0
        :return: all of them, the trivial one first, by ascending degree
        """

    @abstractmethod
    def characters(self, irreps: Sequence[Any], elements: torch.Tensor) -> torch.Tensor:
        """Compute characters.

        :param irreps: of this group
        :param elements: float64, shape ``(n, 3, 3)``
        :return: float64 or complex128, shape ``(n_irreps, n)``
        """

    @abstractmethod
    def representation(self, irrep: Any, elements: torch.Tensor) -> torch.Tensor:
        """Compute the matrices by which values of an irrep transform.

        :param irrep: of this group, or of a group that contains it: a vector is the irrep
            (1,+) of O(3), and transforms under every subgroup too
        :param elements: float64, shape ``(n, 3, 3)``
        :return: shape ``(n, d, d)``
        """

    @abstractmethod
    def contained(self, irrep: Any) -> tuple[AnyIrrep, ...]:
        """List the irreps of this group that the values of an irrep are made of.

        :param irrep: as for :meth:`representation`
        :return: each once
        """

    @abstractmethod
    def exact(self, degree: int) -> PointSet:
        """Name the point set that averages exactly.

        :param degree: up to which products of values are averaged exactly
        :return: the set
        """

    def elements(self, seed: int) -> torch.Tensor:
        """Take a few elements, all of the same weight, whose average is nearly that of all.

        :param seed: of a random frame, for a group that has one
        :return: float64, shape ``(n, 3, 3)``; of a finite group all of them
        """
        return self.exact(8).orbit(0, self.frame(seed)).matrices

    def cheap(self) -> tuple[PointSet, ...]:
        """List sets smaller than any exact one, in random frames.

        :return: ascending in size
        """
        return ()

    def circles(self, count: int, limit: int, seed: int) -> Orbit | None:
        """Draw random circles, whose powers have the right mean.

        :param count: how many
        :param limit: largest degree that is resolved
        :param seed: of the draw
        :return: an orbit with one replicate for each; None if the group has none
        """
        return None

    def circle_size(self, limit: int) -> int:
        """Count the elements of one circle.

        :param limit: largest degree that is resolved
        :return: how many, 0 if the group has no circles
        """
        return 0

    @property
    def has_circles(self) -> bool:
        """Whether there are circles, beside sets that are exact to some degree only."""
        return self.circle_size(0) > 0

    def frame(self, seed: int) -> Frame | None:
        """Draw the frame in which a point set is taken.

        :param seed: of the draw
        :return: None for a group whose sets are exact as they are
        """
        return None


class TransformedOrbit:
    """What orbits have in common: transforms of a class of theirs, and no replicates."""

    transform_type: ClassVar[type[Any]]
    kind = "orbit"
    folds = False

    @property
    def resolves(self) -> bool:
        """Whether it resolves all irreps of its band."""
        return True

    @property
    def replicates(self) -> int:
        """None: a quadrature."""
        return 0

    def transform(self, widths: Sequence[int], device: torch.device) -> Transform:
        """Start a transform.

        :param widths: number of channels of each slice
        :param device: where its sums live
        :return: the transform, in float64
        """
        transform: Transform = self.transform_type(self, widths, device)
        return transform


class UniformOrbit(TransformedOrbit):
    """An orbit whose elements all weigh the same.

    :param matrices: its elements, shape ``(n, 3, 3)``
    """

    def __init__(self, matrices: torch.Tensor) -> None:
        n = len(matrices)
        self.matrices = matrices.to(torch.float64)
        self.weights = torch.full((n,), 1 / n, dtype=torch.float64)
