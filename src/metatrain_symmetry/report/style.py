"""How every figure looks, and how it is saved."""

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend_handler import HandlerTuple
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..io import unfinished
from ..measure.results import Report


# Okabe and Ito: distinct to colour-blind readers, also in greyscale with the markers
PROPER = "#0072B2"
PSEUDO = "#D55E00"
RESIDUAL = "#7F7F7F"
NEEDED = "#F0E442"
WARNING = "#B22222"
SECOND = "#E69F00"
LINE = "#333333"
MISSING = "#E6E6E6"
HEATMAP = "viridis"

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# inches kept free for title and subtitle
HEADER = 0.72

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


@contextmanager
def context() -> Iterator[None]:
    """Our settings, inside only: also usable as a decorator."""
    with matplotlib.rc_context(SETTINGS):
        yield


def new_figure(width: float, height: float, title: str, subtitle: str) -> Figure:
    """Make a figure with a header, away from pyplot's global state.

    :param width: in inches
    :param height: in inches, without the header
    :param title: what is seen
    :param subtitle: of what it was measured
    :return: the figure; its axes are laid out below the header
    """
    total = height + HEADER
    figure = Figure(figsize=(width, total))
    FigureCanvasAgg(figure)
    figure.set_layout_engine(
        "constrained", rect=(0.005, 0.0, 0.99, 1 - HEADER / total), h_pad=0.06, w_pad=0.06
    )
    _header(figure, title, subtitle)
    return figure


def new_sheet(
    width: float, height: float, title: str, subtitle: str
) -> tuple[Figure, Axes]:
    """Make a figure whose content is placed in inches, with a header.

    :param width: in inches
    :param height: in inches, the header included
    :param title: what is seen
    :param subtitle: of what it was measured
    :return: the figure, and axes over all of it: inches from the left and from the top
    """
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_autoscale_on(False)
    axes.set_axis_off()
    _header(figure, title, subtitle)
    return figure, axes


def _header(figure: Figure, title: str, subtitle: str) -> None:
    """Title and subtitle at the upper left."""
    width, height = figure.get_size_inches()
    left = 0.15 / width
    figure.text(left, 1 - 0.12 / height, title, fontsize=13, fontweight="bold", va="top")
    figure.text(left, 1 - 0.41 / height, subtitle, fontsize=9, color="#555555", va="top")


def legend_at(figure: Figure, handles: dict[str, Any], top: float) -> None:
    """Put a legend of at most two columns at a given height.

    :param figure: a sheet
    :param handles: by label, a tuple to be drawn on top of each other; none draws nothing
    :param top: upper edge, in inches from the top
    """
    width, height = figure.get_size_inches()
    if handles:
        figure.legend(
            list(handles.values()), list(handles), loc="upper left", ncols=2,
            borderaxespad=0, borderpad=0, bbox_to_anchor=(0.15 / width, 1 - top / height),
            handler_map={tuple: HandlerTuple(ndivide=1)},
        )  # fmt: skip


def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Measure a text.

    :param text: as matplotlib would draw it
    :param size: of the letters, in points
    :param weight: of the letters
    :return: width in inches
    """
    if not text.strip():
        return 0.0
    font = FontProperties(family=SETTINGS["font.family"], size=size, weight=weight)
    return float(TextPath((0, 0), text, prop=font).get_extents().width) / 72


def describe(report: Report) -> str:
    """Say which model and how many structures, in one line.

    :param report: what was measured
    :return: a subtitle
    """
    summary = report.summary
    parts = [shorten(plain(summary.get("model") or "model without a name"), 60)]
    number = summary.get("n_structures")
    if number is None and len(report.equivariance):
        number = int(report.equivariance["structure"].nunique())
    if number is not None:
        parts.append(f"{number} structure" + ("" if number == 1 else "s"))
    if summary.get("estimator"):
        parts.append(f"estimator: {plain(summary['estimator'])}")
    if summary.get("dtype"):
        parts.append(plain(summary["dtype"]))
    return "  ·  ".join(parts)


def shared_legend(figure: Figure) -> None:
    """Put one legend for all panels below them.

    :param figure: the same label in two panels is written once
    """
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    # lines with markers first: they are what one looks for
    order = sorted(handles, key=lambda label: not hasattr(handles[label], "has_yerr"))
    figure.legend(
        [handles[label] for label in order], order, loc="outside lower center",
        ncols=_fitting_columns(order, figure.get_figwidth() - 0.3),
    )  # fmt: skip


def _fitting_columns(labels: list[str], width: float) -> int:
    """How many columns of a legend fit into a width, in inches."""
    widths = [width_of(label, 8.5) + 0.62 for label in labels]
    for number in range(len(labels), 1, -1):
        # as matplotlib fills them: from the left, one by one
        if sum(float(c.max()) for c in np.array_split(widths, number)) <= width:
            return number
    return 1


def unit(text: str) -> str:
    """Write a unit as in print.

    :param text: such as ``eV/A^3``
    :return: such as ``eV/Å³``
    """
    text = re.sub(r"\bA(ngstrom)?\b", "Å", text)
    return text.replace("^2", "²").replace("^3", "³")


def plain(text: object) -> str:
    """Keep matplotlib from reading dollars in a name as mathematics.

    :param text: any name
    :return: the same to the eye
    """
    return str(text).replace("$", r"\$")


def shorten(text: str, length: int) -> str:
    """Cut a long name in its middle, where it says least.

    :param text: any name
    :param length: largest number of characters
    :return: at most ``length`` characters
    """
    if len(text) <= length:
        return text
    left = (length - 1) // 2
    return text[:left] + "…" + text[len(text) - (length - 1 - left) :]


def number(value: float) -> str:
    """Write a number with three significant digits.

    :param value: may be NaN
    :return: short text
    """
    if math.isnan(value):
        return "–"
    if math.isfinite(value) and value and not 1e-3 <= abs(value) < 1e5:
        digits, power = f"{value:.2e}".split("e")
        return f"{digits}×10{str(int(power)).translate(RAISED)}"
    if math.isinf(value):
        return "∞"
    return f"{float(f'{value:.3g}'):,.10g}"


def with_error(value: float, stderr: float) -> str:
    """Write a number and its standard error with the same digits.

    :param value: finite
    :param stderr: NaN if there is no error bar, which is then not written
    :return: such as ``0.132 ± 0.010`` or ``(3.1 ± 0.2)×10⁻⁵``
    """
    if not (math.isfinite(value) and math.isfinite(stderr) and stderr > 0):
        zero = " ± 0" if stderr == 0 else ""
        return f"{number(value)}{zero}"
    size = max(abs(value), stderr)
    exponent = 0 if 1e-3 <= size < 1e5 else math.floor(math.log10(size))
    value, stderr = value / 10.0**exponent, stderr / 10.0**exponent
    # two digits of the error, at least those that the number would have without it
    decimals = min(max(1 - math.floor(math.log10(stderr)), 0), 6)
    text = f"{value:.{decimals}f} ± {stderr:.{decimals}f}"
    return f"({text})×10{str(exponent).translate(RAISED)}" if exponent else text


def power(value: float) -> str:
    """Write a power of ten.

    :param value: larger than zero
    :return: such as ``10⁻³``; one as ``1``
    """
    exponent = round(math.log10(value))
    return f"10{str(exponent).translate(RAISED)}" if exponent else "1"


def positive(values: Any) -> np.ndarray:
    """Take what can stand on a log axis.

    :param values: numbers, possibly zero, negative, NaN or infinite
    :return: those that are finite and larger than zero
    """
    array = np.asarray(values, dtype=float)
    return array[np.isfinite(array) & (array > 0)]


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
        path = stem.parent / f"{stem.name}.{kind}"
        part = unfinished(path)
        metadata: Any = {"Date": None} if kind == "svg" else {}
        try:
            with context():
                figure.savefig(part, format=kind, dpi=180, metadata=metadata)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    return stem.parent / f"{stem.name}.svg"


def few_ticks(axes: Axes) -> None:
    """Keep the numbers under a logarithmic axis apart, however short its span.

    :param axes: axes with a logarithmic x axis
    """
    low, high = axes.get_xlim()
    decades = np.log10(high / low)
    axes.xaxis.set_minor_formatter(NullFormatter())
    if decades < 2:  # perhaps no power of ten among them
        subs = (1.0, 3.0) if decades > 1.2 else (1.0, 2.0, 5.0)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
