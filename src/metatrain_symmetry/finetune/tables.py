"""Tidy tables of a fine-tuning: the curve, and errors before and after."""

from typing import Any

import pandas as pd

from ..models.engine import Block
from .errors import Errors, per_atom
from .guard import Choice, Point


LABELS = ["state", "target", "detail", "o3_lambda", "o3_sigma", "unit"]
CURVE = [*LABELS, "share", "A", "rmse", "asymmetric", "norm_ratio", "chosen"]
ACCURACY = [
    *LABELS, "A_before", "A_after", "rmse_before", "rmse_after", "A_change", "rmse_change",
    "asymmetric_before", "asymmetric_after", "norm_ratio_before", "norm_ratio_after",
    "share", "validation_samples", "validation_structures", "reason",
]  # fmt: skip


def labels(block: Block, state: str, whole: frozenset[str]) -> dict[str, Any]:
    """What names a block.

    :param block: of the model
    :param state: of the checkpoint
    :param whole: per-structure targets that do not count per atom
    """
    unit = block.unit
    if unit and per_atom(block, whole):
        unit += "/atom"
    return {
        "state": state,
        "target": block.target,
        "detail": block.detail,
        "o3_lambda": block.irrep.o3_lambda,
        "o3_sigma": block.irrep.o3_sigma,
        "unit": unit,
    }


def curve_table(choice: Choice, state: str, whole: frozenset[str]) -> pd.DataFrame:
    """Held-out errors along the fine-tuning.

    :param choice: of the guard
    :param state: of the checkpoint
    :param whole: per-structure targets that do not count per atom
    :return: columns :data:`CURVE`; ``share`` is that of the fine-tuning, 0 the trained
        weights; ``asymmetric`` is A²/RMSE²
    """
    rows = []
    for block in choice.before.held_out:
        for point in (choice.before, *choice.curve):
            found = point.held_out[block]
            rows.append(
                {
                    **labels(block, state, whole),
                    "share": point.share,
                    "A": found.A,
                    "rmse": found.rmse,
                    "asymmetric": found.share,
                    "norm_ratio": _norm_ratio(found),
                    "chosen": point is choice.after,
                }
            )
    return pd.DataFrame(rows, columns=CURVE)


def accuracy_table(choice: Choice, state: str, whole: frozenset[str]) -> pd.DataFrame:
    """Held-out errors before and after.

    :param choice: of the guard
    :param state: of the checkpoint
    :param whole: per-structure targets that do not count per atom
    :return: columns :data:`ACCURACY`; changes are shares of the value before
    """
    rows = [
        _compared(block, choice, labels(block, state, whole))
        for block in choice.before.held_out
    ]
    return pd.DataFrame(rows, columns=ACCURACY)


def _compared(block: Block, choice: Choice, names: dict[str, Any]) -> dict[str, Any]:
    before, after = _of(choice.before, block), _of(choice.after, block)
    return {
        **names,
        "A_before": before.A,
        "A_after": after.A,
        "rmse_before": before.rmse,
        "rmse_after": after.rmse,
        "A_change": _change(before.A, after.A),
        "rmse_change": _change(before.rmse, after.rmse),
        "asymmetric_before": before.share,
        "asymmetric_after": after.share,
        "norm_ratio_before": _norm_ratio(before),
        "norm_ratio_after": _norm_ratio(after),
        "share": choice.after.share,
        "validation_samples": before.samples,
        "validation_structures": before.structures,
        "reason": choice.reason,
    }


def _of(point: Point, block: Block) -> Errors:
    return point.held_out[block]


def _norm_ratio(found: Errors) -> float:
    return found.norm / found.norm_targets if found.norm_targets > 0 else float("nan")


def _change(before: float, after: float) -> float:
    return after / before - 1 if before > 0 else float("nan")
