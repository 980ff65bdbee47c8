r"""The separable transform of a product grid.

For each coset and each batch of rings, with ``γ_k = 2πk/K`` and quarter turns j,

.. math::

    \hat h_n(\nu) &= \tfrac1K \sum_k h(\nu, \gamma_k)\, e^{-in\gamma_k}, \\
    g_{n,q}(o) &= \sum_{j=0}^{3} (-i)^{qj}\, \hat h_n(o, j), \\
    c^\lambda_{mn} &= \sum_o w_o\, e^{-im\alpha_o} d^\lambda_{mn}(\beta_o)\,
        g_{n, m \bmod 4}(o).

Values are real, so that ``n >= 0`` suffices (and ``m >= 0`` where n = 0).
Everything after the sum over γ is float64; for float32 values that sum, of K terms, is
taken in float64 as well.
"""

from collections.abc import Sequence

import numpy as np
import torch

from .base import Powers
from .product_rule import ProductRule, Ring
from .wigner import small_d


CHANNELS_AT_ONCE = 1024
"""So that one product's operands stay in the cache of a core."""


class FastTransform:
    """Accumulates the coefficients of every slice of channels.

    :param grid: the grid whose values come
    :param widths: number of channels of each slice
    :param device: where the sums live
    """

    def __init__(
        self, grid: ProductRule, widths: Sequence[int], device: torch.device
    ) -> None:
        self.grid = grid
        self.ends = np.cumsum([0, *widths]).tolist()
        self.device = device
        self.fourier = _fourier(grid.n_gamma, grid.lambda_max).to(device)
        self.tables = [_tables(batch, grid.lambda_max, device) for batch in grid.batches]
        self.rows = _rows(grid.lambda_max)
        self.norm2 = torch.zeros(len(widths), dtype=torch.float64, device=device)
        self.weights = grid.weights.to(device)
        self.taken = 0
        self.buffer: torch.Tensor | None = None
        self.sums = [
            {key: self._empty(2 * len(rows)) for key, rows in self.rows.items()}
            for _ in grid.signs
        ]
        self.stops = self._plan()

    def _empty(self, rows: int) -> torch.Tensor:
        """Real parts of this number of coefficients, then their imaginary parts."""
        shape = (rows, self.ends[-1])
        return torch.empty(shape, dtype=torch.float64, device=self.device)

    def _plan(self) -> list[tuple[int, int, int, int]]:
        """Where each coset of each batch starts and stops, which one it is."""
        stops, start = [], 0
        for index, batch in enumerate(self.grid.batches):
            size = sum(len(ring.alpha) for ring in batch) * self.grid.n_gamma
            for coset in range(len(self.grid.signs)):
                stops.append((start, start + size, index, coset))
                start += size
        return stops

    def add(self, values: Sequence[torch.Tensor]) -> None:
        """Take the next elements.

        :param values: for each slice, shape ``(n, channels)``
        """
        done, count = 0, len(values[0])
        weights = self.weights[self.taken : self.taken + count]
        for i, piece in enumerate(values):
            norms = torch.linalg.vector_norm(piece, dim=1, dtype=torch.float64)
            self.norm2[i] += weights @ norms.square()
        while done < count:
            start, stop, index, coset = next(s for s in self.stops if s[1] > self.taken)
            take = min(count - done, stop - self.taken)
            self._buffer([v[done : done + take] for v in values], self.taken - start, index)
            self.taken += take
            done += take
            if self.taken == stop:
                self._absorb(index, coset)

    def _buffer(self, values: Sequence[torch.Tensor], offset: int, index: int) -> None:
        """Fourier transform along γ, into the buffer of the batch, node by node."""
        n_gamma = self.grid.n_gamma
        if offset == 0 or self.buffer is None:
            nodes = sum(len(ring.alpha) for ring in self.grid.batches[index])
            shape = (nodes, len(self.fourier), self.ends[-1])
            if self.buffer is None or self.buffer.shape != shape:
                self.buffer = None  # free it first
                self.buffer = torch.empty(shape, dtype=torch.float64, device=self.device)
        done, count = 0, len(values[0])
        while done < count:
            node, gamma = divmod(offset + done, n_gamma)
            take = min(count - done, n_gamma - gamma)
            fourier = self.fourier[:, gamma : gamma + take]
            for i, piece in enumerate(values):
                target = self.buffer[node, :, self.ends[i] : self.ends[i + 1]]
                part = piece[done : done + take].to(torch.float64)
                if gamma == 0:
                    torch.mm(fourier, part, out=target)
                else:
                    target.addmm_(fourier, part)
            done += take

    def _absorb(self, index: int, coset: int) -> None:
        """Add the products of a finished batch to the coefficients."""
        assert self.buffer is not None
        poles, table = self.tables[index]
        rotated: torch.Tensor | None = None
        for first in range(0, self.ends[-1], CHANNELS_AT_ONCE):
            part = self.buffer[:, :, first : first + CHANNELS_AT_ONCE]
            rotated = _quarter_turns(part, poles, self.grid.lambda_max, rotated)
            for (n, q), matrix in table.items():
                target = self.sums[coset][n, q][:, first : first + CHANNELS_AT_ONCE]
                if index == 0:  # the first batch of each coset
                    torch.mm(matrix, rotated[q, n].flatten(0, 1), out=target)
                else:
                    target.addmm_(matrix, rotated[q, n].flatten(0, 1))

    def finish(self) -> list[Powers]:
        """Resolve each slice by irrep.

        :raises RuntimeError: if elements are missing
        :return: for each slice one replicate
        """
        if self.taken != len(self.weights):
            raise RuntimeError(
                f"only {self.taken} of {len(self.weights)} elements of the grid were added"
            )
        self.buffer = None
        irreps = self.grid.irreps
        # of one coset, the parity says nothing
        both = len(self.grid.signs) > 1
        column = {
            (irrep.o3_lambda, irrep.parity * both): i for i, irrep in enumerate(irreps)
        }
        powers = torch.zeros(len(self.ends) - 1, len(irreps), dtype=torch.float64)
        for key, rows in self.rows.items():
            scales = torch.tensor([m * (2 * degree + 1) for degree, _, m in rows])
            for sign, squares in self._squares(key):
                into = [column[degree, sign] for degree, _, _ in rows]
                powers.index_add_(1, torch.tensor(into), squares * scales)
        norms = self.norm2.cpu()
        return [
            Powers(irreps, powers[i : i + 1], norms[i : i + 1]) for i in range(len(powers))
        ]

    def _squares(self, key: tuple[int, int]) -> list[tuple[int, torch.Tensor]]:
        """Squared coefficients, ``(slices, rows)``, by parity (0: there is one coset)."""
        proper = self.sums[0].pop(key)
        if len(self.sums) == 1:
            return [(0, self._sum_slices(proper))]
        improper = self.sums[1].pop(key)
        even = self._sum_slices(proper.add_(improper)) / 4
        odd = self._sum_slices(proper.sub_(improper, alpha=2)) / 4
        return [(1, even), (-1, odd)]

    def _sum_slices(self, coefficients: torch.Tensor) -> torch.Tensor:
        """Sum of squares over the channels of each slice, real plus imaginary."""
        slices = zip(self.ends[:-1], self.ends[1:], strict=True)
        norms = [torch.linalg.vector_norm(coefficients[:, a:b], dim=1) for a, b in slices]
        squares = torch.stack(norms).square().cpu()
        return squares.reshape(len(norms), 2, -1).sum(dim=1)


def _fourier(n_gamma: int, lambda_max: int) -> torch.Tensor:
    """Rows: cosines for n = 0 ... λ, then minus sines for n = 1 ... λ, over K."""
    gamma = 2 * np.pi * np.arange(n_gamma) / n_gamma
    phases = np.multiply.outer(np.arange(lambda_max + 1), gamma)
    rows = np.concatenate([np.cos(phases), -np.sin(phases[1:])]) / n_gamma
    return torch.from_numpy(rows)


def _rows(lambda_max: int) -> dict[tuple[int, int], list[tuple[int, int, int]]]:
    """For each (n, m mod 4): the (λ, m) of each row, and how often it counts."""
    rows: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for n in range(lambda_max + 1):
        for degree in range(n, lambda_max + 1):
            for m in range(0 if n == 0 else -degree, degree + 1):
                multiplicity = 1 if n == m == 0 else 2
                rows.setdefault((n, m % 4), []).append((degree, m, multiplicity))
    return rows


def _tables(
    batch: Sequence[Ring], lambda_max: int, device: torch.device
) -> tuple[int, dict[tuple[int, int], torch.Tensor]]:
    """Number of poles, and the matrix of each (n, m mod 4) on real and imaginary parts."""
    alpha = np.array([ring.alpha[0] for ring in batch])
    beta = np.array([ring.beta for ring in batch])
    weight = np.array([ring.weight for ring in batch])
    d = [small_d(degree, beta) for degree in range(lambda_max + 1)]
    table = {}
    for key, rows in _rows(lambda_max).items():
        n = key[0]
        matrix = [
            weight * np.exp(-1j * m * alpha) * d[degree][:, m + degree, n + degree]
            for degree, m, _ in rows
        ]
        e = np.array(matrix)
        real = np.block([[e.real, -e.imag], [e.imag, e.real]])
        table[key] = torch.from_numpy(real).to(device)
    return sum(len(ring.alpha) == 1 for ring in batch), table


def _quarter_turns(
    part: torch.Tensor, poles: int, lambda_max: int, reuse: torch.Tensor | None
) -> torch.Tensor:
    """Fourier transform over quarter turns: ``(q, n, re or im, rings, channels)``."""
    size, channels = lambda_max + 1, part.shape[2]
    count = poles + (part.shape[0] - poles) // 4
    if reuse is None or reuse.shape[-1] != channels:
        reuse = part.new_zeros(4, size, 2, count, channels)
    real, imaginary = part[:poles, :size], part[:poles, size:]
    reuse[:, :, 0, :poles] = real.transpose(0, 1)
    reuse[:, 1:, 1, :poles] = imaginary.transpose(0, 1)
    turns = part[poles:].unflatten(0, (count - poles, 4)).transpose(0, 2)
    a, b, c, d = turns.unbind(1)
    even, odd, difference, rotated = a + c, b + d, a - c, b - d
    out = reuse[:, :, :, poles:]
    for q, combine in ((0, torch.add), (2, torch.sub)):
        combine(even[:size], odd[:size], out=out[q, :, 0])
        combine(even[size:], odd[size:], out=out[q, 1:, 1])
    # q = 1: difference - i rotated, q = 3: difference + i rotated
    for q, one, other in ((1, torch.add, torch.sub), (3, torch.sub, torch.add)):
        out[q, 0, 0] = difference[0]
        one(difference[1:size], rotated[size:], out=out[q, 1:, 0])
        out[q, 0, 1] = rotated[0] if q == 3 else -rotated[0]
        other(difference[size:], rotated[1:size], out=out[q, 1:, 1])
    return reuse
