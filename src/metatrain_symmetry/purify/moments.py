r"""Second moments of features and targets, accumulated structure by structure.

For a sample x (an atom, or a structure) with features Φ, of an irrep of dimension d,

.. math::

    S = ⟨Φ Φ^T⟩, \quad T_x[m; m'k] = ⟨ρ(g)^{-1}_{mm'} Φ_k(gx)⟩, \quad
    Q = Σ_x T_x^T T_x, \quad b = Σ_x T_x^T y_x

after which the sums of squared errors and of squared equivariance errors of any readout
are quadratic forms. All in float64; the memory does not depend on the number of samples.
"""

from dataclasses import dataclass

import torch


@dataclass
class Moments:
    """Sums over samples.

    :param S: ``(K, K)``
    :param Q: ``(d K, d K)``, component first
    :param b: ``(P, d K)``, one row per property
    :param yy: squared targets, ``(P,)``
    :param counts: numbers of samples and of structures, ``(2,)``
    """

    S: torch.Tensor
    Q: torch.Tensor
    b: torch.Tensor
    yy: torch.Tensor
    counts: torch.Tensor

    @classmethod
    def zeros(cls, d: int, K: int, P: int, device: torch.device) -> "Moments":
        """Nothing yet.

        :param d: components
        :param K: features
        :param P: properties
        :param device: where the sums live
        :return: zeros, float64
        """

        def zero(*shape: int) -> torch.Tensor:
            return torch.zeros(*shape, dtype=torch.float64, device=device)

        return cls(zero(K, K), zero(d * K, d * K), zero(P, d * K), zero(P), zero(2))

    @property
    def tensors(self) -> list[torch.Tensor]:
        """All sums, to be added up over processes."""
        return [self.S, self.Q, self.b, self.yy, self.counts]

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.counts[0])

    @property
    def structures(self) -> int:
        """Number of structures."""
        return int(self.counts[1])

    @property
    def d(self) -> int:
        """Number of components."""
        return len(self.Q) // len(self.S)

    def add(self, S: torch.Tensor, T: torch.Tensor, y: torch.Tensor) -> None:
        """Take the samples of one structure.

        :param S: summed over samples, averaged over the orbit, ``(K, K)``
        :param T: ``(samples, d, d, K)``: sample, m, m', k
        :param y: targets, ``(samples, d, P)``
        """
        rows = T.flatten(2).flatten(0, 1)
        self.S += S
        self.Q.addmm_(rows.T, rows)
        self.b.addmm_(y.flatten(0, 1).T, rows)
        self.yy += y.square().sum((0, 1))
        self.counts += self.counts.new_tensor([len(y), 1])

    def errors(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums of squares that a readout leaves.

        :param w: ``(P, d K)``
        :return: squared errors over the orbit, and squared equivariance errors, both over
            samples and components, ``(P,)``
        """
        norm2 = self.norm2(w)
        orbit_mean = ((w @ self.Q) * w).sum(1)
        return norm2 - 2 * (self.b * w).sum(1) + self.yy, norm2 - orbit_mean

    def norm2(self, w: torch.Tensor) -> torch.Tensor:
        """Sum of squared predictions.

        :param w: ``(P, d K)``
        :return: ``(P,)``
        """
        parts = w.reshape(len(w), self.d, -1)
        return ((parts @ self.S) * parts).sum((1, 2))


class OrbitSums:
    """S and T of one structure, while its orbit is being evaluated."""

    def __init__(self) -> None:
        self.S: torch.Tensor | float = 0.0
        self.T: dict[int, torch.Tensor] = {}

    def add_square(self, features: torch.Tensor, weights: torch.Tensor) -> None:
        """Take part of the orbit, for S.

        :param features: ``(n, samples, K)``, float64
        :param weights: of the rotations, ``(n,)``
        """
        flat = features.flatten(0, 1)
        scaled = (features * weights[:, None, None]).flatten(0, 1)
        self.S = self.S + scaled.T @ flat

    def add_rotated(
        self,
        key: int,
        features: torch.Tensor,
        weights: torch.Tensor,
        representation: torch.Tensor,
    ) -> None:
        """Take part of the orbit, for T of one irrep.

        :param key: which T
        :param features: ``(n, samples, K)``, float64
        :param weights: of the rotations, ``(n,)``
        :param representation: ``ρ(g)``, ``(n, d, d)``
        """
        n, d = representation.shape[:2]
        # ρ is orthogonal: its inverse is its transpose
        inverse = representation.transpose(1, 2) * weights[:, None, None]
        T = inverse.reshape(n, d * d).T @ features.flatten(1)
        T = T.reshape(d, d, *features.shape[1:])
        self.T[key] = self.T[key] + T if key in self.T else T

    def rotated(self, key: int) -> torch.Tensor:
        """T of the whole orbit.

        :param key: which
        :return: ``(samples, d, d, K)``
        """
        return self.T[key].permute(2, 0, 1, 3)
