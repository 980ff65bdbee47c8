r"""From structures to a spectrum: shares, residuals and their standard errors.

For each probe, with b the powers per sample (atom, edge, structure) and h the squared
norm per sample, the share of an irrep is the ratio of means over structures,
``Σ_x b(x) / Σ_x h(x)``. Proper channels use every structure: exactly where a grid was
evaluated, by circles elsewhere. Pseudo channels use the structures with a grid, if
there are any, since circles tell them badly (science of
:mod:`metatrain_symmetry.group.circles`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .structure import Spectrum


@dataclass
class Share:
    """One row of the table of characters.

    :param irrep: the irrep, or None for the residual
    :param B: power per sample, averaged over structures, in squared units
    :param share: of the squared norm
    :param stderr: standard error of the share: of circles, sketches, and of the choice
        of structures where not all were used
    :param estimator: ``grid``, ``circles`` or ``mixed``
    """

    irrep: Any
    B: float
    share: float
    stderr: float
    estimator: str


def combine(
    grid: Sequence[Spectrum | None],
    circles: Sequence[Spectrum | None],
    irreps: Sequence[Any],
) -> list[Share]:
    """Combine the structures of one probe.

    :param grid: for each structure its spectrum from a quadrature, if it has one
    :param circles: for each structure its spectrum from circles, if it has one
    :param irreps: what to report
    :return: one share for each irrep, then the residual
    """
    best = [g if g is not None else c for g, c in zip(grid, circles, strict=True)]
    used = [s for s in best if s is not None]
    norm = sum(_norm(s) for s in used)
    if norm == 0:
        return []
    shares = [_share(irrep, grid, circles, norm, len(used)) for irrep in irreps]
    # of each structure's own orbit: small as it is, it would drown in the sum of shares
    exact = {id(s) for s in grid if s is not None}
    rest, error = _ratio(lambda s: _beyond(s, irreps), used, len(used), exact)
    estimators = {share.estimator for share in shares}
    estimator = estimators.pop() if len(estimators) == 1 else "mixed"
    return [*shares, Share(None, rest * norm / len(used), rest, error, estimator)]


def _power(irrep: Any) -> Callable[[Spectrum], torch.Tensor]:
    """Replicates of the power of one irrep."""
    return lambda s: s.powers.powers[:, s.powers.irreps.index(irrep)]


def _beyond(spectrum: Spectrum, irreps: Sequence[Any]) -> torch.Tensor:
    """Replicates of what is left beyond some irreps."""
    kept = [i for i, irrep in enumerate(spectrum.powers.irreps) if irrep in irreps]
    return spectrum.powers.norm2 - spectrum.powers.powers[:, kept].sum(dim=1)


def _norm(spectrum: Spectrum) -> float:
    """Squared norm per sample."""
    return float(spectrum.powers.norm2.mean()) / spectrum.n_samples


def _share(
    irrep: Any,
    grid: Sequence[Spectrum | None],
    circles: Sequence[Spectrum | None],
    norm: float,
    count: int,
) -> Share:
    """Share of one irrep, from the structures that tell it best."""
    exact = [s for s in grid if s is not None and irrep in s.powers.irreps]
    pseudo = getattr(irrep, "o3_sigma", 1) == -1
    if exact and (pseudo or len(exact) == count):
        share, error = _ratio(_power(irrep), exact, count)
        return Share(irrep, share * norm / count, share, error, "grid")
    used = [
        g if g is not None and irrep in g.powers.irreps else c
        for g, c in zip(grid, circles, strict=True)
    ]
    known = [s for s in used if s is not None and irrep in s.powers.irreps]
    share, error = _ratio(_power(irrep), known, len(known), {id(s) for s in exact})
    return Share(irrep, share * norm / count, share, error, "mixed" if exact else "circles")


def _ratio(
    value: Callable[[Spectrum], torch.Tensor],
    spectra: Sequence[Spectrum],
    count: int,
    exact: set[int] | None = None,
) -> tuple[float, float]:
    """Ratio of means and its standard error.

    :param value: replicates of what is asked for
    :param spectra: the structures used
    :param count: how many there are in all; if more, their choice adds to the error
    :param exact: ids of those that are known exactly though others are not
    """
    b = [value(s) / s.n_samples for s in spectra]
    h = [s.powers.norm2 / s.n_samples for s in spectra]
    total = float(sum(x.mean() for x in h))
    share = float(sum(x.mean() for x in b)) / total
    residuals = [bx - share * hx for bx, hx in zip(b, h, strict=True)]
    variance = 0.0
    single = []
    for spectrum, r in zip(spectra, residuals, strict=True):
        if len(r) > 1:  # replicates: circles or sketches
            variance += float(r.var()) / len(r)
        elif exact is not None and id(spectrum) not in exact:
            single.append(float(r[0]))
    if len(single) > 1:  # one circle each: their scatter holds that of structures too
        variance += len(single) * float(torch.tensor(single).double().var())
    elif single:
        return share, float("nan")
    if len(spectra) < count:  # the others were left out
        means = torch.stack([r.mean() for r in residuals])
        if len(spectra) == 1:
            return share, float("nan")
        left_out = 1 - len(spectra) / count
        variance += left_out * len(spectra) * float(means.var())
    return share, variance**0.5 / total
