"""The tables of the page of a training: what happened, the end, what it cost."""

import math
import re
from typing import Any

import numpy as np

from ..measure.series import Series
from . import style
from .history import Curve


COLUMNS = {
    "epoch": "epoch",
    "n_structures": "structures",
    "circles": "circles each",
    "design": "set of rotations",
    "evaluations": "evaluations",
    "seconds": "seconds",
}
"""Columns of what a measurement cost, in words."""

OUTPUT = re.compile(r" \(\d+,[+-]\)$")


def happened(series: Series) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    """Sudden transitions, and what the budget made of the measurements.

    :param series: what was measured
    :return: one entry for each epoch with transitions: the sentences about outputs, then
        those about layers; notes with their epochs, a repeated one once
    """
    table = series.events.sort_values("epoch", kind="stable")
    events = []
    for epoch, rows in table.groupby("epoch", sort=True):
        texts = rows.drop_duplicates("text")
        outputs = [str(t) for p, t in _pairs(texts) if OUTPUT.search(p)]
        layers = [str(t) for p, t in _pairs(texts) if not OUTPUT.search(p)]
        events.append({"epoch": int(str(epoch)), "outputs": outputs, "layers": layers})
    rows = series.measurements
    rows = rows[rows["note"].notna() & (rows["note"] != "")]
    rows = rows.drop_duplicates("note").sort_values("epoch", kind="stable")
    notes = [(int(e), str(t)) for e, t in zip(rows["epoch"], rows["note"], strict=True)]
    return events, notes


def _pairs(rows: Any) -> list[tuple[str, str]]:
    return list(zip(rows["probe"].astype(str), rows["text"].astype(str), strict=True))


def last(curve: Curve) -> dict[str, Any]:
    """The last measurement of one output.

    :param curve: of the output
    :return: a row of a table
    """
    return {
        "target": curve.target,
        "irrep": str(curve.irrep),
        "epoch": int(curve.epochs[-1]),
        "A": with_error(curve.A[-1], curve.stderr[-1]),
        "rmse": curve.rmse[-1],
        "percent": 100 * curve.ratio[-1],
        "norm_ratio": curve.norm_ratio[-1],
        "structures": curve.structures[-1],
        "rmse_all": curve.rmse_all[-1],
        "n_all": curve.n_all[-1],
        "unit": style.unit(curve.unit),
    }


def with_error(value: float, error: float) -> str:
    """Write a value as far as it is known.

    :param value: not negative
    :param error: its standard error, NaN if unknown
    :return: with its error, as an upper bound, or with the remark that it has no error bar
    """
    if math.isnan(value):
        return style.number(value)
    if not math.isfinite(error):
        return f"{style.number(value)}, no error bar"
    if value <= 2 * error:
        return f"below {style.number(value + 2 * error)}"
    return f"{style.number(value)} ± {style.number(float(f'{error:.2g}'))}"


def costs(series: Series) -> list[dict[str, Any]]:
    """What each measurement cost, and all so far beside the whole training.

    :param series: what was measured
    :return: a row for each, of numbers and words
    """
    table = series.measurements.sort_values("epoch")
    training = table["training_seconds"].to_numpy(dtype=float, na_value=math.nan)
    spent = np.nancumsum(table["seconds"].to_numpy(dtype=float, na_value=math.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = np.where(training > 0, 100 * spent / training, math.nan)
    rows = []
    for i, row in enumerate(table.to_dict("records")):
        shown = {name: _shown(row[key]) for key, name in COLUMNS.items()}
        rows.append(shown | {"so far, % of the training": style.number(percent[i])})
    return rows


def _shown(value: Any) -> str:
    """A number or a word; nothing where there is none."""
    if isinstance(value, str):
        return value or "none"
    return "–" if value is None or math.isnan(value) else style.number(float(value))
