r"""Ratios of means over structures, and their standard errors.

The ratio is ``Σ_x b_x / Σ_x h_x``; to first order its error is that of
``Σ_x e_x / Σ_x h_x`` with ``e_x = b_x - ratio h_x``. The variance of ``e_x`` comes from
its replicates (circles, sketches), from a bound that is known otherwise, or from the
scatter of ``e_x`` over structures, which holds the variance of each of them and that of
the structures as well: too large, but never too small.

Few replicates know their own variance badly. Errors are widened by Student's t, so that
two of them cover what two standard errors of a normal variable do: at two, a value counts
as seen. (Three then miss 2 % with two degrees of freedom, and fewer with more.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats


SEEN = 2.0
"""Standard errors at which a value counts as seen, and at which coverage is that of a
normal variable."""

UNLUCKY = 1e-3
"""Probability with which an error may be smaller than :func:`doubt` allows for."""

LOOSE = 0.25
"""Share of a bound below which no scatter over structures is believed."""


@lru_cache(maxsize=1024)
def widening(dof: int) -> float:
    """Factor by which an error from few degrees of freedom is widened.

    :param dof: degrees of freedom of the variance
    :return: quantile of Student's t over that of a normal variable; NaN without any
    """
    if dof < 1:
        return float("nan")
    return float(stats.t.ppf(stats.norm.cdf(SEEN), dof)) / SEEN


@lru_cache(maxsize=1024)
def doubt(dof: int) -> float:
    """Factor by which an error from few degrees of freedom may be too small by chance.

    Who picks the smaller of two errors picks those that are too small. The factor is that
    which one error of a thousand exceeds, of those that :func:`widening` has widened.

    :param dof: degrees of freedom of the variance
    :return: from the chi-square distribution; infinity without any
    """
    if dof < 1:
        return float("inf")
    factor = float(np.sqrt(dof / stats.chi2.ppf(UNLUCKY, dof)))
    return max(factor / widening(dof), 1.0)


@dataclass
class Replicates:
    """What one structure says.

    :param b: replicates of the numerator, float64, shape ``(R,)``
    :param h: replicates of the denominator, same shape
    :param noise: variance of the mean of ``b`` that its replicates do not show; NaN if
        one replicate is all there is
    """

    b: np.ndarray
    h: np.ndarray
    noise: float = 0.0


def ratio(parts: Sequence[Replicates], population: int = 0) -> tuple[float, float]:
    """Compute a ratio of means and its standard error.

    :param parts: one entry for each structure
    :param population: number of structures of which these are a random choice, if more:
        the error is that of the ratio over all of them then
    :return: ratio and standard error; NaN for an error that is not known
    """
    total = sum(float(part.h.mean()) for part in parts)
    if total == 0:
        return float("nan"), float("nan")
    value = sum(float(part.b.mean()) for part in parts) / total
    residuals = [part.b - value * part.h for part in parts]
    within = _within(parts, residuals)
    between = _between(residuals)
    variance = within
    if len(parts) > 1 and not _replicated(parts):
        # the scatter of few structures may be small by chance, a bound is never tight
        variance = float(np.fmin(within, np.fmax(between, LOOSE**2 * within)))
    if population > len(parts):
        variance += (1 - len(parts) / population) * between
    return value, float(np.sqrt(variance)) / total


def _replicated(parts: Sequence[Replicates]) -> bool:
    """Whether every variance is that of replicates."""
    return all(len(part.b) > 1 and part.noise == 0 for part in parts)


def _within(parts: Sequence[Replicates], residuals: Sequence[np.ndarray]) -> float:
    """Variance of the sum of residuals, as each structure knows it."""
    scatter, dof = 0.0, 0
    noise = 0.0
    for part, residual in zip(parts, residuals, strict=True):
        noise += part.noise
        if len(residual) > 1:
            scatter += float(residual.var(ddof=1)) / len(residual)
            dof += len(residual) - 1
    if scatter > 0:
        noise += scatter * widening(dof) ** 2
    return noise


def _between(residuals: Sequence[np.ndarray]) -> float:
    """The same from the scatter over structures."""
    if len(residuals) < 2:
        return float("nan")
    means = np.array([residual.mean() for residual in residuals])
    return len(means) * float(means.var(ddof=1)) * widening(len(means) - 1) ** 2
