r"""What point sets in random frames fold back: subtracted, its noise bounded.

With p the projections on a set and M its mixing matrix (see
:mod:`metatrain_symmetry.groups.mixing`), ``E p_α = B_α + Σ_β M_αβ B_β`` over the β beyond
the band. The sum, f, is estimated from circles of the same structure and subtracted. What
the circles do not resolve is taken to have the mean of ``M_αβ`` over the next β, and the
largest deviation from this mean is an error that all structures share. What remains is
noise of the frame: ``p_α = |c + F|²`` with coefficients c of the channel and F folded on
top of them, ``E |F|² = f``, so that by Cauchy-Schwarz the standard deviation is at most
``2 sqrt(B_α f)`` plus that of ``|F|²`` itself, ``sqrt(2) f`` for one degree of freedom.

The squared norm itself is averaged over the set, exactly up to its degree; its variance is
that of the quadrature of a scalar function, ``Σ_β M_0β B^q_β`` with the powers of
``q = |h|²``, which circles give too.

What lies beyond the irreps is ``r = h - Σ_α c_α``. The products of the c with themselves
are exact on the set, and those of c with r are the ``c · F`` above, so that both cancel in
``<|h|²> - Σ_α p_α = <|r|²> - Σ_α |F_α|²``, whose mean is ``Σ_β B_β - Σ_α f_α``: adding what
is folded gives the residual without a bias.

The set averages ``|r|²`` exactly but for the part ``r_2`` of r beyond half of its degree.
What that adds, ``q = 2 r_1 · r_2 + |r_2|²``, is averaged as any scalar is: with m the
largest ``M_0β`` beyond the degree, the variance is at most ``m (<q²> - <q>²)``. For the
bracket, that of normal variables is taken, ``4 |r_1|² |r_2|² + 2 |r_2|⁴``, and the
``|F_α|²`` count as squares of one normal variable for each α.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache

import numpy as np

from ..groups.base import AnyIrrep, FoldingOrbit, Orbit, PointSet, folds
from ..groups.folding import MARGIN, folding_matrix
from .errors import Replicates, ratio, widening
from .quadrature import quadrature_variance
from .resolver import Spectrum


ROUNDING = 1e-13
"""Share of the squared norm that rounding alone may leave."""

Pair = tuple[Spectrum | None, Spectrum | None]


class Folding:
    """Subtracts what sets fold back.

    :param pairs: for each structure its spectrum from a set and from circles
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs

    def ratio(
        self, irrep: AnyIrrep, pairs: Sequence[Pair], population: int
    ) -> tuple[float, float]:
        """Share of an irrep over structures that have a set.

        :param irrep: within the band of every set
        :param pairs: these structures
        :param population: see :func:`~.errors.ratio`
        :return: share and standard error
        """
        share, error = ratio(self.parts(irrep, pairs), population)
        return share, float(np.hypot(error, self.shared([irrep])))

    def shared(self, irreps: Sequence[AnyIrrep]) -> float:
        """Error of what irreps collect from beyond the circles, alike in all structures.

        :param irreps: within the band of every set
        :return: as a share; zero where there are no circles, whose part is noise then
        """
        most = 0.0
        for g, c in self.pairs:
            if g is not None and c is not None and folds(g.orbit):
                most = max(most, _collected(g.orbit, tuple(irreps), c.powers.limit)[1])
        return most * self._unresolved if self._unresolved > ROUNDING else 0.0

    def parts(self, irrep: AnyIrrep, pairs: Sequence[Pair]) -> list[Replicates]:
        """Powers without what is folded, with the noise that this leaves.

        :param irrep: within the band of every set
        :param pairs: the structures
        :return: one entry for each structure, per sample
        """
        parts = [self._subtracted(irrep, g, c) for g, c in pairs if g is not None]
        h = np.array([part.h.mean() for part in parts])
        if not h.sum() > 0:
            return parts
        share = max(sum(float(part.b.mean()) for part in parts) / h.sum(), 0.0)
        orbits = _distinct(g.orbit for g, _ in pairs if g is not None)
        level = max((self._level(irrep, orbit) for orbit in orbits), default=0.0)
        spread = 0.0
        if level > ROUNDING:
            spread = noise_of(level, share + level)
        self._add_noise(parts, share, spread, orbits)
        return parts

    def beyond(
        self, irreps: Sequence[AnyIrrep], population: int, epsilon: float = 2.0**-52
    ) -> tuple[float, float] | None:
        """Share of what lies beyond some irreps, where every structure has set and circles.

        :param irreps: what is not counted
        :param population: see :func:`~.errors.ratio`
        :param epsilon: relative rounding error of the values
        :return: share and standard error; None where a set does not resolve the irreps, or
            where circles are missing
        """
        parts, orbits = [], []
        for g, c in self.pairs:
            if g is None or c is None or not folds(g.orbit):
                return None
            if any(irrep not in g.powers.irreps for irrep in irreps):
                return None
            parts.append(self._left(irreps, g, c))
            orbits.append(g.orbit)
        h = sum(float(part.h.mean()) for part in parts)
        if not h > 0:
            return None
        share = sum(float(part.b.mean()) for part in parts) / h
        distinct = _distinct(orbits)
        spread = max(self._spread(irreps, orbit, max(share, 0.0)) for orbit in distinct)
        self._add_noise(parts, share, spread, distinct)
        share, error = ratio(parts, population)
        return share, float(np.linalg.norm([error, self.shared(irreps), epsilon]))

    def _add_noise(
        self,
        parts: Sequence[Replicates],
        share: float,
        spread: float,
        orbits: Sequence[FoldingOrbit],
    ) -> None:
        """Add to each structure that of its power and of its squared norm."""
        norms = max((self._norms(orbit) for orbit in orbits), default=0.0)
        for part in parts:
            part.noise += (spread**2 + share**2 * norms) * float(part.h.mean()) ** 2

    def _left(
        self, irreps: Sequence[AnyIrrep], spectrum: Spectrum, circles: Spectrum
    ) -> Replicates:
        """Replicates of what a set leaves, with what it folds back."""
        samples = spectrum.n_samples
        kept = [spectrum.powers.irreps.index(irrep) for irrep in irreps]
        h = spectrum.powers.norm2.numpy() / samples
        b = h - spectrum.powers.powers[:, kept].sum(dim=1).numpy() / samples
        folded = _folded(spectrum.orbit, irreps, circles)
        assert folded is not None
        noise = (ROUNDING * float(h.mean())) ** 2 + _variance(folded)
        return Replicates(b + folded.mean(), h, noise)

    def _spread(
        self, irreps: Sequence[AnyIrrep], orbit: FoldingOrbit, share: float
    ) -> float:
        """Standard deviation of the squared norm of what a set leaves, as a share."""
        limit = max(c.powers.limit for _, c in self.pairs if c is not None) + MARGIN
        half, family = orbit.degree // 2, orbit.points.family
        matrix = folding_matrix(orbit.points, half, limit)
        rows = [irrep in irreps for irrep in family(half)]
        far = np.array([float(irrep.degree > half) for irrep in family(limit)])
        below, outside = (
            self._upper_share(lambda c, row=row: row[: len(c.powers.irreps)], row.max())
            for row in (np.linalg.norm(matrix[rows], axis=0), far)
        )
        most = orbit.most_folded(family(0)[0], orbit.degree + 1)
        variance = most * (4 * max(share, outside) * outside + 2 * outside**2)
        return float(np.sqrt(variance) + np.sqrt(2) * below)

    def _upper_share(self, row: Callable[[Spectrum], np.ndarray], most: float) -> float:
        """Upper estimate of a weighted sum of powers, from circles."""
        known = []
        for _, c in self.pairs:
            if c is not None:
                powers, norm = c.powers.powers.numpy(), c.powers.norm2.numpy()
                known.append(Replicates(powers @ row(c) / c.n_samples, norm / c.n_samples))
        return _upper(known) + most * self._unresolved

    @cached_property
    def _unresolved(self) -> float:
        """Upper estimate of the share that the circles do not resolve."""
        parts = []
        for _, c in self.pairs:
            if c is not None:
                norm = c.powers.norm2.numpy() / c.n_samples
                rest = norm - c.powers.powers.numpy().sum(axis=1) / c.n_samples
                parts.append(Replicates(rest, norm))
        return _upper(parts) if parts else 0.0

    def _norms(self, orbit: FoldingOrbit) -> float:
        """Relative variance of the squared norm as the set averages it."""
        variance = squares = 0.0
        for _, c in self.pairs:
            if c is not None and c.squares is not None:
                variance += quadrature_variance(c.squares, orbit)
                squares += float(c.powers.norm2.mean()) ** 2
        relative = variance / squares if squares > 0 else 0.0
        return relative if relative > ROUNDING**2 else 0.0

    def _subtracted(
        self, irrep: AnyIrrep, spectrum: Spectrum, circles: Spectrum | None
    ) -> Replicates:
        """Replicates of one structure; the noise is that of what is subtracted."""
        samples = spectrum.n_samples
        index = spectrum.powers.irreps.index(irrep)
        powers = spectrum.powers.powers[:, index].numpy() / samples
        part = Replicates(powers, spectrum.powers.norm2.numpy() / samples)
        tail = spectrum.powers.tail / samples
        if tail > ROUNDING * part.h.mean():
            part.noise = noise_of(tail, float(powers.mean())) ** 2
        folded = _folded(spectrum.orbit, [irrep], circles)
        if folded is not None:
            part.b = part.b - folded.mean()
            if len(folded) > 1:
                part.noise = _variance(folded)
        return part

    def _level(self, irrep: AnyIrrep, orbit: FoldingOrbit) -> float:
        """Upper estimate of the share that is folded into an irrep."""
        circles = [c for _, c in self.pairs if c is not None]
        if not circles:
            return self._level_of_band(irrep, orbit)
        limit = max(c.powers.limit for c in circles)

        def row(c: Spectrum) -> np.ndarray:
            found = _row(orbit, irrep, c)
            assert found is not None
            return found

        return self._upper_share(row, orbit.most_folded(irrep, limit + 1))

    def _level_of_band(self, irrep: AnyIrrep, orbit: FoldingOrbit) -> float:
        """The same without circles, from what the band leaves of the squared norm."""
        spectra = [g for g, _ in self.pairs if g is not None]
        rest = [
            Replicates(
                (g.powers.norm2 - g.powers.powers.sum(dim=1)).numpy() / g.n_samples,
                g.powers.norm2.numpy() / g.n_samples,
            )
            for g in spectra
        ]
        lost = orbit.most_folded(None, orbit.lambda_max + 1)
        most = orbit.most_folded(irrep, orbit.lambda_max + 1)
        return most * _upper(rest) / max(1 - lost, 0.05)


def noise_of(folded: float, power: float) -> float:
    """Standard deviation that what is folded may give to a power.

    :param folded: what lies on top of the channel, on average
    :param power: of the channel
    :return: by Cauchy-Schwarz, see above
    """
    return float(2 * np.sqrt(max(power, 0.0) * folded) + np.sqrt(2) * folded)


def _distinct(orbits: Iterable[Orbit | None]) -> list[FoldingOrbit]:
    """One orbit of each kind that folds, whatever its frame."""
    return list({o.points: o for o in orbits if folds(o)}.values())


def _variance(several: np.ndarray) -> float:
    """Variance of the mean of a few, widened as errors are; zero of one alone."""
    if len(several) < 2:
        return 0.0
    wider = widening(len(several) - 1)
    return float(several.var(ddof=1)) / len(several) * wider**2


def _folded(
    orbit: Orbit | None, irreps: Sequence[AnyIrrep], circles: Spectrum | None
) -> np.ndarray | None:
    """What is folded into some irreps, per sample, as each circle says."""
    rows = [_row(orbit, irrep, circles) for irrep in irreps]
    if circles is None or not folds(orbit):
        return None
    powers = circles.powers.powers.numpy()
    row = np.sum([row for row in rows if row is not None], axis=0)
    norm = circles.powers.norm2.numpy()
    beyond = norm - powers.sum(axis=1)
    if abs(beyond.mean()) < ROUNDING * norm.mean():
        beyond = np.zeros_like(beyond)
    mean, _ = _collected(orbit, tuple(irreps), circles.powers.limit)
    found: np.ndarray = (powers @ row + mean * beyond) / circles.n_samples
    return found


def _collected(
    orbit: FoldingOrbit, irreps: tuple[AnyIrrep, ...], limit: int
) -> tuple[float, float]:
    """Share that some irreps collect of one beyond a degree: mean, largest deviation."""
    return _collected_by(orbit.points, orbit.lambda_max, irreps, limit)


@lru_cache(maxsize=256)
def _collected_by(
    points: PointSet, lambda_max: int, irreps: tuple[AnyIrrep, ...], limit: int
) -> tuple[float, float]:
    rows, columns = points.family(lambda_max), points.family(limit + MARGIN)
    matrix = folding_matrix(points, lambda_max, limit + MARGIN)
    own = matrix[[irrep in irreps for irrep in rows]].sum(axis=0)
    own = own[[irrep.degree > limit for irrep in columns]]
    return float(own.mean()), float(abs(own - own.mean()).max())


def _upper(parts: Sequence[Replicates]) -> float:
    """A ratio plus two of its standard errors, where it has one; not negative."""
    value, error = ratio(parts)
    return max(value, 0.0) + 2 * (error if error == error else abs(value))


def _row(
    orbit: Orbit | None, irrep: AnyIrrep, circles: Spectrum | None
) -> np.ndarray | None:
    """Row of M for the irreps of some circles; None where nothing is folded or known."""
    if circles is None or not folds(orbit):
        return None
    row: np.ndarray = orbit.folded(irrep, circles.powers.limit)
    return row[: len(circles.powers.irreps)]
