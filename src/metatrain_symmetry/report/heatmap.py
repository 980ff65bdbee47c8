"""The heatmap: which irreps live where in the network."""

import math
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from ..groups.irreps import Irrep
from ..measure.results import Report
from . import style
from .shares import NOT_CONVERGED, colormap, draw_cells, draw_scale, marks
from .spectrum import (
    RESIDUAL,
    Channel,
    Spectrum,
    largest_degree,
    needed_irreps,
    read_spectra,
)


__all__ = ["colormap", "draw_heatmap"]

DAGGER = "†"
EMPTY = Channel("", math.nan, math.nan, math.nan)
NEEDED_LABEL = "irrep of the target"
NARROWEST = 7.2


@dataclass(frozen=True)
class Layout:
    """Where things stand, in inches from the left and from the top.

    :param degree: largest λ
    :param cell: width and height of a cell
    :param left: left edges of the panels: proper, pseudo, residual
    :param width: of the figure
    :param tops: upper edge of each row
    :param bottom: lower edge of the last row
    """

    degree: int
    cell: tuple[float, float]
    left: tuple[float, float, float]
    width: float
    tops: list[float]
    bottom: float


@style.context()
def draw_heatmap(report: Report) -> Figure | None:
    """Draw all probes, layers first and predictions last.

    :param report: what was measured
    :return: the figure; nothing if nothing was probed
    """
    spectra = read_spectra(report)
    if not spectra:
        return None
    layout = _layout(spectra)
    channels = [c for s in spectra for c in s.channels.values()]
    expected = 2 * (layout.degree + 1) + 1
    handles = marks(channels, any(len(s.channels) < expected for s in spectra))
    needed = [needed_irreps(report, s.probe) if s.kind == "output" else () for s in spectra]
    handles |= _own_marks(spectra, any(needed))
    title = "Which irreps live where in the network"
    figure, axes = style.new_sheet(
        layout.width,
        layout.bottom + 1.08 + 0.2 * math.ceil(len(handles) / 2),
        title,
        style.describe(report),
    )
    _cells(axes, spectra, layout)
    for spectrum, irreps, top in zip(spectra, needed, layout.tops, strict=True):
        for irrep in irreps:
            _frame(axes, spectrum, irrep, top, layout)
    _labels(axes, spectra, layout)
    _groups(axes, spectra, layout)
    draw_scale(figure, layout.left[0], layout.bottom + 0.42, min(4.2, layout.width - 3))
    style.legend_at(figure, handles, layout.bottom + 1.0)
    return figure


def _name(spectrum: Spectrum) -> str:
    """Of a probe, with a mark where it is not converged."""
    name = style.plain(style.shorten(spectrum.probe, 44))
    return name if spectrum.converged else f"{name} {DAGGER}"


def _layout(spectra: list[Spectrum]) -> Layout:
    """Give every cell a size of its own, whatever the number of rows and columns."""
    degree, number = largest_degree(spectra), len(spectra)
    height = 0.3 if number <= 6 else 0.24 if number <= 20 else 0.205
    width = min(0.4, max(0.25, 4.2 / (degree + 1)))
    names = max(style.width_of(_name(s), 8.5) for s in spectra)
    groups = max(style.width_of(style.plain(s.group), 8.5, "bold") for s in spectra)
    proper = 0.45 + groups + names
    panel = max(width * (degree + 1), 1.15)
    pseudo = proper + panel + 0.12
    tops, y = [], style.HEADER + 0.3
    for i, spectrum in enumerate(spectra):
        before = spectra[i - 1] if i else spectrum
        if before.kind != spectrum.kind:
            y += 0.24
        elif before.group != spectrum.group:
            y += 0.06
        tops.append(y)
        y += height
    total = pseudo + panel + 0.12 + 0.75
    return Layout(
        degree,
        (width, height),
        (proper, pseudo, pseudo + panel + 0.12),
        max(total, NARROWEST),
        tops,
        y,
    )


def _cells(axes: Axes, spectra: list[Spectrum], layout: Layout) -> None:
    """Three panels, a block for each run of rows without a gap."""
    names = [[str(Irrep(d, s)) for d in range(layout.degree + 1)] for s in (1, -1)]
    start = 0
    for _, members in groupby(spectra, key=lambda s: (s.kind, s.group)):
        rows = list(members)
        for columns, left in zip([*names, [RESIDUAL]], layout.left, strict=True):
            table = [[s.channels.get(name, EMPTY) for name in columns] for s in rows]
            width = 0.42 if columns == [RESIDUAL] else layout.cell[0]
            draw_cells(axes, table, (left, layout.tops[start]), (width, layout.cell[1]))
        start += len(rows)


def _frame(
    axes: Axes, spectrum: Spectrum, irrep: Irrep, top: float, layout: Layout
) -> None:
    """Outline the cell in which a symmetric prediction has all of its weight."""
    if str(irrep) in spectrum.channels:
        left = layout.left[0 if irrep.o3_sigma == 1 else 1]
        corner = (left + irrep.o3_lambda * layout.cell[0], top)
        axes.add_patch(
            Rectangle(corner, *layout.cell, fill=False, ec=style.PSEUDO, lw=1.8, zorder=3)
        )


def _labels(axes: Axes, spectra: list[Spectrum], layout: Layout) -> None:
    """Names of the probes, degrees below the columns, titles above."""
    for spectrum, top in zip(spectra, layout.tops, strict=True):
        axes.text(
            layout.left[0] - 0.07, top + layout.cell[1] / 2, _name(spectrum), ha="right",
            va="center", fontsize=8.5,
        )  # fmt: skip
    titles = ("proper  σ = +", "pseudo  σ = −", "residual")
    below = ("degree λ", "degree λ", "beyond λmax")
    for left, title, text in zip(layout.left, titles, below, strict=True):
        top = layout.tops[0] - 0.09
        axes.text(left, top, title, fontweight="bold", fontsize=9.5, va="baseline")
        if title == "residual":
            places, names, middle = [left + 0.21], [f"> {layout.degree}"], left + 0.21
        else:
            places = [left + layout.cell[0] * (d + 0.5) for d in range(layout.degree + 1)]
            names = [str(d) for d in range(layout.degree + 1)]
            middle = (places[0] + places[-1]) / 2
            axes.text(middle, layout.bottom + 0.3, text, ha="center", va="center")
        for place, name in zip(places, names, strict=True):
            axes.text(
                place, layout.bottom + 0.11, name, ha="center", va="center", fontsize=8.5
            )


def _groups(axes: Axes, spectra: list[Spectrum], layout: Layout) -> None:
    """Brackets with the names of the groups, at the left edge."""
    start = 0
    groups = dict.fromkeys(style.plain(s.group) for s in spectra)
    x = 0.25 + max(style.width_of(group, 8.5, "bold") for group in groups)
    for name, members in groupby(s.group for s in spectra):
        end = start + len(list(members))
        top, bottom = layout.tops[start], layout.tops[end - 1] + layout.cell[1]
        axes.plot([x, x], [top + 0.03, bottom - 0.03], color=style.LINE, lw=1.6)
        axes.text(
            x - 0.06, (top + bottom) / 2, style.plain(name), ha="right", va="center",
            fontweight="bold", fontsize=8.5,
        )  # fmt: skip
        start = end


def _own_marks(spectra: list[Spectrum], needed: bool) -> dict[str, Any]:
    """Marks that only this figure has."""
    handles: dict[str, Any] = {}
    if needed:
        handles[NEEDED_LABEL] = Patch(fill=False, ec=style.PSEUDO, lw=1.8)
    if not all(s.converged for s in spectra):
        handles[NOT_CONVERGED] = Line2D(
            [], [], ls="", marker=f"${DAGGER}$", ms=8, color=style.LINE
        )
    return handles
