"""Sizes and pieces of the map of the network, in inches from the upper left."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

from . import style
from .network_flow import EDGE, LANES, NODE, Flow, Strip
from .painter import DAGGER, draw_cells, frame_cell
from .probes import Probe, Spectra
from .text import plain


LANE_COLORS = {NODE: "#DDEAF6", EDGE: "#FBE9D6"}
LANE_INK = {NODE: "#2F6DA3", EDGE: "#B8651B"}
GREY = "#5B6670"

Point = tuple[float, float]

ROW = 0.16
"""Height of a cell."""
LANE = 0.6
"""Height of a lane: a title and two rows."""
GAP = 0.3
"""Between two columns, for an arrow."""
TITLE = 0.24
"""Above a strip, for its name."""
MESSAGES = 0.3
"""Between two strips, for what goes from one to the next."""
TEXT = 0.22
"""From the edge of a box to its cells, below the title."""
INDENT = 0.2
"""From the edge of a box to its cells, beside the signs."""
LEFT = 0.8
"""Left edge of the first column."""


@dataclass(frozen=True)
class Sizes:
    """Where things stand, in inches.

    :param cell: width of a cell
    :param box: width of a box
    :param columns: left edge of each column, those of the strips and those of the heads
    :param heads_left: left edge of the first column of the heads
    :param outputs_left: left edge of the predictions
    :param strip_tops: upper edges of the lanes of each strip
    :param head_tops: upper edges of the lanes of each head
    :param bottom: lower edge of everything
    :param width: of the figure
    """

    cell: float
    box: float
    columns: dict[str, float]
    heads_left: float
    outputs_left: float
    strip_tops: list[float]
    head_tops: list[float]
    bottom: float
    width: float

    @classmethod
    def of(cls, flow: Flow, channels: int) -> "Sizes":
        """Lay out a flow.

        :param flow: what is drawn
        :param channels: beside each other in a box
        """
        cell = min(0.18, max(0.066, 1.14 / channels))
        box = max(cell * channels + INDENT + 0.09, 0.95)
        pitch = box + GAP
        # the first column of the heads leaves room for a bus
        heads = LEFT + len(flow.columns) * pitch + 0.45 if flow.strips else LEFT
        outputs = heads + len(flow.head_columns) * pitch
        columns = {c: LEFT + i * pitch for i, c in enumerate(flow.columns)}
        columns |= {c: heads + i * pitch for i, c in enumerate(flow.head_columns)}
        step = TITLE + 2 * LANE + MESSAGES
        heights = [TITLE + rows(head) * LANE + 0.14 for head in flow.heads]
        both, start = max(len(flow.strips) * step, sum(heights)), style.HEADER + 0.1
        first = start + (both - len(flow.strips) * step) / 2 + TITLE
        # where each head ends, and the next begins
        ends = start + (both - sum(heights)) / 2 + np.cumsum([0.0, *heights])
        titles = [heads + style.width_of(h.title, 10) + 0.2 for h in flow.heads]
        right = max([outputs + pitch if flow.heads else heads - 0.45, *titles])
        return cls(
            cell, box, columns, heads, outputs,
            [first + i * step for i in range(len(flow.strips))],
            (ends[:-1] + TITLE).tolist(), start + both, max(right + 0.1, 7.4),
        )  # fmt: skip

    def filled(self, strip: Strip, lane: str, columns: Sequence[str]) -> list[float]:
        """Left edges of the boxes in a lane.

        :param strip: of the lane
        :param lane: ``node`` or ``edge``
        :param columns: which are of interest
        """
        return [self.columns[c] for c in columns if lane in strip.lanes(c)]


def rows(strip: Strip) -> int:
    """How many lanes high a head is, with its predictions.

    :param strip: of one target
    """
    return max(2 if strip.boxes else 1, len(strip.outputs))


def draw_lanes(axes: Axes, left: float, top: float, width: float) -> None:
    """Draw the background of the lanes of a strip.

    :param axes: of everything
    :param left: in inches
    :param top: in inches
    :param width: in inches
    """
    for i, lane in enumerate(LANES):
        corner, color = (left, top + i * LANE), LANE_COLORS[lane]
        axes.add_patch(Rectangle(corner, width, LANE, fc=color, lw=0, zorder=0))


def draw_box(
    axes: Axes, spectra: Spectra, parts: Sequence[tuple[str, Probe]], corner: Point,
    sizes: Sizes,
) -> None:  # fmt: skip
    """Draw a box around one heatmap, or around those of nodes and edges.

    :param axes: of everything
    :param spectra: to which the probes belong
    :param parts: titles and probes, one below the other
    :param corner: upper left, in inches
    :param sizes: of everything
    """
    x, y = corner
    box: Any = {"boxstyle": "round,pad=0.03,rounding_size=0.06", "fc": "white", "ec": GREY}
    size = sizes.box - 0.06, len(parts) * LANE - 0.12
    axes.add_patch(FancyBboxPatch((x + 0.03, y + 0.06), *size, lw=0.9, zorder=2, **box))
    for i, (title, probe) in enumerate(parts):
        top = y + i * LANE
        # the lanes say which is which
        name = "" if i and title == parts[0][0] else plain(title, 14)
        write(
            axes, x + sizes.box / 2, top + 0.13,
            name + ("" if probe.converged else f" {DAGGER}"), fontweight="bold",
        )  # fmt: skip
        _draw_probe(axes, spectra, probe, (x + INDENT, top + TEXT), sizes.cell)


def _draw_probe(
    axes: Axes, spectra: Spectra, probe: Probe, corner: Point, width: float
) -> None:
    """A small heatmap: a row for each parity, or one for the irreps of another group."""
    needed = spectra.needed(probe)
    for row, (panel, part) in enumerate(spectra.irreps):
        x = corner[0] + width * np.arange(len(panel.channels) + 1)
        y = corner[1] + ROW * np.array([row, row + 1])
        draw_cells(axes, x, y, probe.cells[None, part], zorder=3)
        if needed is not None and part.start <= needed < part.stop:
            frame_cell(axes, x[needed - part.start], y[0], width, ROW)
        sign = panel.title[-1] if len(spectra.irreps) > 1 else ""
        write(axes, corner[0] - 0.08, y.mean(), sign, fontsize=7, color=GREY)


def write(axes: Axes, x: float, y: float, words: str, **look: Any) -> None:
    """Write centred in a place.

    :param axes: of everything
    :param x: in inches
    :param y: in inches
    :param words: what to write
    :param look: of matplotlib
    """
    place: Any = {"ha": "center", "va": "center", "fontsize": 8, "zorder": 4}
    axes.text(x, y, words, **(place | look))


def draw_arrow(axes: Axes, points: Sequence[Point], color: str) -> None:
    """Draw a path that ends in an arrow.

    :param axes: of everything
    :param points: corners of the path, in inches
    :param color: of the path
    """
    axes.plot(*zip(*points, strict=True), color=color, lw=1.3, zorder=1)
    arrow: Any = {
        "arrowstyle": "-|>", "color": color, "lw": 1.3, "shrinkA": 0, "shrinkB": 0,
        "mutation_scale": 8,
    }  # fmt: skip
    axes.annotate("", points[-1], points[-2], zorder=1, arrowprops=arrow)


def draw_key(axes: Axes, spectra: Spectra, left: float, top: float) -> float:
    """Show how to read a small heatmap.

    :param axes: of everything
    :param spectra: all that are drawn
    :param left: in inches
    :param top: in inches
    :return: its right edge, in inches
    """
    size, panels = 0.17, [panel for panel, _ in spectra.irreps]
    ticks, x = panels[0].ticks, left + 0.75
    # names are longer than degrees
    width = max(size, *(style.width_of(tick, 7) + 0.03 for tick in ticks))
    look: Any = {"fc": "#F4F6F8", "ec": GREY, "lw": 0.6}
    for row, panel in enumerate(panels):
        y = top + row * size
        words = f"{panel.name}  {panel.title[-1]}" if len(panels) > 1 else panel.name
        write(axes, left + 0.68, y + size / 2, words, ha="right")
        for i in range(len(ticks)):
            axes.add_patch(Rectangle((x + i * width, y), width, size, **look))
    y = top + len(panels) * size + 0.09
    for i, tick in enumerate(ticks):
        small = 7 if len(ticks) < 11 else 6
        write(axes, x + (i + 0.5) * width, y, tick, fontsize=small)
    write(axes, left + 0.68, y, panels[0].axis.removeprefix("degree "), ha="right")
    return x + len(ticks) * width
