"""Tidy tables of a purification: curve, errors before and after, spectra of the outputs."""

from typing import Any

import pandas as pd

from .choose import Candidate, PartResult
from .problems import Part


CURVE = [
    "state", "target", "o3_lambda", "o3_sigma", "unit", "alpha", "ridge", "A", "rmse",
    "A_training", "rmse_training", "norm_ratio", "gradients", "chosen",
]  # fmt: skip
ACCURACY = [
    "state", "target", "o3_lambda", "o3_sigma", "unit", "A_before", "A_after",
    "rmse_before", "rmse_after", "A_change", "rmse_change", "norm_ratio_before",
    "norm_ratio_after", "gradients", "alpha", "ridge",
    "samples", "structures", "unknowns", "validation_samples", "validation_structures",
    "reason",
]  # fmt: skip


def labels(part: Part) -> dict[str, Any]:
    """What names a part.

    :param part: the part
    :return: columns
    """
    irrep = part.irrep
    return {
        "target": part.target,
        "o3_lambda": irrep.o3_lambda,
        "o3_sigma": irrep.o3_sigma,
        "unit": part.unit,
    }


def curve_table(results: dict[str, list[PartResult]]) -> pd.DataFrame:
    """Held-out and training errors along α.

    :param results: of each model state
    :return: columns :data:`CURVE`; the row without an α is the trained readout.
        ``norm_ratio`` is the norm of the predictions over that of the targets, held out.
        ``gradients`` is RMSE or A of an energy's gradients, whichever grew more, over that
        before
    """
    rows = []
    for state, parts in results.items():
        for result in parts:
            points = [result.before, *result.curve()]
            if result.chosen is not None and not any(p is result.chosen for p in points):
                points.append(result.chosen)
            for point in points:
                row = {"state": state, **labels(result.part), **_errors(point)}
                rows.append({**row, "chosen": point is result.after})
    return pd.DataFrame(rows, columns=CURVE)


def _errors(point: Candidate) -> dict[str, float]:
    return {
        "alpha": point.alpha,
        "ridge": point.ridge,
        "A": point.held_out.A,
        "rmse": point.held_out.rmse,
        "A_training": point.training.A,
        "rmse_training": point.training.rmse,
        "norm_ratio": point.held_out.norm_ratio,
        "gradients": point.gradients,
    }


def accuracy_table(results: dict[str, list[PartResult]]) -> pd.DataFrame:
    """Held-out errors before and after.

    :param results: of each model state
    :return: columns :data:`ACCURACY`; changes are shares of the value before
    """
    rows = []
    for state, parts in results.items():
        for result in parts:
            before, after = result.before.held_out, result.after.held_out
            rows.append(
                {
                    "state": state,
                    **labels(result.part),
                    "A_before": before.A,
                    "A_after": after.A,
                    "rmse_before": before.rmse,
                    "rmse_after": after.rmse,
                    "A_change": _change(before.A, after.A),
                    "rmse_change": _change(before.rmse, after.rmse),
                    "norm_ratio_before": before.norm_ratio,
                    "norm_ratio_after": after.norm_ratio,
                    "gradients": result.after.gradients,
                    "alpha": result.after.alpha,
                    "ridge": result.after.ridge,
                    "samples": result.training[0],
                    "structures": result.training[1],
                    "unknowns": result.unknowns,
                    "validation_samples": result.held_out[0],
                    "validation_structures": result.held_out[1],
                    "reason": result.reason,
                }
            )
    return pd.DataFrame(rows, columns=ACCURACY)


def _change(before: float, after: float) -> float:
    return after / before - 1 if before > 0 else float("nan")
