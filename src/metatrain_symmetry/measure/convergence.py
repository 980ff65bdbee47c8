"""One meaning of "converged": next to nothing lies beyond the λmax that was asked for.

What a grid folds back from beyond its band is subtracted, and the noise of that is part of
the standard errors: it has no share in this. Nor have outputs that are zero up to rounding:
what their spectrum shows is rounding.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch

from ..models.engine import Block
from .labels import block_label
from .run import Run
from .settings import Settings


def convergence(
    table: pd.DataFrame, run: Run, settings: Settings, zero: Sequence[Block] = ()
) -> dict[str, Any]:
    """Say whether the spectra are complete, and if not, what that takes.

    :param table: of characters
    :param run: what was measured
    :param settings: for λmax and the tolerance
    :param zero: outputs that are zero up to rounding; ``table`` does not hold them
    :return: entries of the summary
    """
    rest = table[table.channel == "residual"]
    if len(rest):
        done = bool(rest.converged.all())
        text = _text(rest, done, run, settings, zero)
    else:
        done = len(zero) > 0
        text = "NOT converged: too little time to resolve any spectrum"
        if done:
            text = "converged: there is no spectrum to resolve"
    return {
        "converged": done,
        "convergence_text": "; ".join([text, *_zeros(zero)]),
        "residuals_beyond_lambda_max": dict(zip(rest.probe, rest.share, strict=True)),
    }


def _zeros(zero: Sequence[Block]) -> list[str]:
    """A clause about outputs that are zero up to rounding, if there are any."""
    names = [block_label(block.target, block.detail, str(block.irrep)) for block in zero]
    if not names:
        return []
    *first, last = names
    words = f"{', '.join(first)} and {last} are" if first else f"{last} is"
    return [f"{words} zero up to rounding and left out"]


def _text(
    rest: pd.DataFrame, done: bool, run: Run, settings: Settings, zero: Sequence[Block]
) -> str:
    """One sentence about the residuals."""
    if run.group.finite:
        return f"exact: {run.group.name} is finite, and its irreps are all there is"
    some = rest if done else rest[~rest.converged.astype(bool)]
    # as the tolerance sees them
    bounds = (some.share.clip(lower=0) + 2 * some.stderr.fillna(0.0)).to_numpy(dtype=float)
    worst: Any = some.iloc[int(bounds.argmax())]
    degree, limit = run.group.degree_name, settings.lambda_max
    tolerance = _percent(settings.tolerance)
    if done:
        most = _percent(bounds.max())
        which = "other " * bool(zero) + "output" + " or layer" * bool(run.engine.probes)
        return (
            f"converged: beyond {degree} = {limit} lies at most {most} of the squared norm "
            f"of any {which} ({worst.probe}; two error bars included); the tolerance is "
            f"{tolerance}"
        )
    share = min(max(worst.share, 0.0), 1.0)
    bar = f" ± {_percent(worst.stderr)}"
    if worst.stderr != worst.stderr:
        bar = " (no error bar)"
    return (
        f"NOT converged: beyond {degree} = {limit} lies {_percent(share)}{bar} of the "
        f"squared norm of {worst.probe}, and more than the tolerance of {tolerance} for "
        f"{len(some)} of {len(rest)} outputs{' and layers' * bool(run.engine.probes)}; "
        f"{_advice(run, settings, zero)}"
    )


def _advice(run: Run, settings: Settings, zero: Sequence[Block]) -> str:
    """The λmax that would do."""
    needed, known = 0, settings.lambda_max
    for key in (*run.engine.probes, *run.engine.blocks):
        measured = (run.circles or run.sets).values()
        spectra = [m.spectra[key] for m in measured if key in m.spectra]
        norm = sum(s.norm for s in spectra)
        if not spectra or norm == 0 or key in zero:
            continue
        size = min(s.powers.limit for s in spectra) + 1
        known = max(known, size - 1)
        powers = [s.powers.by_degree()[:size] / s.n_samples for s in spectra]
        power = torch.stack(powers).sum(dim=0)
        beyond = (1 - power.cumsum(0) / norm).tolist()
        enough = [l for l, value in enumerate(beyond) if value <= settings.tolerance]
        needed = max(needed, enough[0] if enough else known + 1)
    if needed <= settings.lambda_max:
        return "the error bars are too large to say what would do: more time (--budget)"
    if needed > known and known <= settings.lambda_max:
        return "how far the spectrum reaches takes more time to see (--budget)"
    if needed > known:
        degree = run.group.degree_name
        return f"not even {degree} = {known} would do: look at the channels that are there"
    return f"--lambda-max {needed} would do"


def _percent(share: float) -> str:
    """Percent with two digits, small ones as powers of ten."""
    value = 100 * float(share)
    if abs(value) >= 99.5:
        return f"{value:.0f} %"
    return f"{value:.2g} %" if abs(value) >= 0.01 or value == 0 else f"{value:.0e} %"
