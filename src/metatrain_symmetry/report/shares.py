"""Shares as coloured cells: one scale, one set of marks, for every heatmap of a report."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from . import style
from .spectrum import FLOOR, Channel


Cell = tuple[Channel, float, float]
Size = tuple[float, float]

SCALE = LogNorm(FLOOR, 1.0)
BRIGHT = 0.62
"""Position on the scale above which marks and letters are dark."""

BELOW = "below the value of its colour: not above 2 standard errors"
NO_ERROR_BAR = "no error bar"
AT_FLOOR = f"at or below {style.power(FLOOR)}"
NOT_MEASURED = "not measured"
NOT_CONVERGED = "not converged"


def colormap() -> Colormap:
    """Colours of shares: the darkest is at or below the floor, grey was not measured."""
    return colormaps[style.HEATMAP].with_extremes(bad=style.MISSING)


def level(channel: Channel) -> float:
    """Position of a channel on the colour scale.

    :param channel: its share, or the bound where only that is known, is taken
    :return: from 0 (at or below the floor) to 1; NaN if it was not measured
    """
    if not channel.known:
        return math.nan
    return float(SCALE(min(max(channel.shown, FLOOR), 1.0)))


def draw_cells(
    axes: Axes,
    table: Sequence[Sequence[Channel]],
    corner: tuple[float, float],
    size: Size,
    zorder: float = 1,
) -> None:
    """Draw a block of cells with their marks.

    :param axes: of a sheet, in inches, y downwards
    :param table: rows of channels, all of the same length
    :param corner: left and upper edge of the block, in inches
    :param size: width and height of one cell, in inches
    :param zorder: of matplotlib
    """
    rows, columns = len(table), len(table[0])
    x = corner[0] + size[0] * np.arange(columns + 1)
    y = corner[1] + size[1] * np.arange(rows + 1)
    # a difference of estimates may be negative: the floor is the honest colour
    shown = [[max(c.shown, FLOOR) if c.known else math.nan for c in r] for r in table]
    axes.pcolormesh(
        x, y, np.ma.masked_invalid(shown), cmap=colormap(), norm=SCALE,
        edgecolors="white", linewidth=0.4, zorder=zorder,
    )  # fmt: skip
    cells = [
        (channel, x[j], y[i])
        for i, row in enumerate(table)
        for j, channel in enumerate(row)
    ]
    _strokes(axes, [c for c in cells if c[0].below], size, zorder)
    _dots(axes, [c for c in cells if c[0].known and not c[0].has_error_bar], size, zorder)


def _ink(channel: Channel) -> str:
    """Colour of a mark, seen on that of its cell."""
    return "#1A1A1AB0" if level(channel) > BRIGHT else "#FFFFFFC8"


def _strokes(axes: Axes, cells: list[Cell], size: Size, zorder: float) -> None:
    """Hatch cells of which only a bound is known."""
    w, h = size
    parts = [((0.0, 0.5), (0.5, 0.0)), ((0.0, 1.0), (1.0, 0.0)), ((0.5, 1.0), (1.0, 0.5))]
    lines = [
        [(x + a * w, y + b * h) for a, b in part] for _, x, y in cells for part in parts
    ]
    colors = [_ink(channel) for channel, _, _ in cells for _ in parts]
    axes.add_collection(
        LineCollection(lines, colors=colors, lw=0.6, gid=BELOW, zorder=zorder),
        autolim=False,
    )


def _dots(axes: Axes, cells: list[Cell], size: Size, zorder: float) -> None:
    """Put a dot into cells without an error bar."""
    points = [(x + size[0] / 2, y + size[1] / 2) for _, x, y in cells]
    if points:
        dots: PathCollection = axes.scatter(
            *zip(*points, strict=True), s=(14 * min(size)) ** 2, lw=0, zorder=zorder,
            c=[_ink(channel) for channel, _, _ in cells],
        )  # fmt: skip
        dots.set_gid(NO_ERROR_BAR)


def draw_scale(figure: Figure, x: float, y: float, width: float) -> None:
    """Draw the colour scale, horizontally: it fits below any number of rows.

    :param figure: a sheet
    :param x: left edge in inches
    :param y: upper edge in inches, from the top
    :param width: in inches
    """
    w, h = figure.get_size_inches()
    axes = figure.add_axes((x / w, 1 - (y + 0.13) / h, width / w, 0.13 / h))
    scale = ScalarMappable(SCALE, colormap())
    bar = figure.colorbar(scale, cax=axes, orientation="horizontal", extend="min")
    decades = 10.0 ** np.arange(round(math.log10(FLOOR)), 1)
    # letters rather than mathematics, which is slow
    bar.set_ticks(list(decades), labels=[style.power(x) for x in decades])
    bar.minorticks_off()
    bar.ax.tick_params(length=2.5, pad=2)
    bar.set_label("share of the mean square  B / ⟨|h|²⟩", labelpad=3)


def marks(channels: Iterable[Channel], missing: bool) -> dict[str, Any]:
    """Legend of the marks that occur.

    :param channels: all that are drawn
    :param missing: whether cells are drawn of which nothing is known
    :return: handles by their labels, for :func:`.style.legend_at`
    """
    found = list(channels)
    middle, handles = colormap()(0.45), dict[str, Any]()
    if any(c.known and c.shown <= FLOOR for c in found):
        handles[AT_FLOOR] = Patch(fc=colormap()(0.0))
    if any(c.below for c in found):
        handles[BELOW] = Patch(fc=middle, ec="#FFFFFFC8", hatch="////", lw=0)
    if any(c.known and not c.has_error_bar for c in found):
        dot = Line2D([], [], ls="", marker="o", ms=3.5, color="white")
        handles[NO_ERROR_BAR] = (Patch(fc=middle), dot)
    if missing or not all(c.known for c in found):
        handles[NOT_MEASURED] = Patch(fc=style.MISSING)
    return handles
