"""The heatmap: which irreps live where in the network."""

from itertools import groupby, pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from ..measure.results import Report
from . import style
from .painter import DAGGER, draw_cells, draw_scale, frame_cell, probe_marks
from .probes import RESIDUAL, Panel, Probe, Spectra, report_spectra
from .text import plain


@style.context()
def draw_heatmap(report: Report) -> Figure | None:
    """Draw all probes, layers first and predictions last.

    :param report: what was measured
    :return: the figure; nothing if nothing was probed
    """
    spectra = report_spectra(report)
    if not spectra.probes:
        return None
    number = len(spectra.probes)
    height = 0.3 if number <= 6 else 0.24 if number <= 20 else 0.205
    tops = _tops(spectra.probes)
    sizes = [_width(panel) for panel in spectra.panels]
    names = max(style.width_of(_name(p), 8.5) for p in spectra.probes)
    groups = max(style.width_of(p.group, 9.5) for p in spectra.probes)
    handles = probe_marks(spectra)
    figure = style.new_figure(
        max(groups + names + sum(sizes) + 0.8, 7.2),
        height * (tops[-1] + 1) + 1.45 + 0.2 * len(handles),
        "Which irreps live where in the network", style.describe(report),
    )  # fmt: skip
    grid = figure.add_gridspec(
        1, 1 + len(sizes), width_ratios=[0.05, *sizes], wspace=0.01, left=0.1
    )
    _groups(figure.add_subplot(grid[0]), spectra.probes, tops)
    panels = _panels(figure, grid, spectra, tops)
    labels = [_name(probe) for probe in spectra.probes]
    panels[0].set_yticks(tops + 0.5, labels)
    draw_scale(figure, ax=panels, location="bottom", aspect=40, pad=0.02)
    style.shared_legend(figure, handles)
    return figure


def _name(probe: Probe) -> str:
    """Of a probe, with a mark where it is not converged."""
    return plain(probe.name, 44) + f" {DAGGER}" * (not probe.converged)


def _width(panel: Panel) -> float:
    """Of a panel, in inches; wide enough for its title."""
    longest = max(style.width_of(tick, 8.5) for tick in panel.ticks)
    cell = max(min(0.4, max(0.25, 4.2 / len(panel.channels))), longest + 0.03)
    return max(cell * len(panel.channels), style.width_of(panel.title, 8.0))


def _tops(probes: list[Probe]) -> np.ndarray:
    """Upper edges of the rows; a gap between groups, a wider one before the outputs."""
    tops = [0.0]
    for before, probe in pairwise(probes):
        wide = bool(probe.block) and not before.block
        tops.append(tops[-1] + 1 + 0.25 * (before.group != probe.group) + 0.75 * wide)
    return np.array(tops)


def _panels(
    figure: Figure, grid: GridSpec, spectra: Spectra, tops: np.ndarray
) -> list[Axes]:
    """One panel of cells for each set of channels."""
    panels: list[Axes] = []
    cells, needed = spectra.cells, [spectra.needed(probe) for probe in spectra.probes]
    for i, (panel, part) in enumerate(spectra.parts):
        axes = figure.add_subplot(grid[1 + i])
        x = np.arange(len(panel.channels) + 1)
        for rows in _runs(spectra.probes):
            y = np.append(tops[rows], tops[rows][-1] + 1)
            draw_cells(axes, x, y, cells[rows, part])
        for place, top in zip(needed, tops, strict=True):
            if place is not None and part.start <= place < part.stop:
                frame_cell(axes, place - part.start, top, 1, 1)
        axes.set_title(panel.title, loc="left", fontweight="bold", fontsize=9.5)
        axes.set_xlabel(panel.axis if panel.name != RESIDUAL else "")
        axes.set_xticks(x[:-1] + 0.5, panel.ticks)
        _bare(axes, tops)
        axes.set_yticks([])
        panels.append(axes)
    # wide enough for its title, but the cell as narrow as the others
    if len(panels) > 1 and spectra.panels[-1].name == RESIDUAL:
        panels[-1].set_xlim(0, 1.5)
    return panels


def _runs(probes: list[Probe]) -> list[slice]:
    """Rows without a gap between them."""
    sizes = [len(list(own)) for _, own in groupby(probes, key=lambda probe: probe.group)]
    ends = np.cumsum(sizes).tolist()
    return [slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def _bare(axes: Axes, tops: np.ndarray) -> None:
    """Rows from above, and no frame."""
    axes.set_ylim(tops[-1] + 1, 0)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _groups(axes: Axes, probes: list[Probe], tops: np.ndarray) -> None:
    """Brackets with the names of the groups, at the left edge."""
    ends = [(tops[rows][0], tops[rows][-1] + 1) for rows in _runs(probes)]
    names = [plain(probes[rows.start].group) for rows in _runs(probes)]
    low, high = zip(*ends, strict=True)
    margin = 0.12
    axes.vlines(
        np.zeros(len(ends)), np.array(low) + margin, np.array(high) - margin,
        color=style.LINE, lw=1.6, clip_on=False,
    )  # fmt: skip
    bold: Any = {"fontweight": "bold"}
    axes.set_yticks((np.array(low) + high) / 2, names, **bold)
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    _bare(axes, tops)
