"""The tables of the page of a training: what happened, the end, what it cost."""

import math
from typing import Any

import numpy as np

from ..measure.series import Series
from .errors import Block
from .html import Entry
from .text import measured, unit


COSTS = {
    "epoch": "epoch",
    "n_structures": "structures",
    "circles": "circles each",
    "design": "set of rotations",
    "evaluations": "evaluations",
    "seconds": "seconds",
}
"""Columns of what a measurement cost, in words."""

LAST = [
    "target", "irrep", "epoch", "A", "RMSE", "A / RMSE (%)", "norm ratio", "structures",
    "RMSE of all", "watched", "unit",
]  # fmt: skip


def happened(
    series: Series, outputs: set[str]
) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Sudden transitions, and what the budget made of the measurements.

    :param series: what was measured
    :param outputs: names of the probes that are outputs
    :return: one entry for each epoch with transitions: the sentences about outputs, then
        those about layers; notes with their epochs, a repeated one once
    """
    table = series.events.sort_values("epoch", kind="stable")
    events = []
    for epoch, rows in table.groupby("epoch", sort=True):
        words = rows.drop_duplicates("text")
        own = words["probe"].isin(outputs)
        texts = {"outputs": words["text"][own], "layers": words["text"][~own]}
        sentences = {key: [str(text) for text in found] for key, found in texts.items()}
        events.append({"epoch": int(str(epoch)), **sentences})
    rows = series.measurements
    rows = rows[rows["note"].notna() & (rows["note"] != "")]
    rows = rows.drop_duplicates("note").sort_values("epoch", kind="stable")
    notes = [(int(e), str(t)) for e, t in zip(rows["epoch"], rows["note"], strict=True)]
    return events, notes


def last(block: Block) -> list[Entry]:
    """The last measurement of one output.

    :param block: over epochs
    :return: a row of a table
    """
    epoch, A, stderr, error, ratio, norm, structures, error_all, n_all = (
        float(block[name][-1])
        for name in ("epoch", "A", "A_stderr", "error", "A_over_rmse", "norm_ratio",
                     "n_structures", "rmse_all", "n_all")
    )  # fmt: skip
    return [
        block.target, str(block.key.irrep), (epoch, f"{epoch:g}"),
        (A, measured(A, stderr)), error, 100 * ratio, norm, structures, error_all, n_all,
        unit(block.unit),
    ]  # fmt: skip


def card(block: Block) -> dict[str, Any]:
    """A before and after.

    :param block: over epochs
    :return: what the template shows
    """
    epochs, A, stderr = block["epoch"], block["A"], block["A_stderr"]
    return {
        "title": block.label,
        "epoch": int(epochs[-1]),
        "start": int(epochs[0]),
        "before": measured(A[0], stderr[0]) if len(A) > 1 else "",
        "A": measured(A[-1], stderr[-1]),
        "structures": block["n_structures"][-1],
        "percent": 100 * block["A_over_rmse"][-1],
        "unit": unit(block.unit),
    }


def costs(series: Series) -> tuple[list[str], list[list[Entry]]]:
    """What each measurement cost, and all so far beside the whole training.

    :param series: what was measured
    :return: heads and rows of a table
    """
    table = series.measurements.sort_values("epoch")
    training = table["training_seconds"].to_numpy(dtype=float, na_value=math.nan)
    spent = np.nancumsum(table["seconds"].to_numpy(dtype=float, na_value=math.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = np.where(training > 0, 100 * spent / training, math.nan)
    rows = [
        [*(_shown(row[key]) for key in COSTS), float(part)]
        for row, part in zip(table.to_dict("records"), percent, strict=True)
    ]
    return [*COSTS.values(), "so far, % of the training"], rows


def _shown(value: Any) -> Entry:
    """A number or a word; NaN where there is none."""
    if isinstance(value, str):
        return value or "none"
    return math.nan if value is None else float(value)
