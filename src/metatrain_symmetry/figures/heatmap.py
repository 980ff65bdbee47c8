"""The heatmap: which irreps live where in the network."""

import math
from itertools import groupby

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator

from ..group.irreps import Irrep
from ..measure.report import Report
from . import style
from .spectrum import FLOOR, RESIDUAL, Channel, Spectrum, largest_degree, read_spectra


NOT_CONVERGED = "†"
ROW = 0.215


def colormap() -> Colormap:
    """Colours of shares: the darkest is at or below the floor, grey was not measured."""
    return colormaps[style.HEATMAP].with_extremes(bad=style.MISSING)


@style.context()
def draw_heatmap(report: Report, floor: float = FLOOR) -> Figure | None:
    """Draw all probes, layers first and predictions last.

    :param report: what was measured
    :param floor: smallest share that is told apart
    :return: the figure; nothing if nothing was probed
    """
    spectra = read_spectra(report)
    if not spectra:
        return None
    degree = largest_degree(spectra)
    figure = style.new_figure(
        max(6.4 + 0.62 * (degree + 1), 8.5),
        ROW * len(spectra) + 1.75,
        "Which irreps live where in the network",
        style.describe(report),
    )
    widths = [1.75, degree + 1, degree + 1, 1.3, 0.4]
    grid = figure.add_gridspec(1, 5, width_ratios=widths, wspace=0.02)
    panels = [figure.add_subplot(grid[0, i]) for i in range(5)]
    names = [[str(Irrep(d, sigma)) for d in range(degree + 1)] for sigma in (1, -1)]
    titles = ("proper  σ = +", "pseudo  σ = −", "residual")
    for axes, columns, title in zip(panels[1:], [*names, [RESIDUAL]], titles, strict=False):
        _cells(axes, spectra, columns, floor)
        axes.set_title(title, fontweight="bold", loc="left", fontsize=9.5)
    _labels(panels, spectra, degree)
    _colorbar(figure, panels, floor)
    _legend(figure, spectra, floor)
    return figure


def _cells(axes: Axes, spectra: list[Spectrum], names: list[str], floor: float) -> None:
    """One panel; darker than the floor is not told apart."""
    empty = Channel("", math.nan, math.nan, math.nan)
    table = [[s.channels.get(name, empty) for name in names] for s in spectra]
    shares = np.array([[c.share for c in row] for row in table])
    # a difference of estimates may be negative: the floor is the honest colour
    shown = np.ma.masked_invalid(np.where(shares < floor, floor, shares))
    axes.pcolormesh(
        np.arange(len(names) + 1) - 0.5, np.arange(len(spectra) + 1) - 0.5, shown,
        cmap=colormap(), norm=LogNorm(floor, 1.0), edgecolors="white", linewidth=0.4,
    )  # fmt: skip
    for y, row in enumerate(table):
        for x, channel in enumerate(row):
            if channel.within_error:
                axes.add_patch(_hatched((x - 0.5, y - 0.5)))
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(spectra) - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _hatched(corner: tuple[float, float]) -> Rectangle:
    """The mark of a cell that cannot be told from zero."""
    return Rectangle(corner, 1, 1, fill=False, hatch="////", lw=0, edgecolor="#FFFFFFB0")


def _labels(panels: list[Axes], spectra: list[Spectrum], degree: int) -> None:
    """Names of the probes, λ, and brackets of the groups."""
    groups, proper, pseudo, residual = panels[:4]
    for axes in (proper, pseudo):
        axes.set_xticks(range(degree + 1))
        axes.set_xlabel("degree λ of the irrep")
    residual.set_xticks([0], [f"> {degree}"])
    residual.set_xlabel("beyond λmax")
    for axes in (pseudo, residual):
        axes.set_yticks([])
    proper.set_yticks(
        range(len(spectra)),
        [
            style.plain(style.shorten(s.probe, 44))
            + ("" if s.converged else f" {NOT_CONVERGED}")
            for s in spectra
        ],
    )
    groups.set_ylim(proper.get_ylim())
    groups.set_xlim(0, 1)
    groups.axis("off")
    start = 0
    for name, members in groupby(s.group for s in spectra):
        end = start + len(list(members))
        _bracket(groups, style.plain(name), start, end)
        for axes in (proper, pseudo, residual):
            if start:
                axes.axhline(start - 0.5, color="white", lw=3)
        start = end


def _bracket(axes: Axes, name: str, start: int, end: int) -> None:
    """Name one group of rows."""
    axes.plot([0.96, 0.96], [start - 0.36, end - 0.64], color=style.LINE, lw=1.6)
    axes.text(
        0.9, (start + end - 1) / 2, name, ha="right", va="center", fontweight="bold",
        fontsize=8.5,
    )  # fmt: skip


def _colorbar(figure: Figure, panels: list[Axes], floor: float) -> None:
    """The scale: not taller than needed beside many rows."""
    panels[4].axis("off")
    inset = panels[4].inset_axes((0.0, 0.0, 1.0, 1.0))
    bar = figure.colorbar(panels[1].collections[0], cax=inset, extend="min")
    bar.locator = LogLocator(numticks=12)
    bar.update_ticks()
    bar.set_label(f"share of the mean square  B / ⟨|h|²⟩   (floor {floor:.0e})")


def _legend(figure: Figure, spectra: list[Spectrum], floor: float) -> None:
    """Say what the marks mean, only those that occur or could be missed."""
    dark = colormap()(0.0)
    handles: list[Patch | Line2D] = [Patch(fc=dark, label=f"at or below {floor:.0e}")]
    channels = [c for s in spectra for c in s.channels.values()]
    if any(c.within_error for c in channels):
        label = "within error of zero (below 2 standard errors)"
        handles.append(Patch(fc=dark, ec="#FFFFFFB0", hatch="////", lw=0, label=label))
    if any(len(s.channels) < 2 * (largest_degree(spectra) + 1) + 1 for s in spectra) or any(
        math.isnan(c.share) for c in channels
    ):
        handles.append(Patch(fc=style.MISSING, label="not measured"))
    if not all(s.converged for s in spectra):
        marker = f"${NOT_CONVERGED}$"
        label = "not converged"
        handles.append(
            Line2D([], [], ls="", marker=marker, ms=8, color=style.LINE, label=label)
        )
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 2))
