"""The trade-off: equivariance error against RMSE, on held-out structures.

Along α for the closed form, along the way from the trained weights for a fine-tuning.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..measure.labels import irrep_label
from . import style
from .text import number, plain, unit


COLUMNS = 3
KEYS = ["state", "target", "o3_lambda", "o3_sigma"]


@dataclass(frozen=True)
class Along:
    """What the points of a curve differ in.

    :param column: of the curve; NaN or 0 is the model as it was trained
    :param points: how the legend calls them
    :param trained: how the legend calls the first of them
    :param label: of a point, empty for none
    """

    column: str
    points: str
    trained: str
    label: Callable[[float], str]

    def is_trained(self, part: pd.DataFrame) -> pd.Series:
        """Rows of the model as it was trained."""
        return part[self.column].isna() | (
            (part[self.column] == 0) & (self.column == "share")
        )


def _label_of_alpha(alpha: float) -> str:
    return f"α = {alpha:g}" if _round(alpha) else ""


def _label_of_share(share: float) -> str:
    return f"{100 * share:.0f} %"


ALPHA = Along("alpha", "solutions along α", "trained readout", _label_of_alpha)
WAY = Along("share", "from trained to fine-tuned", "trained weights", _label_of_share)


def draw_tradeoff(curve: pd.DataFrame, summary: dict[str, Any]) -> Figure:
    """Draw one panel per model state, target and irrep.

    :param curve: ``curve.csv`` of a purification
    :param summary: ``summary.json`` of it
    :return: the figure
    """
    counts = summary["structures"]
    subtitle = (
        f"{plain(summary['model'], 60)}  ·  {counts['training']} "
        f"structures solved for, {counts['validation']} held out  ·  grid of degree "
        f"{summary['grid_degree']}"
    )
    return _draw(curve, ALPHA, subtitle, summary)


def draw_way(curve: pd.DataFrame, summary: dict[str, Any]) -> Figure:
    """Draw one panel per target and irrep of a fine-tuning.

    :param curve: ``curve.csv`` of it
    :param summary: ``summary.json`` of it
    :return: the figure
    """
    counts = summary["structures"]
    subtitle = (
        f"{plain(summary['model'], 60)}  ·  fine-tuned for {summary['epochs']} epochs on "
        f"{counts['training']} structures, {counts['validation']} held out"
    )
    return _draw(curve, WAY, subtitle, summary)


@style.context()
def _draw(
    curve: pd.DataFrame, along: Along, subtitle: str, summary: dict[str, Any]
) -> Figure:
    panels = list(curve.groupby(KEYS, sort=False))
    columns = min(COLUMNS, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    limit = 100 * summary["settings"]["max_rmse_increase"]
    figure = style.new_figure(
        max(6.0, 3.4 * columns), 2.9 * rows + 0.3, "What symmetry costs", subtitle
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (key, part) in zip(grid.flat, panels, strict=False):
        _panel(axes, key, part, limit, along)
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    style.shared_legend(figure)
    return figure


def _panel(axes: Axes, key: Any, part: pd.DataFrame, limit: float, along: Along) -> None:
    """Changes of RMSE and A in per cent of the trained model, labelled."""
    state, target, degree, sigma = key
    first = along.is_trained(part)
    trained = part[first].iloc[0]
    points = part[~first].sort_values(along.column)
    title = f"{plain(target, 34)} {irrep_label(degree, sigma)}\n{plain(state)} state"
    axes.set_title(title, loc="left", fontweight="bold")
    x, y = _percent(points["rmse"], trained["rmse"]), _percent(points["A"], trained["A"])
    axes.axhline(0, color=style.LINE, lw=0.8)
    axes.axvspan(-1e6, limit, color=style.MISSING, lw=0, alpha=0.6,
                 label=f"RMSE increase up to {limit:g} %")  # fmt: skip
    # the chosen point may have another ridge than the curve has at its α
    twice = points["chosen"] & points[along.column].duplicated(keep=False)
    line = ~twice.to_numpy(bool)
    axes.plot(x[line], y[line], "o-", color=style.PROPER, ms=4, lw=1.2, label=along.points)
    axes.plot([0], [0], "s", color=style.LINE, ms=6, label=along.trained)
    if not trained["chosen"]:
        chosen = points["chosen"].to_numpy(bool)
        axes.plot(x[chosen], y[chosen], "*", color=style.PSEUDO, ms=13, label="chosen")
    _limits(axes, x, y, limit)
    _label_points(axes, x, y, [along.label(v) for v in points[along.column]])
    axes.set_xlabel(f"RMSE, change in % of {_with_unit(trained, 'rmse')}")
    axes.set_ylabel(f"A, change in % of {_with_unit(trained, 'A')}")
    axes.grid()


def _label_points(axes: Axes, x: np.ndarray, y: np.ndarray, labels: list[str]) -> None:
    """Write labels beside points inside the panel, as far as there is room."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    # in parts of the panel; the square of the trained readout comes first
    taken = [np.array([-left / (right - left), -bottom / (top - bottom)])]
    for xi, yi, label in zip(x, y, labels, strict=True):
        place = np.array([(xi - left) / (right - left), (yi - bottom) / (top - bottom)])
        inside = np.isfinite(place).all() and place.min() >= 0 and place.max() <= 1
        if not (inside and label):
            continue
        if min(np.abs(place - other).max() for other in taken) > 0.08:
            taken.append(place)
            axes.annotate(
                label, (xi, yi), (5, 4), textcoords="offset points",
                fontsize=7.5, clip_on=True,
            )  # fmt: skip


def _round(alpha: float) -> bool:
    """Whether an α may get a label: zero, infinity, 1, 2 or 5 times a power of ten."""
    return alpha in (0, math.inf) or f"{alpha:.0e}"[0] in "125"


def _percent(values: pd.Series, before: float) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * (values.to_numpy(float) / before - 1)


def _limits(axes: Axes, x: np.ndarray, y: np.ndarray, limit: float) -> None:
    """Show what matters: a cheap readout, not those that lose everything."""
    shown = x[np.isfinite(x) & (x < max(20.0, 10 * limit))]
    low = min([0.0, *shown])
    high = max([limit, *shown])
    margin = 0.08 * (high - low) or 1.0
    inside = [0.0, *y[np.isfinite(y) & np.isin(x, shown)]]
    above = 0.12 * (max(inside) - min(inside)) or 1.0
    axes.set(xlim=(low - margin, high + 3 * margin))
    axes.set(ylim=(min(inside) - above, max(inside) + above))


def _with_unit(row: pd.Series, name: str) -> str:
    known = isinstance(row["unit"], str)
    return number(row[name]) + (f" {unit(plain(row['unit']))}" if known else "")
