"""The A that is left after averaging over a set of rotations, against its evaluations."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..measure.labels import BLOCK, BlockKey, target_label
from ..measure.results import Report
from ..measure.words import unit_or_one
from . import style
from .html import Entry
from .text import measured, number, plain, unit


HEADS = ["output", "set", "evaluations", "A left", "unit", "A left / A (%)"]

COLUMNS = 3

CLOSE = 1.4
"""Ratio of two values below which their labels would overlap."""

LOOKS: dict[str, tuple[str, str, str]] = {
    "group": ("o", style.PROPER, "group of rotations (i: with inversion)"),
    "metatomic": ("s", style.PSEUDO, "quadrature of metatomic"),
}
"""Marker, colour and legend of each kind of set."""

SHORT = {"SymmetrizedModel.wrap, ": "wrap ", "metatomic-ase, l_max 3": "metatomic-ase"}
"""Names that fit into a panel."""


@style.context()
def draw_rotations(report: Report) -> Figure | None:
    """Draw a panel for each block.

    :param report: what was measured
    :return: the figure; nothing where there is nothing to average
    """
    table = report.rotations
    if not len(table):
        return None
    groups = [rows for _, rows in table.groupby(BLOCK, sort=False)]
    columns = min(len(groups), COLUMNS)
    rows = math.ceil(len(groups) / columns)
    figure = style.new_figure(
        max(4.2 * columns, 7.5), 3.6 * rows, "How many rotations are needed",
        style.describe(report),
    )  # fmt: skip
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, part in zip(panels, groups, strict=False):
        _draw_block(axes, part)
    for axes in panels[len(groups) :]:
        axes.remove()
    style.shared_legend(figure)
    return figure


def _draw_block(axes: Axes, rows: pd.DataFrame) -> None:
    """Sets of one block, and what random orientations leave."""
    key = BlockKey.of({column: rows[column].iloc[0] for column in BLOCK})
    name = plain(target_label(key.target, key.detail), 28)
    axes.set_title(f"{name}  {key.irrep}", loc="left", fontweight="bold", fontsize=9.5)
    one = rows[rows.kind == "none"].iloc[0]
    most = 6.0 * rows.evaluations.max()
    span = np.array([1.0, most])
    look: Any = {"color": style.LINE, "lw": 1, "label": "n random orientations: A / √n"}
    axes.plot(span, one.A_left / span**0.5, **look)
    axes.set(xscale="log", yscale="log", xlim=(0.8, most))
    for kind in reversed(LOOKS):  # one of the groups may lie on a quadrature
        _draw_sets(axes, rows, kind)
    low, high = axes.get_ylim()
    # room for the names
    axes.set_ylim(low * (low / high) ** 0.1, high * (high / low) ** 0.15)
    axes.set_xlabel("evaluations of the model")
    words = plain(unit(one.unit)) if one.unit else "arbitrary unit"
    axes.set_ylabel(f"A that is left  ({words})")
    axes.grid(True)


def _draw_sets(axes: Axes, rows: pd.DataFrame, kind: str) -> None:
    """Sets of one kind with their names; one that is not seen as an upper bound."""
    marker, color, label = LOOKS[kind]
    rows = rows[rows.kind == kind]
    left, error = rows.A_left.to_numpy(float), rows.A_left_err.to_numpy(float)
    seen = rows.share.to_numpy(float) > 2 * rows.share_err.to_numpy(float)
    x, y = rows.evaluations.to_numpy(float), np.where(seen, left, left + 2 * error)
    known = np.isfinite(y) & (y > 0)
    bars = np.where(seen, np.minimum(error, 0.9 * left), 0.3 * y)
    look: Any = {"fmt": marker, "ms": 5, "color": color, "elinewidth": 1, "label": label}
    if kind != "group":
        look |= {"ms": 8, "mfc": "white"}
    if known.any():
        axes.errorbar(
            x[known], y[known], yerr=[bars[known], np.where(seen, error, 0.0)[known]],
            uplims=~seen[known], **look,
        )  # fmt: skip
    for text, place, height in _labels(rows.set[known], x[known], y[known]):
        _name(axes, text, (place, height), kind == "group", color)


def _name(
    axes: Axes, text: str, place: tuple[float, float], below: bool, color: str
) -> None:
    """Write the name of a set below its marker, or obliquely above it."""
    look: Any = {"textcoords": "offset points", "fontsize": 7, "color": color}
    if below:
        # 48 and 60 evaluations are too close for names in the middle
        side = {"Oi": "right", "I": "left"}.get(text, "center")
        shift = {"right": 2, "left": -2, "center": 0}[side]
        axes.annotate(text, place, xytext=(shift, -13), ha=side, va="top", **look)
        return
    look |= {"rotation": 40, "rotation_mode": "anchor", "ha": "left", "va": "bottom"}
    axes.annotate(text, place, xytext=(3, 5), **look)


def _labels(
    names: pd.Series, x: np.ndarray, y: np.ndarray
) -> list[tuple[str, float, float]]:
    """One label for sets that would write over each other."""
    found: list[tuple[str, float, float]] = []
    for name, place, height in sorted(zip(names, x, y, strict=True), key=lambda s: s[1:]):
        for long, short in SHORT.items():
            name = name.replace(long, short)
        last = found[-1] if found else ("", 0.0, 0.0)
        if place == last[1] and height < CLOSE * last[2]:
            found[-1] = (f"{last[0]}, {name}", place, last[2])
        else:
            found.append((name, place, height))
    return found


def rotations_entries(report: Report) -> tuple[list[str], list[list[Entry]]]:
    """Lay out the table of the page.

    :param report: what was measured
    :return: heads and rows
    """
    rows: list[list[Entry]] = []
    for record in report.rotations.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        key = BlockKey.of(row)
        left, error = float(row["A_left"]), float(row["A_left_err"])
        share, share_err = float(row["share"]), float(row["share_err"])
        # one that is not seen is a bound, as everywhere
        seen = not share <= 2 * share_err
        words = measured(left, error) if seen else f"below {number(left + 2 * error)}"
        most = max(share, 0.0) + (0.0 if seen else 2 * share_err)
        ratio = 100 * most**0.5
        of_left = unit(unit_or_one(str(row["unit"]), report.summary))
        rows.append(
            [str(key), str(row["set"]), float(row["evaluations"]), (left, words), of_left,
             (ratio, "" if math.isnan(ratio) else "below " * (not seen) + number(ratio))]
        )  # fmt: skip
    return HEADS, rows
