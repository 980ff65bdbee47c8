"""The map of the network: PET along the flow of data, a small heatmap at each place.

After figure 4 of the paper. Every GNN layer is a strip with two lanes, nodes above and
edges below; to the right follow the heads and predictions of each target. Everything is
placed in inches from the upper left.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from ..measure.results import Report
from ..measure.words import CLOUD
from . import style, text
from .network_flow import (
    EDGE,
    INPUTS,
    LANES,
    MEANING,
    NODE,
    Box,
    Flow,
    Strip,
    columns,
    read_flow,
)
from .painter import DAGGER, draw_cells, draw_scale, frame_cell, probe_marks
from .probes import Probe, Spectra, report_spectra


COLORS = {NODE: "#DDEAF6", EDGE: "#FBE9D6"}
INK = {NODE: "#2F6DA3", EDGE: "#B8651B"}
GREY = "#5B6670"
Point = tuple[float, float]

ROW, LANE = 0.16, 0.6
"""Heights of a cell and of a lane, which holds a title and two rows of cells."""
GAP, MESSAGES = 0.3, 0.3
"""Between two columns and between two strips, for arrows."""
TITLE, LEFT, FOOTER = 0.24, 0.8, 1.5
"""Above a strip for its name, left of the first column, and below everything."""
TEXT, INDENT = 0.22, 0.2
"""From the edge of a box to its cells: below its title, beside its signs."""


@style.context()
def draw_network(report: Report) -> Figure | None:
    """Draw what was probed where it stands in the network.

    :param report: what was measured
    :return: the figure; nothing if no layer has a place that is known
    """
    if report.summary.get("thing") == CLOUD:
        return None
    spectra = report_spectra(report)
    flow = read_flow(spectra.probes)
    if not flow.boxes or not (report.characters.kind == "layer").any():
        return None
    spectra = Spectra(spectra.panels, [probe for _, probe in flow.boxes])
    return _Map(flow, spectra, style.describe(report)).figure


class _Map:
    """The sheet, and where things stand on it."""

    def __init__(self, flow: Flow, spectra: Spectra, subtitle: str) -> None:
        self.flow, self.spectra = flow, spectra
        self.body, self.head = columns(flow.strips), columns(flow.heads)
        self._place()
        handles = probe_marks(spectra)
        height = self.bottom + FOOTER + 0.2 * len(handles) ** 0.5 - style.HEADER
        self.figure = style.new_figure(
            self.width, height, "The network, and which irreps live where in it",
            subtitle, constrained=False,
        )  # fmt: skip
        self.axes = self.figure.add_axes((0.0, 0.0, 1.0, 1.0))
        self.axes.set(xlim=(0, self.width), ylim=(height + style.HEADER, 0))
        self.axes.set(autoscale_on=False)
        self.axes.set_axis_off()
        for i, (strip, top) in enumerate(zip(flow.strips, self.tops, strict=True)):
            self._strip(strip, top)
            if i:
                self._messages(flow.strips[i - 1], strip, i)
        for strip, top in zip(flow.heads, self.head_tops, strict=True):
            self._head(strip, top)
        self._to_heads()
        self._footer()
        style.shared_legend(self.figure, handles)

    def _place(self) -> None:
        """Left edges of all columns, upper edges of all strips."""
        flow = self.flow
        channels = max(len(panel.channels) for panel, _ in self.spectra.irreps)
        self.cell = min(0.18, max(0.066, 1.14 / channels))
        self.box = max(self.cell * channels + INDENT + 0.09, 0.95)
        pitch = self.box + GAP
        # the first column of the heads leaves room for a bus
        self.heads = LEFT + len(self.body) * pitch + 0.45 if flow.strips else LEFT
        self.outputs = self.heads + len(self.head) * pitch
        self.x = {c: LEFT + i * pitch for i, c in enumerate(self.body)}
        self.x |= {c: self.heads + i * pitch for i, c in enumerate(self.head)}
        step = TITLE + 2 * LANE + MESSAGES
        heights = [TITLE + head.height * LANE + 0.14 for head in flow.heads]
        both, start = max(len(flow.strips) * step, sum(heights)), style.HEADER + 0.1
        first = start + (both - len(flow.strips) * step) / 2 + TITLE
        self.tops = [first + i * step for i in range(len(flow.strips))]
        ends = start + (both - sum(heights)) / 2 + np.cumsum([0.0, *heights])
        self.head_tops = (ends[:-1] + TITLE).tolist()
        self.bottom = start + both
        right = self.outputs + pitch if flow.heads else self.heads - 0.45
        titles = [self.heads + style.width_of(h.title, 10) + 0.2 for h in flow.heads]
        self.width = max(right + 0.1, 7.4, *titles)

    def _filled(self, strip: Strip, lane: str, names: list[str]) -> list[float]:
        """Left edges of the boxes in a lane."""
        return [self.x[c] for c in names if lane in strip.lanes(c)]

    def _write(self, x: float, y: float, words: str, **look: Any) -> None:
        """Write centred in a place."""
        place: Any = {"ha": "center", "va": "center", "fontsize": 8, "zorder": 4}
        self.axes.text(x, y, words, **(place | look))

    def _title(self, x: float, y: float, words: str) -> None:
        look: Any = {"fontsize": 9, "fontweight": "bold", "ha": "left", "va": "baseline"}
        self._write(x, y, text.plain(words, 40), **look)

    def _rectangle(self, corner: Point, width: float, height: float, **look: Any) -> None:
        self.axes.add_patch(Rectangle(corner, width, height, **look))

    def _arrow(self, color: str, *points: Point) -> None:
        """A path that ends in an arrow."""
        self.axes.plot(*zip(*points, strict=True), color=color, lw=1.3, zorder=1)
        arrow: Any = {
            "arrowstyle": "-|>", "color": color, "lw": 1.3, "shrinkA": 0, "shrinkB": 0,
            "mutation_scale": 8,
        }  # fmt: skip
        self.axes.annotate("", points[-1], points[-2], zorder=1, arrowprops=arrow)

    def _box(self, boxes: list[Box], x: float, y: float) -> None:
        """A frame around one heatmap, or around those of nodes and edges."""
        look: Any = {"boxstyle": "round,pad=0.03,rounding_size=0.06", "fc": "white"}
        size = self.box - 0.06, len(boxes) * LANE - 0.12
        frame = FancyBboxPatch((x + 0.03, y + 0.06), *size, lw=0.9, ec=GREY, **look)
        frame.set_zorder(2)
        self.axes.add_patch(frame)
        for i, (title, probe) in enumerate(boxes):
            # the lanes say which is which
            name = "" if i and title == boxes[0][0] else text.plain(title, 16)
            name += "" if probe.converged else f" {DAGGER}"
            top = y + i * LANE
            self._write(x + self.box / 2, top + 0.13, name, fontweight="bold")
            self._probe(probe, x + INDENT, top + TEXT)

    def _probe(self, probe: Probe, left: float, top: float) -> None:
        """A row of cells for each parity, or one for the irreps of another group."""
        needed, panels = self.spectra.needed(probe), self.spectra.irreps
        for row, (panel, part) in enumerate(panels):
            x = left + self.cell * np.arange(len(panel.channels) + 1)
            y = top + ROW * np.array([row, row + 1])
            draw_cells(self.axes, x, y, probe.cells[None, part], zorder=3)
            if needed is not None and part.start <= needed < part.stop:
                frame_cell(self.axes, x[needed - part.start], y[0], self.cell, ROW)
            self._write(left - 0.08, y.mean(), panel.sign, fontsize=7, color=GREY)

    def _boxes(self, strip: Strip, names: list[str], top: float) -> None:
        """Boxes in their columns."""
        for column in names:
            lanes = strip.lanes(column)
            boxes = [strip.boxes[column, lane] for lane in lanes]
            # species of a centre above the geometry of its edges: two things, two boxes
            groups = [[b] for b in boxes] if column == "GE" else [boxes] if boxes else []
            for lane, group in zip(lanes, groups, strict=False):
                self._box(group, self.x[column], top + LANES.index(lane) * LANE)

    def _strip(self, strip: Strip, top: float) -> None:
        """A GNN layer: lanes, boxes, and arrows along the lanes."""
        self._title(LEFT - 0.12, top - 0.08, strip.title)
        last = [column for column in self.body if strip.lanes(column)][-1]
        width = self.x[last] + self.box - LEFT + 0.24
        for lane, y in zip(LANES, (top, top + LANE), strict=True):
            corner, middle = (LEFT - 0.12, y), y + LANE / 2
            self._rectangle(corner, width, LANE, fc=COLORS[lane], lw=0, zorder=0)
            self._write(LEFT - 0.2, middle, f"{lane}s", ha="right", color=INK[lane])
            for left, right in pairwise(self._filled(strip, lane, self.body)):
                self._arrow(INK[lane], (left + self.box, middle), (right, middle))
        self._boxes(strip, self.body, top)

    def _messages(self, before: Strip, after: Strip, place: int) -> None:
        """What one GNN layer passes on to the next: its nodes, and edges as messages."""
        above, top = self.tops[place - 1], self.tops[place]
        for i, lane in enumerate(LANES):
            sources = [c for c in self.body if c != "BBF" and lane in before.lanes(c)]
            targets = [c for c in self.body if c not in INPUTS and lane in after.lanes(c)]
            if not (sources and targets):
                continue
            x = self.x[sources[-1]] + self.box / 2 + (0.07 if i else -0.07)
            rows = 2 if EDGE in before.lanes(sources[-1]) else 1
            trunk = above + 2 * LANE + (0.18 if i else 0.1)
            entry, y = self.x[targets[0]], top + (i + 0.5) * LANE
            drop = entry - GAP / 2
            if lane == EDGE:
                look = {"ha": "left", "va": "top", "color": INK[EDGE]}
                self._write(drop + 0.05, trunk + 0.03, "messages", **look)
            start = (x, above + rows * LANE - 0.03)
            turns = (x, trunk), (drop, trunk), (drop, y)
            self._arrow(INK[lane], start, *turns, (entry, y))

    def _head(self, strip: Strip, top: float) -> None:
        """The heads of a target and its predictions."""
        left = self.heads if strip.boxes else self.outputs
        self._title(left - 0.05, top - 0.08, strip.title)
        middle, ends = top + strip.height * LANE / 2, [0.0]
        for lane, y in zip(LANES, (middle - LANE, middle), strict=True):
            filled = self._filled(strip, lane, self.head)
            ends += [x + self.box for x in filled]
            if strip.boxes:
                width = self.outputs - self.heads - GAP + 0.16
                look: Any = {"fc": COLORS[lane], "lw": 0, "zorder": 0}
                self._rectangle((left - 0.08, y), width, LANE, **look)
            for x in filled[1:]:
                # one readout per GNN layer: the prediction is their sum
                self._write(x - GAP / 2, y + LANE / 2, "+", fontsize=11)
        self._boxes(strip, self.head, middle - LANE)
        start, x = middle - len(strip.outputs) * LANE / 2, self.outputs
        for i, output in enumerate(strip.outputs):
            self._box([output], x, start + i * LANE)
            if strip.boxes:
                y, end = start + (i + 0.5) * LANE, max(ends)
                turn = (end + x) / 2
                self._arrow(GREY, (end, middle), (turn, middle), (turn, y), (x, y))

    def _to_heads(self) -> None:
        """From the backbone to the heads of each target, nodes and edges apart."""
        strips = list(zip(self.flow.strips, self.tops, strict=True))
        for i, lane in enumerate(LANES):
            bus = self.heads - 0.28 + 0.1 * i
            # behind the backbone features, or the last layer
            own = [s for s in strips if lane in s[0].lanes("BBF")] or strips[-1:]
            starts = [
                (x + self.box, top + (i + 0.5) * LANE)
                for strip, top in own
                for x in self._filled(strip, lane, self.body)[-1:]
            ]
            ends = [
                (x, top + (strip.height / 2 - 0.5 + i) * LANE)
                for strip, top in zip(self.flow.heads, self.head_tops, strict=True)
                for x in self._filled(strip, lane, self.head)[:1]
            ]
            for start, end in [(a, b) for a in starts for b in ends]:
                self._arrow(INK[lane], start, (bus, start[1]), (bus, end[1]), end)

    def _footer(self) -> None:
        """How to read the small heatmaps, the scale, and what the letters mean."""
        top = self.bottom + 0.2
        left = self._key(0.15, top) + 0.5
        width, height = self.figure.get_size_inches()
        long = min(4.2, width - left - 0.3)
        place = (left / width, 1 - (top + 0.23) / height, long / width, 0.13 / height)
        draw_scale(self.figure, cax=self.figure.add_axes(place), orientation="horizontal")
        titles = {title.split()[0] for title, p in self.flow.boxes if not p.block}
        words = "  ·  ".join(f"{t}: {MEANING[t]}" for t in MEANING if t in titles)
        if self.flow.others:
            number = text.count(self.flow.others, "probe")
            words += f"  ·  without a place in this map: {number}"
        look: Any = {"fontsize": 8.5, "color": "#444444", "ha": "left"}
        self._write(0.15, top + 0.86, words, **look)

    def _key(self, left: float, top: float) -> float:
        """How to read a small heatmap; returns its right edge."""
        panels, size, x = [panel for panel, _ in self.spectra.irreps], 0.17, left + 0.75
        ticks = panels[0].ticks
        # names are longer than degrees
        width = max(size, *(style.width_of(tick, 7) + 0.03 for tick in ticks))
        look: Any = {"fc": "#F4F6F8", "ec": GREY, "lw": 0.6}
        for row, panel in enumerate(panels):
            y, words = top + row * size, f"{panel.name}  {panel.sign}".strip()
            self._write(x - 0.07, y + size / 2, words, ha="right")
            for i in range(len(ticks)):
                self._rectangle((x + i * width, y), width, size, **look)
        y, small = top + len(panels) * size + 0.09, 7 if len(ticks) < 11 else 6
        for i, tick in enumerate(ticks):
            self._write(x + (i + 0.5) * width, y, tick, fontsize=small)
        self._write(x - 0.07, y, panels[0].axis.removeprefix("degree "), ha="right")
        return x + len(ticks) * width
