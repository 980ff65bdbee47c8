"""The spectrum of each output: share of every irrep against its degree."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ..measure.results import Report
from . import style
from .painter import NO_ERROR_BAR, NOT_CONVERGED, few
from .probes import RESIDUAL, Probe, Spectra, report_spectra
from .shares import FLOOR, Cells
from .text import plain


# proper and pseudo irreps, or those of another group; filled and open markers
LOOKS: list[dict[str, Any]] = [
    {"color": style.PROPER, "marker": "o", "mfc": style.PROPER, "ls": "-"},
    {"color": style.PSEUDO, "marker": "s", "mfc": "white", "ls": "--"},
]
# 7 is an arrow down that stands on the edge
LABELS: dict[str | int, str] = {
    "v": "below (not above 2 standard errors)",
    "x": NO_ERROR_BAR,
    7: "below the axis",
}


@style.context()
def draw_spectrum(report: Report) -> Figure | None:
    """Draw one panel per output.

    :param report: what was measured
    :return: the figure; nothing if no output was probed
    """
    spectra = report_spectra(report)
    outputs = spectra.outputs
    if not outputs:
        return None
    number, size = len(outputs), len(spectra.panels[0].channels)
    columns = 2 if number == 4 else min(number, 3 if number <= 9 else 4 + (number > 24))
    rows = math.ceil(number / columns)
    width = max(2.6, 1.5 + 0.3 * (size + 1)) if columns > 1 else 4.3
    figure = style.new_figure(
        max(width * columns, 7.5), (3.3 if rows < 3 else 2.6) * rows + 0.6,
        "What the predictions are made of", style.describe(report),
    )  # fmt: skip
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    bottom = _bottom(Spectra(spectra.panels, outputs).cells)
    for axes, probe in zip(grid, outputs, strict=False):
        _panel(axes, spectra, probe, bottom)
    for axes in grid[number:]:
        axes.remove()
    for axes in grid[:number:columns]:
        axes.set_ylabel("share  B / ⟨|h|²⟩")
    style.shared_legend(figure)
    return figure


def _bottom(cells: Cells) -> float:
    """Lower end of the axis: a decade below the smallest number, at most the floor."""
    shown = cells.shown[cells.shown > FLOOR]
    lowest = math.floor(math.log10(min(shown, default=FLOOR))) - 0.3
    return max(FLOOR / 2, min(10.0**lowest, 1e-3))


def _panel(axes: Axes, spectra: Spectra, probe: Probe, bottom: float) -> None:
    """Both parities, the irrep of the target, the residual."""
    axes.set_yscale("log")
    axes.set_ylim(bottom, 4)
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    panels, needed = spectra.irreps, spectra.needed(probe)
    for i, (panel, part) in enumerate(panels):
        x = np.arange(len(panel.channels)) + 0.26 * (i - (len(panels) - 1) / 2)
        if needed is not None and part.start <= needed < part.stop:
            middle = x[needed - part.start]
            axes.axvspan(
                middle - 0.22, middle + 0.22, color=style.NEEDED, alpha=0.55, lw=0,
                label="irrep of the target",
            )  # fmt: skip
        _series(axes, probe.cells[part], x, panel.title, LOOKS[i], bottom)
    panel = panels[0][0]
    ticks, size = few(panel.ticks, 11), len(panel.ticks)
    if spectra.panels[-1].name == RESIDUAL:
        _residual(axes, probe.cells[-1], size, bottom)
        ticks = [*ticks, (size + 0.5, spectra.panels[-1].ticks[0])]
    axes.set_xticks(*zip(*ticks, strict=True))
    axes.set_xlim(-0.6, ticks[-1][0] + 0.6)
    axes.set_xlabel(panel.long_axis)
    axes.set_title(plain(probe.name, 34), loc="left", fontweight="bold", fontsize=9.5)
    if not probe.converged:
        look: Any = {"color": style.WARNING, "fontweight": "bold", "fontsize": 9}
        style.say(axes, NOT_CONVERGED, 0.98, 0.98, **look)


def _series(
    axes: Axes, cells: Cells, x: np.ndarray, name: str, look: dict[str, Any], bottom: float
) -> None:
    """One parity: what is known with an error bar, without one, or only bounded."""
    color, shown = look["color"], cells.shown
    seen = shown > bottom
    axes.plot(x[seen], shown[seen], color=color, lw=0.9, ls=look["ls"])
    exact = seen & ~cells.bare & ~cells.below
    axes.errorbar(
        x[exact], cells.share[exact], yerr=_bars(cells[exact], bottom), label=name, ms=5.5,
        elinewidth=1.3, capsize=2.5, **(look | {"ls": ""}),
    )  # fmt: skip
    _marks(axes, x[seen & cells.below], shown[seen & cells.below], color, "v")
    _marks(axes, x[seen & cells.bare], shown[seen & cells.bare], color, "x")
    low = cells.known & ~seen
    _marks(axes, x[low], np.full(low.sum(), bottom), color, 7)


def _marks(axes: Axes, x: np.ndarray, y: np.ndarray, color: str, marker: str | int) -> None:
    """Markers without error bars, in the legend once for both parities."""
    if len(x):
        look: Any = {"ls": "", "marker": marker, "ms": 6, "mew": 1.5, "mfc": "white"}
        axes.plot(x, y, color=color, clip_on=False, **look)
        axes.plot([], [], color=style.RESIDUAL, label=LABELS[marker], **look)


def _bars(cells: Cells, bottom: float) -> np.ndarray:
    """Lengths of error bars; downwards they end at the edge."""
    return np.array([np.minimum(cells.stderr, cells.share - bottom), cells.stderr])


def _residual(axes: Axes, cell: Cells, size: int, bottom: float) -> None:
    """What lies beyond the largest degree, as a bar at the right."""
    axes.axvline(size - 0.25, color="#BBBBBB", lw=0.8, ls=":")
    if not cell.known:
        return
    height = max(float(cell.shown), bottom)
    # a bound is drawn as such: an open bar without an error bar
    certain = not cell.bare and not cell.below and height > bottom
    label = "residual: beyond λmax"
    label += ", below the bar" if cell.below else f", {NO_ERROR_BAR}" if cell.bare else ""
    axes.bar(
        size + 0.5, height - bottom, bottom=bottom, width=0.7, color="white",
        edgecolor=style.RESIDUAL, hatch="////", ls="-" if certain else "--", label=label,
        yerr=_bars(cell, bottom)[:, None] if certain else None, ecolor=style.LINE,
        capsize=2.5,
    )  # fmt: skip
