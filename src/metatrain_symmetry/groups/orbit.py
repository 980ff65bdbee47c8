"""What an orbit is: group elements, weights, and a way to resolve values by irrep.

Nothing above this room asks which group it is. :class:`~.grid.O3Grid`,
:class:`~.circles.Circles` and :class:`~.finite.FiniteGroup` are orbits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from scipy.spatial.transform import Rotation


@dataclass
class Powers:
    """Squared norms of the values of one slice of channels, resolved by irrep.

    :param irreps: what the columns of ``powers`` are
    :param powers: B of each irrep, float64, shape ``(replicates, n_irreps)``; one
        replicate where the orbit is a quadrature, one for each circle otherwise
    :param norm2: average of the squared norm, float64, shape ``(replicates,)``
    """

    irreps: tuple[Any, ...]
    powers: torch.Tensor
    norm2: torch.Tensor


class Transform(Protocol):
    """Takes the values along an orbit, in order, and resolves them by irrep."""

    def add(self, values: Sequence[torch.Tensor]) -> None:
        """Take the next elements: for each slice ``(n, channels)``, any float dtype."""

    def finish(self) -> list[Powers]:
        """Resolve each slice by irrep, once all elements have been added."""


class Orbit(Protocol):
    """Group elements with weights.

    :param matrices: float64, shape ``(n, 3, 3)``, in the order of evaluation
    :param weights: float64, shape ``(n,)``, sum one
    :param irreps: what a transform resolves
    """

    @property
    def matrices(self) -> torch.Tensor:
        """Elements."""

    @property
    def weights(self) -> torch.Tensor:
        """Weights."""

    @property
    def irreps(self) -> tuple[Any, ...]:
        """What a transform resolves."""

    @property
    def replicates(self) -> int:
        """Random samples of equal size, one after the other; 0 for a quadrature."""

    def transform(self, widths: Sequence[int], device: torch.device) -> Transform:
        """Start a transform of slices of the given numbers of channels."""

    def bytes_per_channel(self) -> int:
        """Memory that a transform takes for each channel."""


class Frame(NamedTuple):
    """Rotations from the left and from the right: ``g`` becomes ``left @ g @ right``.

    Both are needed: the right one rotates the structure before each element acts, the left
    one after: a model that is not equivariant may prefer directions of the laboratory.
    Powers do not depend on either.

    :param left: orthogonal matrix, float64, shape ``(3, 3)``
    :param right: the same
    """

    left: torch.Tensor
    right: torch.Tensor

    def __call__(self, matrices: torch.Tensor) -> torch.Tensor:
        """Put elements in the frame.

        :param matrices: shape ``(n, 3, 3)``
        :return: the same shape
        """
        return self.left @ matrices @ self.right


def random_frame(seed: int) -> Frame:
    """Draw two rotations uniformly.

    :param seed: of the draw
    :return: the frame
    """
    both = Rotation.random(2, rng=np.random.default_rng(seed)).as_matrix()
    return Frame(torch.from_numpy(both[0]), torch.from_numpy(both[1]))


class TransformedOrbit:
    """What orbits have in common: transforms of a class of theirs, and no replicates."""

    transform_type: ClassVar[type[Any]]

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
