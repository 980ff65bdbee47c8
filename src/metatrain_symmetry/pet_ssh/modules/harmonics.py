r"""Real solid harmonics in plain PyTorch.

:math:`R_{\ell m}(\mathbf r) = r^\ell\, Y_{\ell m}(\hat{\mathbf r})` with orthonormal
real :math:`Y_{\ell m}` and ``m`` from :math:`-\ell` to :math:`\ell`: the functions,
order and signs of ``sphericart.torch.SolidHarmonics``.

Each degree is the stretched Clebsch-Gordan product of the one below with the vector
itself (Varshalovich et al., *Quantum Theory of Angular Momentum*, chapters 5 and 8):

.. math::

    R_{\ell m} = n_\ell \sum_{q=-1}^{1} \langle 1\,q;\,\ell{-}1\,m{-}q \,|\, \ell\,m
    \rangle\, R_{1 q}\, R_{\ell-1,\,m-q}

which in the real basis is one constant matrix per degree. Only products and matrix
products: TorchScript compiles it, and every derivative of any order is autograd's own.
"""

import math

import numpy as np
import torch


MAX_L = 24
"""Largest degree offered: up to it float32 values agree with float64 to 1e-5."""


def _complex_to_real(l: int) -> np.ndarray:
    """Unitary matrix from complex (Condon-Shortley) to real harmonics of degree l."""
    matrix = np.zeros((2 * l + 1, 2 * l + 1), dtype=complex)
    matrix[l, l] = 1.0
    for m in range(1, l + 1):
        sign = (-1) ** m
        matrix[l + m, l + m] = sign / math.sqrt(2)
        matrix[l + m, l - m] = 1 / math.sqrt(2)
        matrix[l - m, l + m] = -1j * sign / math.sqrt(2)
        matrix[l - m, l - m] = 1j / math.sqrt(2)
    return matrix


def _stretched_coefficient(l: int, m: int, q: int) -> float:
    """Clebsch-Gordan coefficient <1 q; l-1 m-q | l m>, in closed form."""
    if q == 0:
        return math.sqrt((l - m) * (l + m) / ((2 * l - 1) * l))
    return math.sqrt((l + q * m - 1) * (l + q * m) / ((2 * l - 1) * 2 * l))


def product_matrix(l: int) -> np.ndarray:
    """Matrix that takes the products ``r_i R_(l-1)k`` to ``R_l``.

    :param l: degree, at least 1.
    :return: float64 array of shape ``(3 * (2l - 1), 2l + 1)``; the rows run over
        ``i = x, y, z`` (slow) and ``k = -(l-1) .. l-1`` (fast).
    """
    coupling = np.zeros((3, 2 * l - 1, 2 * l + 1), dtype=complex)
    for m in range(-l, l + 1):
        for q in (-1, 0, 1):
            if abs(m - q) <= l - 1:
                coupling[1 + q, l - 1 + m - q, l + m] = _stretched_coefficient(l, m, q)
    # all three axes to the real basis; real harmonics of degree 1 are (y, z, x)
    real = np.einsum(
        "ai,bj,ijk,ck->abc",
        _complex_to_real(1).conj(),
        _complex_to_real(l - 1).conj(),
        coupling,
        _complex_to_real(l),
    ).real[[2, 0, 1]]
    # n_l: R_l0 at the north pole is sqrt((2l + 1) / 4 pi), coupled from degree l - 1
    norm = math.sqrt((2 * l + 1) / (2 * l - 1)) / _stretched_coefficient(l, 0, 0)
    return norm * real.reshape(3 * (2 * l - 1), 2 * l + 1)


class SolidHarmonics(torch.nn.Module):
    """All real solid harmonics of degree 0 to ``l_max``.

    The constants are kept as integers in units of 2^-52, so that ``.to(float32)``
    followed by ``.to(float64)`` loses none of their digits.

    :param l_max: largest degree, between 0 and :data:`MAX_L`.
    """

    fixed_point: torch.Tensor

    def __init__(self, l_max: int) -> None:
        super().__init__()
        self.l_max = l_max
        matrices = [product_matrix(l).ravel() for l in range(1, l_max + 1)]
        constants = torch.from_numpy(np.concatenate([np.zeros(0), *matrices]))
        fixed_point = torch.round(constants * 2.0**52).to(torch.int64)
        self.register_buffer("fixed_point", fixed_point, persistent=False)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Evaluate the harmonics.

        :param vectors: shape ``(n, 3)``, float32 or float64.
        :return: shape ``(n, (l_max + 1)**2)``, dtype of ``vectors``, ordered
            ``(0,0), (1,-1), (1,0), (1,1), (2,-2), ...``.
        """
        exact = self.fixed_point.to(torch.float64) * 2.220446049250313e-16
        constants = exact.to(vectors.dtype)
        n = vectors.shape[0]
        current = torch.full_like(vectors[:, :1], 0.28209479177387814)
        values = [current]
        columns = vectors.unsqueeze(2)
        start = 0
        for l in range(1, self.l_max + 1):
            rows = 3 * (2 * l - 1)
            stop = start + rows * (2 * l + 1)
            matrix = constants[start:stop].view(rows, 2 * l + 1)
            current = (columns * current.unsqueeze(1)).view(n, rows) @ matrix
            values.append(current)
            start = stop
        return torch.cat(values, dim=1)
