"""How every figure looks, and how it is saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..io import replacing
from ..measure.results import Report
from ..measure.words import worded
from .text import count, plain


# Okabe and Ito: distinct to colour-blind readers, also in greyscale with the markers
PROPER = "#0072B2"
PSEUDO = "#D55E00"
RESIDUAL = "#7F7F7F"
NEEDED = "#F0E442"
WARNING = "#B22222"
SECOND = "#E69F00"
LINE = "#333333"
MISSING = "#E6E6E6"

HEADER = 0.72
"""Inches kept free for title and subtitle."""

SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "hatch.linewidth": 0.7,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    # outlines: a reader without the font sees the same figure
    "svg.fonttype": "path",
    # names inside a file do not change from run to run without need
    "svg.hashsalt": "metatrain-symmetry",
}

Handles = dict[str, Any]
"""Entries of a legend by their labels; those of a tuple lie on top of each other."""


@contextmanager
def context() -> Iterator[None]:
    """Our settings, inside only: also usable as a decorator."""
    with matplotlib.rc_context(SETTINGS):
        yield


def new_figure(
    width: float, height: float, title: str, subtitle: str, constrained: bool = True
) -> Figure:
    """Make a figure with a header, away from pyplot's global state.

    :param width: in inches
    :param height: in inches, without the header
    :param title: what is seen
    :param subtitle: of what it was measured
    :param constrained: whether matplotlib lays out the axes, below the header
    """
    total = height + HEADER
    figure = Figure(figsize=(width, total))
    FigureCanvasAgg(figure)
    if constrained:
        rect = (0.005, 0.0, 0.99, 1 - HEADER / total)
        figure.set_layout_engine("constrained", rect=rect, h_pad=0.06, w_pad=0.06)
    look: Any = {"x": 0.15 / width, "va": "top"}
    figure.text(y=1 - 0.12 / total, s=title, fontsize=13, fontweight="bold", **look)
    figure.text(y=1 - 0.41 / total, s=subtitle, fontsize=9, color="#555555", **look)
    return figure


def describe(report: Report) -> str:
    """Say which model and how many structures, in one line."""
    summary, table = report.summary, report.equivariance
    number = summary.get("n_structures")
    if number is None and len(table):
        number = int(table["structure"].nunique())
    estimator, group = summary.get("estimator"), summary.get("group", "O(3)")
    dtype = summary.get("dtype") or ""
    parts = [
        plain(summary.get("model") or "model without a name", 60),
        "" if number is None else count(number, worded("structure", summary)),
        f"estimator: {plain(estimator)}" if estimator else "",
        f"group {plain(group)}" if group != "O(3)" else "",
        "" if " " in dtype else plain(dtype),  # of a calculator it is not known
    ]
    return "  ·  ".join(filter(None, parts))


def width_of(label: str, size: float) -> float:
    """Estimate the width of a text in inches, from the size of its letters in points."""
    return 0.0078 * size * len(label)


def shared_legend(figure: Figure, extra: Handles | None = None) -> None:
    """Put one legend for all panels below them, each label once, and extra entries."""
    handles: Handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    # lines with markers first: they are what one looks for
    order = sorted(handles, key=lambda label: not hasattr(handles[label], "has_yerr"))
    handles = {label: handles[label] for label in order} | (extra or {})
    if handles:
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center",
            ncols=_columns([width_of(label, 8.5) + 0.62 for label in handles], figure),
            handler_map={tuple: HandlerTuple(ndivide=1)},
        )  # fmt: skip


def _columns(widths: list[float], figure: Figure) -> int:
    """How many columns of a legend fit, which matplotlib fills from the left."""
    for number in range(len(widths), 1, -1):
        columns = np.array_split(widths, number)
        if sum(float(c.max()) for c in columns) <= figure.get_figwidth() - 0.3:
            return number
    return 1


def few_ticks(axis: Axis, span: tuple[float, float]) -> None:
    """Keep the numbers beside a logarithmic axis apart, however short its span."""
    decades = np.log10(span[1] / span[0])
    axis.set_minor_formatter(NullFormatter())
    if decades >= 2:
        axis.set_major_locator(LogLocator(numticks=7))
        return
    # perhaps no power of ten among them; numbers beside each other need more room
    across = isinstance(axis, XAxis)
    subs = [1.0, 3.0] if decades > 1.2 and across else [1.0, 2.0, 5.0]
    subs = subs if decades > 0.7 or across else [1.0, 1.5, 2.0, 3.0, 5.0, 7.0]
    axis.set_major_locator(LogLocator(subs=subs, numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def say(axes: Axes, words: str, x: float, y: float, **look: Any) -> None:
    """Write a remark near a corner of a panel, (0, 0) at the lower left."""
    common: Any = {
        "fontsize": 8, "color": PSEUDO, "transform": axes.transAxes,
        "ha": "left" if x < 0.5 else "right", "va": "bottom" if y < 0.5 else "top",
        "bbox": {"fc": "#FFFFFFC0", "ec": "none", "pad": 1.2},
    }  # fmt: skip
    axes.text(x, y, words, **(common | look))


def positive(values: Any) -> np.ndarray:
    """Take what can stand on a log axis: finite and larger than zero."""
    array = loggable(values)
    return array[~np.isnan(array)]


def loggable(values: Any) -> np.ndarray:
    """Leave gaps, as NaN, where a log axis has no place."""
    array = np.asarray(values, dtype=float)
    return np.where(np.isfinite(array) & (array > 0), array, np.nan)


def save(figure: Figure, stem: str | Path) -> Path:
    """Write a figure as SVG and PNG; a reader never finds half a file.

    :param figure: to be written
    :param stem: path without suffix; folders are made
    :return: path of the SVG file
    """
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    if figure.get_layout_engine() is not None:
        with context():
            figure.draw_without_rendering()
        # laid out once: slow, and both files are to look the same; "none" would leave a
        # placeholder, for which every file is drawn twice
        figure.set_layout_engine(None)
    for kind in ("png", "svg"):
        metadata: Any = {"Date": None} if kind == "svg" else {}
        with replacing(stem.parent / f"{stem.name}.{kind}") as part, context():
            figure.savefig(part, format=kind, dpi=180, metadata=metadata)
    return stem.parent / f"{stem.name}.svg"
