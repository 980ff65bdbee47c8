r"""The closed form: readouts for any weight α of the equivariance error.

With ``D = I ⊗ S - Q``, positive semi-definite, the normal equations

.. math::

    [ (1 + α) I ⊗ S - α Q + η I ⊗ Λ ] w = b + η Λ w_0

read ``[I ⊗ (S + η Λ) + α D] w = …``. For each η they are solved for all α at once: the
small matrix ``S + η Λ`` is whitened, D diagonalised there, with eigenvalues δ in [0, 1].
δ = 0 belongs to equivariant readouts, which α → ∞ leaves, δ = 1 to those without an
equivariant part. Λ is the diagonal of S, so that η does not depend on the scale of a
feature. Directions that no sample has keep the trained weights.
"""

import math

import torch

from .moments import Moments


# squared features below this share of the largest are rounding, in float32 too
RANK_TOLERANCE = 1e-13


def whitening(metric: torch.Tensor, tolerance: float = RANK_TOLERANCE) -> torch.Tensor:
    """Find a basis in which a positive semi-definite matrix is the identity.

    :param metric: symmetric, ``(K, K)``
    :param tolerance: eigenvalues below this share of the largest are zero
    :return: ``(K, rank)``
    """
    # features of very different sizes first on one scale: that of their own
    scale = metric.diagonal().clamp(min=0).sqrt()
    inverse = torch.where(scale > 0, 1 / scale.clamp(min=1e-300), 0)
    values, vectors = torch.linalg.eigh(metric * inverse[:, None] * inverse)
    kept = values > tolerance * values[-1].clamp(min=1e-300)
    return inverse[:, None] * vectors[:, kept] / values[kept].sqrt()


class Path:
    """Readouts along α, for one ridge.

    :param moments: of the training set
    :param w0: trained readout, ``(P, d K)``, float64
    :param eta: ridge towards it, 0 or larger
    """

    def __init__(self, moments: Moments, w0: torch.Tensor, eta: float = 0.0) -> None:
        S, d = moments.S, moments.d
        self.w0 = w0
        narrow = whitening(S + eta * torch.diag(S.diagonal()))
        D = _minus_kron(moments.Q, S, d)
        rotated = _project(D, narrow, d)
        self.delta, vectors = torch.linalg.eigh((rotated + rotated.T) / 2)
        self.delta = self.delta.clamp(min=0)
        self.basis = _lift(vectors, narrow, d)
        # gradients of minus the error and of the equivariance error, halved
        gain = moments.b - (w0.reshape(-1, len(S)) @ S).reshape(w0.shape)
        self.gain = gain @ self.basis
        self.cost = (w0 @ D) @ self.basis

    def readout(self, alpha: float) -> torch.Tensor:
        """Best readout.

        :param alpha: weight of the squared equivariance error, may be infinite
        :return: ``(P, d K)``
        """
        if math.isinf(alpha):
            free = self.delta <= RANK_TOLERANCE * len(self.delta)
            safe = self.delta.clamp(min=1e-300)
            steps = torch.where(free, self.gain, -self.cost / safe)
        else:
            steps = (self.gain - alpha * self.cost) / (1 + alpha * self.delta)
        return self.w0 + steps @ self.basis.T


def matrix(moments: Moments, alpha: float, eta: float = 0.0) -> torch.Tensor:
    """Left-hand side of the normal equations, for tests and small problems.

    :param moments: of the training set
    :param alpha: weight of the squared equivariance error
    :param eta: ridge
    :return: ``(d K, d K)``
    """
    S, d = moments.S, moments.d
    metric = (1 + alpha) * S + eta * torch.diag(S.diagonal())
    return torch.block_diag(*[metric] * d) - alpha * moments.Q


def _minus_kron(Q: torch.Tensor, S: torch.Tensor, d: int) -> torch.Tensor:
    """``I ⊗ S - Q``, without the product."""
    D, K = -Q, len(S)
    for m in range(d):
        D[m * K : (m + 1) * K, m * K : (m + 1) * K] += S
    return D


def _lift(vectors: torch.Tensor, narrow: torch.Tensor, d: int) -> torch.Tensor:
    """``(I ⊗ narrow) vectors``, ``(d K, n)``."""
    rank = narrow.shape[1]
    parts = vectors.reshape(d, rank, -1)
    return (narrow @ parts).reshape(d * len(narrow), -1)


def _project(D: torch.Tensor, narrow: torch.Tensor, d: int) -> torch.Tensor:
    """``(I ⊗ narrow)ᵀ D (I ⊗ narrow)``."""
    K, rank = narrow.shape
    half = (D.reshape(-1, K) @ narrow).reshape(d * K, d * rank)
    return (narrow.T @ half.reshape(d, K, -1)).reshape(d * rank, d * rank)
