"""The spectrum of each output: share of every irrep against its degree."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from ..groups.irreps import Irrep
from ..measure.results import Report
from . import style
from .shares import NO_ERROR_BAR, NOT_CONVERGED
from .spectrum import (
    FLOOR,
    RESIDUAL,
    Channel,
    Spectrum,
    largest_degree,
    needed_irreps,
    read_spectra,
)


OFFSET = {1: -0.13, -1: 0.13}
# 7 is an arrow down that stands on the edge
LABELS: dict[int | str, str] = {
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
    spectra = [s for s in read_spectra(report) if s.kind == "output"]
    if not spectra:
        return None
    degree = largest_degree(spectra)
    columns = _columns(len(spectra))
    rows = math.ceil(len(spectra) / columns)
    width = max(2.6, 1.5 + 0.3 * (degree + 2)) if columns > 1 else 4.3
    figure = style.new_figure(
        max(width * columns, 7.5),
        (3.3 if rows < 3 else 2.6) * rows + 0.6,
        "What the predictions are made of",
        style.describe(report),
    )
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    bottom = _bottom(spectra)
    for axes, spectrum in zip(grid, spectra, strict=False):
        _panel(axes, spectrum, needed_irreps(report, spectrum.probe), degree, bottom)
    for axes in grid[len(spectra) :]:
        axes.remove()
    for first in range(0, len(spectra), columns):
        grid[first].set_ylabel("share  B / ⟨|h|²⟩")
    style.shared_legend(figure)
    return figure


def _columns(number: int) -> int:
    """Panels beside each other."""
    if number == 4:
        return 2
    return min(number, 3 if number <= 9 else 4 if number <= 24 else 5)


def _bottom(spectra: list[Spectrum]) -> float:
    """Lower end of the axis: a decade below the smallest number, at most the floor."""
    shown = [c.shown for s in spectra for c in s.channels.values() if c.shown > FLOOR]
    lowest = math.floor(math.log10(min(shown, default=FLOOR))) - 0.3
    return max(FLOOR / 2, min(10.0**lowest, 1e-3))


def _panel(
    axes: Axes, spectrum: Spectrum, needed: set[Irrep], degree: int, bottom: float
) -> None:
    """Both parities, the irreps of the target, the residual."""
    axes.set_yscale("log")
    axes.set_ylim(bottom, 4)
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y")
    for irrep in sorted(needed):
        centre = irrep.o3_lambda + OFFSET[irrep.o3_sigma]
        axes.axvspan(
            centre - 0.22, centre + 0.22, color=style.NEEDED, alpha=0.55, lw=0,
            label="irreps of the target",
        )  # fmt: skip
    for sigma in (1, -1):
        _series(axes, spectrum, sigma, bottom)
    _residual(axes, spectrum, degree, bottom)
    step = 1 if degree <= 10 else 2
    axes.set_xticks([*range(0, degree + 1, step), degree + 1.5])
    axes.set_xticklabels([*map(str, range(0, degree + 1, step)), f"> {degree}"])
    axes.set_xlim(-0.6, degree + 2.1)
    axes.set_xlabel("degree λ of the irrep")
    made = " + ".join(map(str, sorted(needed)))
    title = style.plain(style.shorten(spectrum.probe, 34))
    if made and not spectrum.probe.endswith(made):
        title += f"   {made}"
    axes.set_title(title, loc="left", fontweight="bold", fontsize=9.5)
    if not spectrum.converged:
        axes.text(
            0.98, 0.98, NOT_CONVERGED, color=style.WARNING, fontweight="bold",
            ha="right", va="top", transform=axes.transAxes,
        )  # fmt: skip


def _series(axes: Axes, spectrum: Spectrum, sigma: int, bottom: float) -> None:
    """One parity: what is known with an error bar, without one, or only bounded."""
    color = style.PROPER if sigma == 1 else style.PSEUDO
    name = "proper  σ = +" if sigma == 1 else "pseudo  σ = −"
    points = sorted((i, c) for i, c in spectrum.irreps.items() if i.o3_sigma == sigma)
    seen = [(i.o3_lambda + OFFSET[sigma], c) for i, c in points if c.shown > bottom]
    line = [(x, c.shown) for x, c in seen]
    if line:
        axes.plot(
            *zip(*line, strict=True), color=color, lw=0.9, ls="-" if sigma == 1 else "--"
        )
    exact = [(x, c) for x, c in seen if c.has_error_bar and not c.below]
    face = color if sigma == 1 else "white"
    axes.errorbar(
        [x for x, _ in exact], [c.share for _, c in exact], yerr=_bars(exact, bottom),
        color=color, marker="o" if sigma == 1 else "s", ms=5.5, mfc=face, ls="",
        elinewidth=1.3, capsize=2.5, label=name,
    )  # fmt: skip
    limits = [(x, c.bound) for x, c in seen if c.below]
    _marks(axes, limits, color, "v")
    loose = [(x, c.share) for x, c in seen if not c.has_error_bar]
    _marks(axes, loose, color, "x")
    low = [(i.o3_lambda + OFFSET[sigma], bottom) for i, c in points if c.shown <= bottom]
    _marks(axes, low, color, 7)


def _marks(
    axes: Axes, points: list[tuple[float, float]], color: str, marker: int | str
) -> None:
    """Markers without error bars, in the legend once for both parities."""
    if points:
        look: dict[str, Any] = {
            "ls": "",
            "marker": marker,
            "ms": 6,
            "mew": 1.5,
            "mfc": "white",
        }
        axes.plot(*zip(*points, strict=True), color=color, clip_on=False, **look)
        axes.plot([], [], color=style.RESIDUAL, label=LABELS[marker], **look)


def _bars(points: list[tuple[float, Channel]], bottom: float) -> np.ndarray | None:
    """Lengths of error bars; downwards they end at the edge."""
    if not points:
        return None
    return np.array(
        [
            [min(c.stderr, c.share - bottom) for _, c in points],
            [c.stderr for _, c in points],
        ]
    )


def _residual(axes: Axes, spectrum: Spectrum, degree: int, bottom: float) -> None:
    """What lies beyond the largest degree, as a bar at the right."""
    axes.axvline(degree + 0.75, color="#BBBBBB", lw=0.8, ls=":")
    residual = spectrum.channels.get(RESIDUAL)
    if residual is None or not residual.known:
        return
    height = max(residual.shown, bottom)
    # a bound is drawn as such: an open bar without an error bar
    certain = residual.has_error_bar and not residual.below and height > bottom
    label = "residual: beyond λmax"
    if residual.below:
        label += ", below the bar"
    elif not residual.has_error_bar:
        label += f", {NO_ERROR_BAR}"
    axes.bar(
        degree + 1.5, height - bottom, bottom=bottom, width=0.7, color="white",
        edgecolor=style.RESIDUAL, hatch="////", ls="-" if certain else "--", label=label,
        yerr=_bars([(0.0, residual)], bottom) if certain else None, ecolor=style.LINE,
        capsize=2.5,
    )  # fmt: skip
