"""One meaning of "converged": next to nothing lies beyond the λmax that was asked for.

What a grid folds back from beyond its band is subtracted, and the noise of that is part of
the standard errors: it has no share in this.
"""

from typing import Any

import pandas as pd
import torch

from .run import Run
from .settings import Settings


def convergence(table: pd.DataFrame, run: Run, settings: Settings) -> dict[str, Any]:
    """Say whether the spectra are complete, and if not, what that takes.

    :param table: of characters
    :param run: what was measured
    :param settings: for λmax and the tolerance
    :return: entries of the summary
    """
    rest = table[table.channel == "residual"]
    done = bool(rest.converged.all())
    if not len(rest):
        return {
            "converged": False,
            "convergence_text": "NOT converged: too little time to resolve any spectrum",
            "residuals_beyond_lambda_max": {},
        }
    return {
        "converged": done,
        "convergence_text": _text(rest, done, run, settings),
        "residuals_beyond_lambda_max": dict(zip(rest.probe, rest.share, strict=True)),
    }


def _text(rest: pd.DataFrame, done: bool, run: Run, settings: Settings) -> str:
    """One sentence about the residuals."""
    if run.group.finite:
        return f"exact: {run.group.name} is finite, and its irreps are all there is"
    worst: Any = rest.iloc[int(rest.share.to_numpy(dtype=float).argmax())]
    most = f"{_percent(worst.share)} ± {_percent(worst.stderr)}"
    if worst.stderr != worst.stderr:
        most = f"{_percent(worst.share)} (no error bar)"
    degree = run.group.degree_name
    limit, tolerance = settings.lambda_max, _percent(settings.tolerance)
    if done:
        return (
            f"converged: beyond {degree} = {limit} lies at most {most} of the squared norm "
            f"of any output or layer ({worst.probe}); the tolerance is {tolerance}"
        )
    n_open = int((~rest.converged.astype(bool)).sum())
    return (
        f"NOT converged for {degree} <= {limit}: beyond lies {most} of the squared norm of "
        f"{worst.probe}, and more than the tolerance of {tolerance} for {n_open} of "
        f"{len(rest)} outputs and layers; {_advice(run, settings)}"
    )


def _advice(run: Run, settings: Settings) -> str:
    """The λmax that would do."""
    needed, known = 0, settings.lambda_max
    for key in (*run.engine.probes, *run.engine.blocks):
        measured = (run.circles or run.sets).values()
        spectra = [m.spectra[key] for m in measured if key in m.spectra]
        norm = sum(s.norm for s in spectra)
        if not spectra or norm == 0:
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
    return f"{value:.2g} %" if abs(value) >= 0.01 or value == 0 else f"{value:.0e} %"
