r"""Random circles: a cheap unbiased estimate of the spectrum.

One circle is ``R(n, θ_k) g``, ``k = 0 ... K-1``, for a random rotation g and a random
axis n, and the same elements times -1. With ``ĥ_m`` the Fourier components along it,

.. math::

    \mathrm E\,|\hat h_m|^2 = \sum_{\lambda \ge m} \frac{B_\lambda}{2\lambda + 1} = P_m,
    \qquad B_\lambda = (2\lambda + 1)\,(P_\lambda - P_{\lambda + 1}),

for the even and for the odd part ``h± = (h(y) ± h(-y)) / 2`` separately, which gives σ.
The components are exact on each circle, so the large scalar part does not leak into
the small ones. The limit: a pseudo channel is the difference of two sums in which
the proper channel of the next λ stands, and drowns where that is larger.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from .base import Powers, UniformOrbit
from .irreps import Irrep, irreps_up_to


GUARD = 4
"""Angles beyond the ``2 λmax + 3`` needed, so that what lies above hardly folds back."""


class CircleTransform:
    """Accumulates the Fourier components along each circle.

    :param circles: the orbit whose values come
    :param widths: number of channels of each slice
    :param device: where the sums live
    """

    def __init__(
        self, circles: "Circles", widths: Sequence[int], device: torch.device
    ) -> None:
        self.circles = circles
        theta = 2 * np.pi * np.arange(circles.n_angles) / circles.n_angles
        phases = np.multiply.outer(np.arange(circles.lambda_max + 2), theta)
        rows = np.concatenate([np.cos(phases), np.sin(phases)]) / circles.n_angles
        self.fourier = torch.from_numpy(rows).to(device)
        self.parts = [
            torch.zeros(
                len(circles.signs), len(rows), width, dtype=torch.float64, device=device
            )
            for width in widths
        ]
        shape = (len(widths), circles.n_circles)
        self.norm2 = torch.zeros(shape, dtype=torch.float64)
        # P_m of the even and of the odd part
        self.sums = torch.zeros(*shape, 2, circles.lambda_max + 2, dtype=torch.float64)
        self.taken = 0

    def add(self, values: Sequence[torch.Tensor]) -> None:
        """Take the next elements.

        :param values: for each slice, shape ``(n, channels)``
        """
        n_angles, n_cosets = self.circles.n_angles, len(self.circles.signs)
        done, count = 0, len(values[0])
        while done < count:
            half, angle = divmod(self.taken, n_angles)
            circle, coset = divmod(half, n_cosets)
            take = min(count - done, n_angles - angle)
            fourier = self.fourier[:, angle : angle + take]
            for i, piece in enumerate(values):
                part = piece[done : done + take].to(torch.float64)
                self.norm2[i, circle] += part.square().sum().cpu() / (n_cosets * n_angles)
                self.parts[i][coset].addmm_(fourier, part)
            done += take
            self.taken += take
            if self.taken % (n_cosets * n_angles) == 0:
                self._absorb(circle)

    def _absorb(self, circle: int) -> None:
        """Square the components of a finished circle, by parity where there are two."""
        for i, cosets in enumerate(self.parts):
            parts = [cosets[0]]
            if len(cosets) == 2:
                parts = [(cosets[0] + cosets[1]) / 2, (cosets[0] - cosets[1]) / 2]
            for k, part in enumerate(parts):
                squares = part.square().sum(dim=1).reshape(2, -1).sum(dim=0)
                self.sums[i, circle, k] = squares.cpu()
            cosets.zero_()

    def finish(self) -> list[Powers]:
        """Resolve each slice by irrep.

        :raises RuntimeError: if elements are missing
        :return: for each slice one replicate for each circle; single values may be
            negative, their expectation is not
        """
        if self.taken != len(self.circles.matrices):
            raise RuntimeError(
                f"only {self.taken} of {len(self.circles.matrices)} elements were added"
            )
        irreps = self.circles.irreps
        columns = []
        for irrep in irreps:
            sums = self.sums[:, :, 0 if irrep.parity == 1 else 1]
            degree = irrep.o3_lambda
            columns.append(irrep.dimension * (sums[..., degree] - sums[..., degree + 1]))
        powers = torch.stack(columns, dim=-1)
        return [Powers(irreps, powers[i], self.norm2[i]) for i in range(len(powers))]


class Circles(UniformOrbit):
    """Random circles on O(3).

    Elements come circle by circle: the rotations, then the same times -1.

    :param n_circles: how many
    :param lambda_max: largest degree resolved
    :param seed: of the random rotations and axes
    :raises ValueError: if there would be no circle
    """

    transform_type = CircleTransform
    kind = "circles"
    signs: tuple[int, ...] = (1, -1)
    """Determinants of the cosets."""

    def __init__(self, n_circles: int, lambda_max: int, seed: int = 0) -> None:
        if n_circles < 1 or lambda_max < 0:
            raise ValueError("ask for one circle or more, and for λ up to 0 or more")
        self.n_circles = n_circles
        self.lambda_max = lambda_max
        self.n_angles = _angles(lambda_max)
        random = np.random.default_rng(seed)
        starts = Rotation.random(n_circles, rng=random)
        axes = Rotation.random(n_circles, rng=random).apply([0.0, 0.0, 1.0])
        theta = 2 * np.pi * np.arange(self.n_angles) / self.n_angles
        elements = []
        for start, axis in zip(starts, axes, strict=True):
            circle = (Rotation.from_rotvec(np.outer(theta, axis)) * start).as_matrix()
            elements += [sign * circle for sign in self.signs]
        super().__init__(torch.from_numpy(np.concatenate(elements)))

    @classmethod
    def size(cls, lambda_max: int) -> int:
        """Count the elements of one circle.

        :param lambda_max: largest degree resolved
        :return: how many, with the inversions if there are any
        """
        return len(cls.signs) * _angles(lambda_max)

    @property
    def irreps(self) -> tuple[Irrep, ...]:
        """What the transform resolves."""
        return irreps_up_to(self.lambda_max)

    @property
    def replicates(self) -> int:
        """The circles."""
        return self.n_circles

    def bytes_per_channel(self) -> int:
        """Memory that a transform takes for each channel, in bytes."""
        return 8 * 4 * (2 * self.lambda_max + 3)


def _angles(lambda_max: int) -> int:
    return 2 * lambda_max + 3 + GUARD
