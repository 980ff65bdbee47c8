"""The matplotlib painter of cells: colours, marks, scale and legend."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from . import style, text
from .probes import Spectra
from .shares import COLORMAP, FLOOR, FLOOR_EXPONENT, SCALE, Cells


DAGGER = "†"
DARK, LIGHT = "#1A1A1AB0", "#FFFFFFC8"

BELOW = "below the value of its colour: not above 2 standard errors"
NO_ERROR_BAR = "no error bar"
AT_FLOOR = f"at or below {text.power(FLOOR_EXPONENT)}"
NOT_MEASURED = "not measured"
NOT_CONVERGED = "not converged"
NEEDED = "irrep of the target"


def draw_cells(
    axes: Axes, x: np.ndarray, y: np.ndarray, cells: Cells, zorder: float = 1
) -> QuadMesh:
    """Draw a block of cells with their marks.

    :param axes: where
    :param x: borders of the columns, ``(columns + 1,)``
    :param y: borders of the rows, ``(rows + 1,)``
    :param cells: ``(rows, columns)``
    :param zorder: of matplotlib
    :return: the cells
    """
    shown = np.ma.masked_invalid(np.maximum(cells.shown, FLOOR))
    mesh = axes.pcolormesh(
        x, y, shown, cmap=COLORMAP, norm=SCALE, edgecolors="white", zorder=zorder,
        linewidth=min(0.4, 12 / len(x)),
    )  # fmt: skip
    middles = (x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2
    for ink, own in ((DARK, cells.bright), (LIGHT, ~cells.bright)):
        look: Any = {"hatch": "////", "facecolor": "none", "edgecolors": ink}
        hatched = np.ma.masked_equal(cells.below & own, False)
        if hatched.count():
            hatch = axes.pcolor(x, y, hatched, linewidths=0, zorder=zorder, **look)
            hatch.set_gid(BELOW)
        row, column = np.nonzero(cells.bare & own)
        if len(row):
            look = {"ls": "", "marker": "o", "ms": 2.5, "mew": 0, "color": ink}
            place = middles[0][column], middles[1][row]
            axes.plot(*place, zorder=zorder, gid=NO_ERROR_BAR, **look)
    return mesh


def frame_cell(axes: Axes, x: float, y: float, width: float, height: float) -> None:
    """Outline the cell in which a symmetric prediction has all of its weight."""
    look: Any = {"fill": False, "ec": style.PSEUDO, "lw": 1.7, "zorder": 5}
    axes.add_patch(Rectangle((x, y), width, height, **look))


def draw_scale(figure: Figure, **place: Any) -> None:
    """Draw the colour scale, placed as matplotlib's ``colorbar`` is."""
    upright = place.get("location") == "right"
    bar = figure.colorbar(ScalarMappable(SCALE, COLORMAP), extend="min", **place)
    exponents = range(FLOOR_EXPONENT, 1, 2 if upright else 1)
    # letters rather than mathematics, which is slow
    labels = [text.power(exponent) for exponent in exponents]
    bar.set_ticks([10.0**exponent for exponent in exponents], labels=labels)
    bar.minorticks_off()
    bar.ax.tick_params(length=2.5, pad=2)
    bar.set_label(
        "share  B / ⟨|h|²⟩" if upright else "share of the mean square  B / ⟨|h|²⟩"
    )


def cell_marks(cells: Cells) -> style.Handles:
    """Make a legend of the marks that occur in cells."""
    middle, handles = COLORMAP(0.45), style.Handles()
    if (cells.known & (cells.shown <= FLOOR)).any():
        handles[AT_FLOOR] = Patch(fc=COLORMAP(0.0))
    if cells.below.any():
        handles[BELOW] = Patch(fc=middle, ec=LIGHT, hatch="////", lw=0)
    if cells.bare.any():
        dot = Line2D([], [], ls="", marker="o", ms=2.5, color="white")
        handles[NO_ERROR_BAR] = (Patch(fc=middle), dot)
    if not cells.known.all():
        handles[NOT_MEASURED] = Patch(fc=style.MISSING)
    return handles


def probe_marks(spectra: Spectra) -> style.Handles:
    """Make a legend of what is marked in cells and at probes."""
    handles = cell_marks(spectra.cells)
    if any(spectra.needed(probe) is not None for probe in spectra.probes):
        handles[NEEDED] = Patch(fill=False, ec=style.PSEUDO, lw=1.8)
    if not all(probe.converged for probe in spectra.probes):
        look: Any = {"ls": "", "marker": f"${DAGGER}$", "ms": 8, "color": style.LINE}
        handles[NOT_CONVERGED] = Line2D([], [], **look)
    return handles


def few(ticks: Sequence[str], most: int) -> list[tuple[float, str]]:
    """Choose evenly which ticks are labelled; their places and labels."""
    step = 1 + (len(ticks) - 1) // most
    return [(place, ticks[place]) for place in range(0, len(ticks), step)]
