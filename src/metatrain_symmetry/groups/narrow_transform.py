r"""The same transform for float32 values, with less than half of the memory traffic.

What costs time in :mod:`.fast_transform` is moving coefficients through memory, not
arithmetic. Here only the Fourier transforms along γ are kept, in float32, of all nodes;
coefficients are made for a few channels at a time, which stay in the cache, and are
squared at once.

What float32 may lose is kept small. Values are taken about the first one of each channel,
which changes the coefficient of (0,+) alone, so that rounding is relative to what varies
and not to the mean. Sums over the K angles of a node are float32. Those over nodes and
cosets, and over channels, are float64: with products in float32 a power of 2e-12 of the
squared norm beside a dominant (1,+) was off by 1.5e-3 already.
"""

from collections.abc import Sequence

import numpy as np
import torch

from .base import Powers
from .fast_transform import _fourier, _quarter_turns, _rows, _tables
from .product_rule import ProductRule


CHANNELS_AT_ONCE = 256
"""So that the coefficients of all rings stay in the cache of a core."""

IN_A_SUM = 64
"""Squares that are added in float32 before the sum goes on in float64."""


class NarrowTransform:
    """Accumulates the Fourier transforms of every slice of channels.

    :param grid: the grid whose values come
    :param widths: number of channels of each slice
    :param device: where the sums live
    """

    def __init__(
        self, grid: ProductRule, widths: Sequence[int], device: torch.device
    ) -> None:
        self.grid, self.device = grid, device
        # sums, not means: 1 / K would be rounded, and all of them alike
        fourier = _fourier(grid.n_gamma, grid.lambda_max) * grid.n_gamma
        self.fourier = fourier.to(device, torch.float32)
        self.weights = grid.weights.to(device)
        nodes = len(grid.weights) // grid.n_gamma
        self.slices = [_Slice(self.fourier, nodes, width) for width in widths]
        self.taken = 0

    @staticmethod
    def bytes_per_channel(grid: ProductRule) -> int:
        """Memory that it takes for each channel, in bytes.

        :param grid: the grid
        :return: of what is kept of the values
        """
        nodes = len(grid.weights) // grid.n_gamma
        return 4 * (nodes + 2) * (2 * grid.lambda_max + 1)

    def add(self, values: Sequence[torch.Tensor]) -> None:
        """Take the next elements.

        :param values: for each slice, float32, shape ``(n, channels)``
        """
        count = len(values[0])
        weights = self.weights[self.taken : self.taken + count]
        for one, piece in zip(self.slices, values, strict=True):
            one.add(piece, weights, self.taken, self.grid.n_gamma)
        self.taken += count

    def finish(self) -> list[Powers]:
        """Resolve each slice by irrep.

        :raises RuntimeError: if elements are missing
        :return: for each slice one replicate
        """
        if self.taken != len(self.weights):
            raise RuntimeError(
                f"only {self.taken} of {len(self.weights)} elements of the grid were added"
            )
        products = _Products(self.grid, self.device)
        found = []
        for one in self.slices:
            powers, norm2 = products.of_slice(one)
            norms = torch.tensor([norm2], dtype=torch.float64)
            found.append(Powers(self.grid.irreps, powers[None], norms))
        return found


class _Slice:
    """Fourier transforms along γ of the channels of one slice, a few of them together.

    :param fourier: matrix of the transform, float32, ``(2 λ + 1, angles)``
    :param nodes: number of nodes, of all cosets
    :param width: number of channels
    """

    def __init__(self, fourier: torch.Tensor, nodes: int, width: int) -> None:
        self.fourier, self.width = fourier, width
        count = -(-width // CHANNELS_AT_ONCE)
        each = -(-width // count)
        # zeros beyond the last channel add nothing to any power
        self.current = fourier.new_zeros(len(fourier), count * each)
        self.blocks = fourier.new_empty(count, nodes, len(fourier), each)
        self.reference = fourier.new_zeros(count * each)
        self.squares = 0.0

    def add(self, piece: torch.Tensor, weights: torch.Tensor, taken: int, n: int) -> None:
        """Take the values at the next elements.

        :param piece: float32, ``(elements, channels)``
        :param weights: of the elements, float64
        :param taken: number of elements that came before
        :param n: number of angles γ of a node
        """
        if taken == 0:
            self.reference[: self.width] = piece[0]
        varying = piece - self.reference[: self.width]
        self.squares += float(weights @ _squared_norms(varying))
        current, done = self.current[:, : self.width], 0
        while done < len(piece):
            node, gamma = divmod(taken + done, n)
            take = min(len(piece) - done, n - gamma)
            fourier, part = (
                self.fourier[:, gamma : gamma + take],
                varying[done : done + take],
            )
            if gamma == 0:
                torch.mm(fourier, part, out=current)
            else:
                current.addmm_(fourier, part)
            if gamma + take == n:
                blocks = self.current.unflatten(1, (len(self.blocks), -1))
                self.blocks[:, node] = blocks.transpose(0, 1)
            done += take


def _squared_norms(values: torch.Tensor) -> torch.Tensor:
    """Squared norm of each row, float64; short sums in float32."""
    width = values.shape[1]
    whole = width - width % IN_A_SUM
    parts = values[:, :whole].unflatten(1, (-1, IN_A_SUM))
    norms = torch.linalg.vector_norm(parts, dim=2).to(torch.float64)
    squares = norms.square().sum(dim=1)
    if whole < width:
        squares += values[:, whole:].to(torch.float64).square().sum(dim=1)
    return squares


class _Products:
    """Coefficients of a few channels at a time, and their squares.

    :param grid: the grid
    :param device: where the values live
    """

    def __init__(self, grid: ProductRule, device: torch.device) -> None:
        self.grid, self.cosets = grid, len(grid.signs)
        every = [ring for batch in grid.batches for ring in batch]
        self.poles, table = _tables(every, grid.lambda_max, device)
        self.table = {key: matrix / grid.n_gamma for key, matrix in table.items()}
        self.weights = grid.weights[:: grid.n_gamma].to(device)
        rows = _rows(grid.lambda_max)
        self.keys = [(key, 2 * len(rows[key])) for key in self.table]
        degrees, counts = [], []
        for key, _ in self.keys:
            degrees += 2 * [degree for degree, _, _ in rows[key]]
            counts += 2 * [m * (2 * degree + 1) for degree, _, m in rows[key]]
        self.degrees = torch.tensor(degrees)
        self.counts = torch.tensor(counts, dtype=torch.float64)
        # of sums over cosets, not means
        self.counts /= self.cosets**2
        self.batches = self._batches()
        self.nodes = sum(size for _, size in self.batches)
        self.rotated: torch.Tensor | None = None
        self.memory: dict[str, torch.Tensor] = {}

    def _batches(self) -> list[tuple[int, int]]:
        """Where the nodes of each batch start, and how many there are of a coset."""
        sizes = [sum(len(ring.alpha) for ring in batch) for batch in self.grid.batches]
        starts = np.cumsum([0, *sizes[:-1]]) * self.cosets
        return [(int(a), size) for a, size in zip(starts, sizes, strict=True)]

    def of_slice(self, one: _Slice) -> tuple[torch.Tensor, float]:
        """Powers of a slice, and its squared norm.

        :param one: the slice
        :return: float64, ``(irreps,)``, and a number
        """
        squares = torch.zeros(len(self.counts), self.cosets, dtype=torch.float64)
        references = one.reference.to(torch.float64).unflatten(0, (len(one.blocks), -1))
        norm2 = one.squares
        for block, reference in zip(one.blocks, references, strict=True):
            found = self._coefficients(block)
            norms = torch.linalg.vector_norm(found, dim=2).to(torch.float64).square()
            # (0,+) in float64: it alone has the reference, which both cosets share
            varying = self.weights @ block[:, 0].to(torch.float64)
            norms[0, 0] = (self.cosets * (varying + reference)).square().sum()
            squares += norms.cpu()
            norm2 += float(reference @ (reference + 2 * varying))
        return self._by_irrep(squares * self.counts[:, None]), norm2

    def _coefficients(self, part: torch.Tensor) -> torch.Tensor:
        """Coefficients of some channels: ``(rows, cosets, channels)``, (0, 0, 0) first."""
        channels = part.shape[2]
        even_odd = self._even_odd(part).flatten(2)
        turns = _quarter_turns(even_odd, self.poles, self.grid.lambda_max, self.rotated)
        self.rotated = turns
        found = self._reused("found", (len(self.counts), even_odd.shape[2]))
        row = 0
        for (n, q), size in self.keys:
            into = found[row : row + size]
            torch.mm(self.table[n, q], turns[q, n].flatten(0, 1), out=into)
            row += size
        return found.unflatten(1, (self.cosets, channels))

    def _even_odd(self, part: torch.Tensor) -> torch.Tensor:
        """Parts even and odd under inversion: ``(nodes, 2 λ + 1, cosets, channels)``."""
        shape = (self.nodes, part.shape[1], self.cosets, part.shape[2])
        found, start = self._reused("even and odd", shape), 0
        for first, size in self.batches:
            target = found[start : start + size]
            proper = part[first : first + size].to(torch.float64)
            if self.cosets == 1:
                target[:, :, 0] = proper
            else:
                improper = part[first + size : first + 2 * size]
                improper = improper.to(torch.float64)
                torch.add(proper, improper, out=target[:, :, 0])
                torch.sub(proper, improper, out=target[:, :, 1])
            start += size
        return found

    def _reused(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Memory of the block before, where it has the same shape: new pages cost time."""
        known = self.memory.get(name)
        if known is None or known.shape != shape:
            known = torch.empty(shape, dtype=torch.float64, device=self.weights.device)
            self.memory[name] = known
        return known

    def _by_irrep(self, squares: torch.Tensor) -> torch.Tensor:
        """Sum what belongs to one irrep: ``(rows, cosets)`` to ``(irreps,)``."""
        irreps = self.grid.irreps
        signs = (1, -1) if self.cosets == 2 else (0,)
        column = {
            (i.o3_lambda, i.parity * (self.cosets == 2)): k for k, i in enumerate(irreps)
        }
        powers = torch.zeros(len(irreps), dtype=torch.float64)
        for place, sign in enumerate(signs):
            into = torch.tensor([column[int(d), sign] for d in self.degrees])
            powers.index_add_(0, into, squares[:, place])
        return powers
