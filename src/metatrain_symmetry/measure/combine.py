r"""From structures to a spectrum: shares, residuals and their standard errors.

For each probe, with b the powers per sample (atom, edge, structure) and h the squared
norm per sample, the share of an irrep is the ratio of means over structures,
``Σ_x b(x) / Σ_x h(x)``.

A point set in a random frame (a grid, the orbit of a finite group) gives the channels of
its band on every structure that has one; what it folds back from beyond is known through
the mixing matrix from the circles of the same structure, and is subtracted (see
:mod:`.folding`). Where it resolves all channels, it also gives what lies beyond them.
Circles give the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..groups.base import AnyIrrep, folds
from ..models.engine import Block
from .errors import SEEN, Replicates, doubt, ratio
from .folding import Folding
from .resolver import Spectrum
from .structure import Measured


ROUNDED = 4
"""Roundings of the squared norm up to which nothing is left of it."""

MANY_CIRCLES = 24
"""Circles in all from which on their scatter is believed where a set says otherwise."""


@dataclass
class Share:
    """One row of the table of characters.

    :param irrep: the irrep, or None for the residual
    :param B: power per sample, averaged over structures, in squared units
    :param share: of the squared norm
    :param stderr: standard error of the share; NaN where it is not known
    :param estimator: ``grid``, ``orbit``, ``circles`` or ``mixed``
    """

    irrep: AnyIrrep | None
    B: float
    share: float
    stderr: float
    estimator: str


def spectra_of(
    keys: Sequence[Block | str],
    sets: Sequence[Measured | None],
    circles: Sequence[Measured | None],
    irreps: Sequence[AnyIrrep],
    population: int | None = None,
    epsilon: float = 2.0**-52,
) -> dict[Block | str, list[Share]]:
    """Combine the structures of every output and probe.

    :param keys: blocks and probes
    :param sets: for each structure what its point set says, if it has one
    :param circles: for each structure what its circles say, if it has any
    :param irreps: what to report
    :param population: see :func:`combine`
    :param epsilon: see :func:`combine`
    :return: shares, residual last, of all that are known and not zero
    """
    found = {}
    for key in keys:
        first, second = (
            [None if one is None else one.spectra.get(key) for one in several]
            for several in (sets, circles)
        )
        if any(one is not None for one in [*first, *second]):
            shares = combine(first, second, irreps, population, epsilon)
            if shares:
                found[key] = shares
    return found


def combine(
    grid: Sequence[Spectrum | None],
    circles: Sequence[Spectrum | None],
    irreps: Sequence[AnyIrrep],
    population: int | None = None,
    epsilon: float = 2.0**-52,
) -> list[Share]:
    """Combine the structures of one probe.

    :param grid: for each structure its spectrum from a quadrature or from a point set in
        a random frame, if it has one
    :param circles: for each structure its spectrum from circles, if it has one
    :param irreps: what to report
    :param population: number of structures of which these are a random choice, if more
    :param epsilon: relative rounding error of the values, by default that of float64
    :return: one share for each irrep, then the residual
    """
    return _Probe(grid, circles, irreps, population, epsilon).shares()


class _Probe:
    """The structures of one probe that have a spectrum."""

    def __init__(
        self,
        grid: Sequence[Spectrum | None],
        circles: Sequence[Spectrum | None],
        irreps: Sequence[AnyIrrep],
        population: int | None,
        epsilon: float,
    ) -> None:
        self.pairs = [
            (g, c)
            for g, c in zip(grid, circles, strict=True)
            if g is not None or c is not None
        ]
        self.irreps, self.epsilon = irreps, epsilon
        self.population = max(population or 0, len(self.pairs))
        best = [g if g is not None else c for g, c in self.pairs]
        self.norm = float(sum(s.norm for s in best if s is not None))
        self.folding = Folding(self.pairs)

    def shares(self) -> list[Share]:
        if self.norm == 0:
            return []
        found = [self._share(irrep) for irrep in self.irreps]
        kinds = {share.estimator for share in found}
        rest, error = self._residual()
        kind = kinds.pop() if len(kinds) == 1 else "mixed"
        return [*found, self._row(None, rest, error, kind)]

    def _row(self, irrep: AnyIrrep | None, share: float, error: float, kind: str) -> Share:
        # rounding is in every value, and squared in a power that should vanish
        floor = self.epsilon * abs(share) + 4 * self.epsilon**2
        error = float(np.hypot(error, floor))
        return Share(irrep, share * self.norm / len(self.pairs), share, error, kind)

    def _share(self, irrep: AnyIrrep) -> Share:
        """Share of one irrep, from what knows it best."""
        sets = [(g, c) for g, c in self.pairs if g is not None and irrep in g.powers.irreps]
        circles = [c for g, c in self.pairs if c is not None and irrep in c.powers.irreps]
        everywhere = len(self.pairs)
        found = []
        if len(sets) == everywhere or (sets and not circles):
            found.append(self._of_sets(irrep, sets))
        if len(circles) == everywhere or not sets:
            share, error = self._of_circles(_power(irrep), circles)
            found.append(self._row(irrep, share, error, "circles"))
        if sets and len(sets) < everywhere and irrep.pseudo:
            found.append(self._of_sets(irrep, sets))
        known = [share for share in found if share.stderr == share.stderr]
        if known:
            return known[_better([(s.share, s.stderr) for s in known], circles)]
        return self._mixed(irrep) if sets and circles else found[0]

    def _of_sets(
        self, irrep: AnyIrrep, sets: Sequence[tuple[Spectrum, Spectrum | None]]
    ) -> Share:
        kinds = {g.kind for g, _ in sets}
        kind = kinds.pop() if len(kinds) == 1 else "mixed"
        share, error = self.folding.ratio(irrep, sets, self.population)
        return self._row(irrep, share, error, kind)

    def _mixed(self, irrep: AnyIrrep) -> Share:
        """A set where a structure has one, circles elsewhere."""
        having = [
            irrep in g.powers.irreps if g is not None else False for g, _ in self.pairs
        ]
        sets = [pair for pair, has in zip(self.pairs, having, strict=True) if has]
        rest = [c for (_, c), has in zip(self.pairs, having, strict=True) if not has]
        parts = self.folding.parts(irrep, sets)
        parts += [
            _replicates(_power(irrep), c)
            for c in rest
            if c is not None and irrep in c.powers.irreps
        ]
        share, error = ratio(parts, self.population)
        error = float(np.hypot(error, self.folding.shared([irrep])))
        return self._row(irrep, share, error, "mixed")

    def _of_circles(
        self, value: Callable[[Spectrum], np.ndarray], circles: Sequence[Spectrum]
    ) -> tuple[float, float]:
        if not circles:
            return float("nan"), float("nan")
        return ratio([_replicates(value, c) for c in circles], self.population)

    def _residual(self) -> tuple[float, float]:
        """What lies beyond the irreps: small as it is, not one minus a sum of shares."""
        circles = [c for _, c in self.pairs if c is not None]
        if len(circles) == len(self.pairs) and all(self._resolved(c) for c in circles):
            of_circles = self._of_circles(self._beyond, circles)
            left = self.folding.beyond(self.irreps, self.population, self.epsilon)
            # a difference of large numbers: nothing but rounding where it is as small
            if left is None or left[0] <= ROUNDED * self.epsilon:
                return of_circles
            found = [left, of_circles]
            return found[_better(found, circles)]
        sets = [g if g is not None else c for g, c in self.pairs]
        parts = [_replicates(self._beyond, s) for s in sets if s is not None]
        for part, spectrum in zip(parts, sets, strict=True):
            orbit = None if spectrum is None else spectrum.orbit
            if folds(orbit):
                # what is folded back is missing here
                lost = min(orbit.most_folded(None, orbit.lambda_max + 1), 0.9)
                part.noise = (float(part.b.mean()) * lost / (1 - lost)) ** 2
        return ratio(parts, self.population)

    def _resolved(self, spectrum: Spectrum) -> bool:
        return all(irrep in spectrum.powers.irreps for irrep in self.irreps)

    def _beyond(self, spectrum: Spectrum) -> np.ndarray:
        """Replicates of what is left beyond the irreps."""
        kept = [i for i, irrep in enumerate(spectrum.powers.irreps) if irrep in self.irreps]
        powers = spectrum.powers.powers[:, kept].sum(dim=1)
        return (spectrum.powers.norm2 - powers).numpy()


def _better(found: Sequence[tuple[float, float]], circles: Sequence[Spectrum]) -> int:
    """Which of several estimates to take: another one where it surely knows much better.

    Powers along circles are skewed: a few circles may miss both a power and that it
    scatters. So they have to be many, and to agree with the first estimate.

    :param found: values and errors, in order of preference
    :param circles: of the same structures
    """
    (first, bar), best = found[0], int(np.argmin([error for _, error in found]))
    several = sum(len(c.powers.norm2) for c in circles)
    if several < MANY_CIRCLES or not abs(found[best][0] - first) <= SEEN * bar:
        return 0
    sure = doubt(sum(len(c.powers.norm2) - 1 for c in circles))
    return best if found[best][1] * sure < bar / 2 else 0


def _power(irrep: AnyIrrep) -> Callable[[Spectrum], np.ndarray]:
    """Replicates of the power of one irrep."""
    return lambda s: s.powers.powers[:, s.powers.irreps.index(irrep)].numpy()


def _replicates(value: Callable[[Spectrum], np.ndarray], spectrum: Spectrum) -> Replicates:
    """Replicates of a value and of the squared norm, per sample."""
    samples = spectrum.n_samples
    b, h = value(spectrum) / samples, spectrum.powers.norm2.numpy() / samples
    # one circle does not know its own error, a quadrature has none
    single = spectrum.kind == "circles" and len(b) == 1
    folded = (spectrum.powers.tail / samples) ** 2
    return Replicates(b, h, float("nan") if single else folded)
