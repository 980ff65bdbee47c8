"""Sizes and pieces of the map of the network, in inches from the upper left."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

from ..groups.irreps import Irrep
from . import style
from .flow import EDGE, NODE, Flow, Strip
from .shares import draw_cells
from .spectrum import Channel, Spectrum


LANE_COLORS = {NODE: "#DDEAF6", EDGE: "#FBE9D6"}
LANE_INK = {NODE: "#2F6DA3", EDGE: "#B8651B"}
GREY = "#5B6670"
DAGGER = "†"
SMALL: Any = {"fontsize": 8, "color": LANE_INK[EDGE]}
EMPTY = Channel("", math.nan, math.nan, math.nan)

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
FOOTER = 1.5


@dataclass(frozen=True)
class Sizes:
    """Where things stand, in inches.

    :param degree: largest λ
    :param cell: width of a cell
    :param left: left edge of the first column of the strips
    :param heads_left: left edge of the first column of the heads
    :param outputs_left: left edge of the predictions
    :param strip_tops: upper edges of the lanes of each strip
    :param head_tops: upper edges of the lanes of each head
    :param bottom: lower edge of everything
    :param width: of the figure
    """

    degree: int
    cell: float
    left: float
    heads_left: float
    outputs_left: float
    strip_tops: list[float]
    head_tops: list[float]
    bottom: float
    width: float

    @classmethod
    def of(cls, flow: Flow, degree: int) -> "Sizes":
        """Lay out a flow.

        :param flow: what is drawn
        :param degree: largest λ
        """
        cell = min(0.18, max(0.066, 1.14 / (degree + 1)))
        pitch = _box(cell, degree) + GAP
        left = 0.8
        # the first column of the heads leaves room for a bus
        heads = left + len(flow.columns) * pitch + 0.45 if flow.strips else left
        outputs = heads + len(flow.head_columns) * pitch
        step = TITLE + 2 * LANE + MESSAGES
        strips, heads_high = len(flow.strips) * step, [head_height(h) for h in flow.heads]
        both, start = max(strips, sum(heads_high)), style.HEADER + 0.1
        first = start + (both - strips) / 2 + TITLE
        tops, y = [], start + (both - sum(heads_high)) / 2
        for height in heads_high:
            tops.append(y + TITLE)
            y += height
        right = outputs + pitch if flow.heads else heads - 0.45
        titles = [outputs - heads + style.width_of(h.title, 9, "bold") for h in flow.heads]
        right = max(right, heads + max(titles, default=0.0) - (outputs - heads) + 0.2)
        return cls(
            degree, cell, left, heads, outputs,
            [first + i * step for i in range(len(flow.strips))], tops, start + both,
            max(right + 0.1, 7.4),
        )  # fmt: skip

    @property
    def box(self) -> float:
        """Width of a box."""
        return _box(self.cell, self.degree)

    def column(self, flow: Flow, name: str) -> float:
        """Left edge of a column.

        :param flow: what is drawn
        :param name: of the column
        """
        if name in flow.columns:
            return self.left + flow.columns.index(name) * (self.box + GAP)
        return self.heads_left + flow.head_columns.index(name) * (self.box + GAP)


def _box(cell: float, degree: int) -> float:
    return max(cell * (degree + 1) + INDENT + 0.09, 0.95)


def head_height(strip: Strip) -> float:
    """Height of a head with its predictions, its title and the gap below.

    :param strip: of one target
    """
    lanes = 2 if strip.cells else 1
    return TITLE + max(lanes, len(strip.outputs)) * LANE + 0.14


def draw_lane(axes: Axes, lane: str, left: float, top: float, width: float) -> None:
    """Draw the background of a lane.

    :param axes: of a sheet
    :param lane: ``node`` or ``edge``
    :param left: in inches
    :param top: in inches
    :param width: in inches
    """
    color = LANE_COLORS[lane]
    axes.add_patch(Rectangle((left, top), width, LANE, fc=color, lw=0, zorder=0))


def draw_box(
    axes: Axes, parts: Sequence[tuple[str, Spectrum]], corner: tuple[float, float],
    sizes: Sizes,
) -> None:  # fmt: skip
    """Draw a box around one heatmap, or around those of nodes and edges.

    :param axes: of a sheet
    :param parts: titles and spectra, one below the other
    :param corner: upper left, in inches
    :param sizes: of everything
    """
    x, y = corner
    axes.add_patch(
        FancyBboxPatch(
            (x + 0.03, y + 0.06), sizes.box - 0.06, len(parts) * LANE - 0.12, lw=0.9,
            boxstyle="round,pad=0.03,rounding_size=0.06", fc="white", ec=GREY, zorder=2,
        )
    )  # fmt: skip
    for i, (title, spectrum) in enumerate(parts):
        top = y + i * LANE
        # the lanes say which is which
        name = "" if i and title == parts[0][0] else style.plain(title)
        text = name + ("" if spectrum.converged else f" {DAGGER}")
        axes.text(
            x + sizes.box / 2, top + 0.13, text, fontsize=8, fontweight="bold",
            ha="center", va="center", zorder=4,
        )  # fmt: skip
        names = [[str(Irrep(d, s)) for d in range(sizes.degree + 1)] for s in (1, -1)]
        table = [[spectrum.channels.get(name, EMPTY) for name in row] for row in names]
        draw_cells(axes, table, _cells(corner, i), (sizes.cell, ROW), zorder=3)
        for row, sign in enumerate("+−"):
            axes.text(
                x + INDENT - 0.08, top + TEXT + ROW * (row + 0.5), sign, fontsize=7,
                ha="center", va="center", color=GREY, zorder=4,
            )  # fmt: skip


def _cells(corner: tuple[float, float], part: int) -> tuple[float, float]:
    """Upper left of the cells in a box."""
    return corner[0] + INDENT, corner[1] + part * LANE + TEXT


def frame_cell(axes: Axes, irrep: Irrep, corner: tuple[float, float], sizes: Sizes) -> None:
    """Outline the irrep that the target needs.

    :param axes: of a sheet
    :param irrep: to be outlined
    :param corner: of the box
    :param sizes: of everything
    """
    x, y = _cells(corner, 0)
    place = (x + irrep.o3_lambda * sizes.cell, y + ROW * (irrep.o3_sigma == -1))
    axes.add_patch(
        Rectangle(place, sizes.cell, ROW, fill=False, ec=style.PSEUDO, lw=1.5, zorder=5)
    )


def draw_arrow(axes: Axes, points: Sequence[tuple[float, float]], color: str) -> None:
    """Draw a path that ends in an arrow.

    :param axes: of a sheet
    :param points: corners of the path, in inches
    :param color: of the path
    """
    axes.plot(
        *zip(*points, strict=True), color=color, lw=1.3, zorder=1, solid_capstyle="butt",
        solid_joinstyle="round",
    )  # fmt: skip
    axes.annotate(
        "", points[-1], points[-2], zorder=1,
        arrowprops={"arrowstyle": "-|>", "color": color, "lw": 1.3, "shrinkA": 0,
                    "shrinkB": 0, "mutation_scale": 8},
    )  # fmt: skip


def draw_key(axes: Axes, sizes: Sizes, left: float, top: float) -> None:
    """Show how to read a small heatmap.

    :param axes: of a sheet
    :param sizes: of everything
    :param left: in inches
    :param top: in inches
    """
    size = 0.17
    for row, sign in enumerate(("proper  +", "pseudo  −")):
        y = top + row * size
        axes.text(left + 0.68, y + size / 2, sign, ha="right", va="center", fontsize=8)
        for degree in range(sizes.degree + 1):
            corner = (left + 0.75 + degree * size, y)
            axes.add_patch(Rectangle(corner, size, size, fc="#F4F6F8", ec=GREY, lw=0.6))
    for degree in range(sizes.degree + 1):
        axes.text(
            left + 0.75 + (degree + 0.5) * size, top + 2 * size + 0.09, str(degree),
            ha="center", va="center", fontsize=7 if sizes.degree < 10 else 6,
        )  # fmt: skip
    axes.text(left + 0.68, top + 2 * size + 0.09, "λ", ha="right", va="center", fontsize=8)
