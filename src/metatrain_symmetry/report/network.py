"""The map of the network: PET along the flow of data, a small heatmap at each place.

After figure 4 of the paper. Every GNN layer is a strip with two lanes, nodes above and
edges below; to the right follow the heads and predictions of each target.
"""

from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..measure.results import Report
from . import network_parts as parts
from . import style
from .flow import EDGE, INPUTS, LANES, MEANING, Flow, Strip, read_flow
from .network_parts import GAP, LANE, Sizes
from .shares import NOT_CONVERGED, draw_scale, marks
from .spectrum import largest_degree, needed_irreps, read_spectra


@style.context()
def draw_network(report: Report) -> Figure | None:
    """Draw what was probed where it stands in the network.

    :param report: what was measured
    :return: the figure; nothing if no probe has a place that is known
    """
    flow = read_flow(read_spectra(report))
    if not flow.spectra:
        return None
    sizes = Sizes.of(flow, largest_degree(flow.spectra))
    handles = _handles(flow)
    figure, axes = style.new_sheet(
        sizes.width, sizes.bottom + parts.FOOTER + 0.2 * ((len(handles) + 1) // 2),
        "The network, and which irreps live where in it", style.describe(report),
    )  # fmt: skip
    strips = list(flow.strips.values())
    for place, strip in enumerate(strips):
        _strip(axes, flow, strip, sizes, sizes.strip_tops[place])
        if place:
            _messages(axes, flow, strips[place - 1 : place + 1], sizes, place)
    for strip, top in zip(flow.heads, sizes.head_tops, strict=True):
        _head(axes, flow, strip, sizes, top, report)
    _to_heads(axes, flow, sizes)
    _footer(figure, axes, flow, sizes, handles)
    return figure


def _strip(axes: Axes, flow: Flow, strip: Strip, sizes: Sizes, top: float) -> None:
    """A GNN layer: lanes, boxes, and arrows along the lanes."""
    axes.text(
        sizes.left - 0.12, top - 0.08, strip.title, fontsize=9, fontweight="bold",
        va="baseline",
    )  # fmt: skip
    last = [column for column in flow.columns if strip.lanes(column)][-1]
    width = sizes.column(flow, last) + sizes.box - sizes.left + 0.24
    for i, lane in enumerate(LANES):
        parts.draw_lane(axes, lane, sizes.left - 0.12, top + i * LANE, width)
        axes.text(
            sizes.left - 0.2, top + (i + 0.5) * LANE, f"{lane}s", fontsize=8, ha="right",
            va="center", color=parts.LANE_INK[lane],
        )  # fmt: skip
    _boxes(axes, flow, strip, flow.columns, sizes, top)


def _boxes(
    axes: Axes, flow: Flow, strip: Strip, columns: list[str], sizes: Sizes, top: float
) -> None:
    """Boxes in their columns, and arrows between neighbours in each lane."""
    for column in columns:
        x, lanes = sizes.column(flow, column), strip.lanes(column)
        cells = [(strip.titles[column, lane], strip.cells[column, lane]) for lane in lanes]
        # species of a centre above the geometry of its edges: two things, two boxes
        groups = [[cell] for cell in cells] if column == "GE" else [cells] if cells else []
        for i, group in enumerate(groups):
            row = LANES.index(lanes[i])
            parts.draw_box(axes, group, (x, top + row * LANE), sizes)
    for i, lane in enumerate(LANES):
        y = top + (i + 0.5) * LANE
        filled = [sizes.column(flow, c) for c in columns if lane in strip.lanes(c)]
        for left, right in pairwise(filled):
            if columns is flow.head_columns:
                # one readout per GNN layer: the prediction is their sum
                place = (left + sizes.box + GAP / 2, y)
                axes.text(*place, "+", ha="center", va="center", fontsize=11)
                continue
            ends = [(left + sizes.box, y), (right, y)]
            parts.draw_arrow(axes, ends, parts.LANE_INK[lane])


def _messages(axes: Axes, flow: Flow, pair: list[Strip], sizes: Sizes, place: int) -> None:
    """What one GNN layer passes on to the next: its nodes, and its edges as messages."""
    before, after = pair
    for i, lane in enumerate(LANES):
        sources = [c for c in flow.columns if c != "BBF" and lane in before.lanes(c)]
        targets = [c for c in flow.columns if c not in INPUTS and lane in after.lanes(c)]
        if not (sources and targets):
            continue
        x = sizes.column(flow, sources[-1]) + sizes.box / 2 + (0.07 if i else -0.07)
        row = 1 if EDGE in before.lanes(sources[-1]) else i
        below = sizes.strip_tops[place - 1] + (row + 1) * LANE
        trunk = sizes.strip_tops[place - 1] + 2 * LANE + (0.18 if i else 0.1)
        entry, top = sizes.column(flow, targets[0]), sizes.strip_tops[place]
        y = top + (i + 0.5) * LANE
        drop = entry - GAP / 2
        if lane == EDGE:
            axes.text(drop + 0.05, trunk + 0.03, "messages", va="top", **parts.SMALL)
        path = [(x, below - 0.03), (x, trunk), (drop, trunk), (drop, y), (entry, y)]
        parts.draw_arrow(axes, path, parts.LANE_INK[lane])


def _head(
    axes: Axes, flow: Flow, strip: Strip, sizes: Sizes, top: float, report: Report
) -> None:
    """The heads of a target and its predictions."""
    name = style.plain(style.shorten(strip.title, 40))
    left = sizes.heads_left if strip.cells else sizes.outputs_left
    axes.text(left - 0.05, top - 0.08, name, fontsize=9, fontweight="bold", va="baseline")
    rows = max(2 if strip.cells else 1, len(strip.outputs))
    middle = top + rows * LANE / 2
    if strip.cells:
        width = len(flow.head_columns) * (sizes.box + GAP) - GAP + 0.16
        lanes_top = middle - LANE
        for i, lane in enumerate(LANES):
            parts.draw_lane(axes, lane, left - 0.08, lanes_top + i * LANE, width)
        _boxes(axes, flow, strip, flow.head_columns, sizes, lanes_top)
    start = middle - len(strip.outputs) * LANE / 2
    for i, (title, spectrum) in enumerate(strip.outputs):
        corner = (sizes.outputs_left, start + i * LANE)
        parts.draw_box(axes, [(title, spectrum)], corner, sizes)
        for irrep in needed_irreps(report, spectrum.probe):
            parts.frame_cell(axes, irrep, corner, sizes)
        if strip.cells:
            last = [c for c in flow.head_columns if strip.lanes(c)][-1]
            ends = sizes.column(flow, last) + sizes.box, sizes.outputs_left
            y = corner[1] + LANE / 2
            turn = (ends[0] + ends[1]) / 2
            path = [(ends[0], middle), (turn, middle), (turn, y), (ends[1], y)]
            parts.draw_arrow(axes, path, parts.GREY)


def _to_heads(axes: Axes, flow: Flow, sizes: Sizes) -> None:
    """From the backbone to the heads of each target, nodes and edges apart."""
    for i, lane in enumerate(LANES):
        bus = sizes.heads_left - 0.28 + 0.1 * i
        ends = []
        for strip, top in zip(flow.heads, sizes.head_tops, strict=True):
            if strip.cells:
                rows = max(2, len(strip.outputs))
                y = top + (rows / 2 - 0.5 + i) * LANE
                found = [c for c in flow.head_columns if lane in strip.lanes(c)]
                ends += [(sizes.column(flow, found[0]), y)] if found else []
        starts = _exits(flow, lane, sizes)
        for start in starts if ends else []:
            for end in ends:
                path = [start, (bus, start[1]), (bus, end[1]), end]
                parts.draw_arrow(axes, path, parts.LANE_INK[lane])


def _exits(flow: Flow, lane: str, sizes: Sizes) -> list[tuple[float, float]]:
    """Where a lane leaves the backbone: behind its features, or the last layer."""
    strips = list(zip(flow.strips.values(), sizes.strip_tops, strict=True))
    own = [(s, top) for s, top in strips if lane in s.lanes("BBF")] or strips[-1:]
    exits = []
    for strip, top in own:
        filled = [c for c in flow.columns if lane in strip.lanes(c)]
        if filled:
            y = top + (LANES.index(lane) + 0.5) * LANE
            exits.append((sizes.column(flow, filled[-1]) + sizes.box, y))
    return exits


def _handles(flow: Flow) -> dict[str, Any]:
    """Legend of the marks that occur."""
    channels = [c for s in flow.spectra for c in s.channels.values()]
    handles = marks(channels, False)
    if any(strip.outputs for strip in flow.heads):
        frame = Patch(fill=False, ec=style.PSEUDO, lw=1.5)
        handles["irrep of the target"] = frame
    if not all(s.converged for s in flow.spectra):
        handles[NOT_CONVERGED] = Line2D(
            [], [], ls="", marker=f"${parts.DAGGER}$", ms=8, color=style.LINE
        )
    return handles


def _footer(
    figure: Figure, axes: Axes, flow: Flow, sizes: Sizes, handles: dict[str, Any]
) -> None:
    """How to read the small heatmaps, the scale, and what the letters mean."""
    top = sizes.bottom + 0.2
    parts.draw_key(axes, sizes, 0.15, top)
    left = 0.15 + 0.75 + 0.17 * (sizes.degree + 1) + 0.5
    draw_scale(figure, left, top + 0.1, min(4.2, sizes.width - left - 0.3))
    found = dict.fromkeys(
        title.split()[0]
        for strip in [*flow.strips.values(), *flow.heads]
        for title in strip.titles.values()
    )
    text = "  ·  ".join(f"{t}: {MEANING[t]}" for t in MEANING if t in found)
    if flow.others:
        number = len(flow.others)
        text += f"  ·  without a place in this map: {number} probe{'s' * (number != 1)}"
    axes.text(0.15, top + 0.86, text, fontsize=8.5, color="#444444", va="center")
    style.legend_at(figure, handles, top + 1.05)
