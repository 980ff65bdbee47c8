"""The map of the network: PET along the flow of data, a small heatmap at each place.

After figure 4 of the paper. Every GNN layer is a strip with two lanes, nodes above and
edges below; to the right follow the heads and predictions of each target.
"""

from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..measure.results import Report
from . import style, text
from .network_boxes import (
    GAP,
    GREY,
    LANE,
    LANE_INK,
    LEFT,
    Point,
    Sizes,
    draw_arrow,
    draw_box,
    draw_key,
    draw_lanes,
    rows,
    write,
)
from .network_flow import EDGE, INPUTS, LANES, MEANING, Flow, Strip, read_flow
from .painter import draw_scale, probe_marks
from .probes import Spectra, report_spectra


FOOTER = 1.5


@style.context()
def draw_network(report: Report) -> Figure | None:
    """Draw what was probed where it stands in the network.

    :param report: what was measured
    :return: the figure; nothing if no probe has a place that is known
    """
    found = report_spectra(report)
    flow = read_flow(found.probes)
    if not flow.boxes:
        return None
    spectra = Spectra(found.panels, [probe for _, probe in flow.boxes])
    sizes = Sizes.of(flow, max(len(panel.channels) for panel, _ in spectra.irreps))
    handles = probe_marks(spectra)
    height = sizes.bottom + FOOTER + 0.2 * ((len(handles) + 1) // 2) - style.HEADER
    figure = style.new_figure(
        sizes.width, height, "The network, and which irreps live where in it",
        style.describe(report), layout="none",
    )  # fmt: skip
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, sizes.width), ylim=(height + style.HEADER, 0), autoscale_on=False)
    axes.set_axis_off()
    strips = list(flow.strips.values())
    for place, strip in enumerate(strips):
        _strip(axes, spectra, flow, strip, sizes, sizes.strip_tops[place])
        if place:
            _messages(axes, flow, strips[place - 1 : place + 1], sizes, place)
    for strip, top in zip(flow.heads, sizes.head_tops, strict=True):
        _head(axes, spectra, flow, strip, sizes, top)
    _to_heads(axes, flow, sizes)
    _footer(figure, axes, spectra, flow, sizes)
    style.shared_legend(figure, handles)
    return figure


def _strip(
    axes: Axes, spectra: Spectra, flow: Flow, strip: Strip, sizes: Sizes, top: float
) -> None:
    """A GNN layer: lanes, boxes, and arrows along the lanes."""
    write(
        axes, LEFT - 0.12, top - 0.08, strip.title, fontsize=9, fontweight="bold",
        ha="left", va="baseline",
    )  # fmt: skip
    last = [column for column in flow.columns if strip.lanes(column)][-1]
    width = sizes.columns[last] + sizes.box - LEFT + 0.24
    draw_lanes(axes, LEFT - 0.12, top, width)
    for i, lane in enumerate(LANES):
        y = top + (i + 0.5) * LANE
        write(axes, LEFT - 0.2, y, f"{lane}s", ha="right", color=LANE_INK[lane])
        for left, right in pairwise(sizes.filled(strip, lane, flow.columns)):
            draw_arrow(axes, [(left + sizes.box, y), (right, y)], LANE_INK[lane])
    _boxes(axes, spectra, strip, flow.columns, sizes, top)


def _boxes(
    axes: Axes, spectra: Spectra, strip: Strip, columns: list[str], sizes: Sizes, top: float
) -> None:
    """Boxes in their columns."""
    for column in columns:
        lanes = strip.lanes(column)
        boxes = [strip.boxes[column, lane] for lane in lanes]
        # species of a centre above the geometry of its edges: two things, two boxes
        groups = [[box] for box in boxes] if column == "GE" else [boxes] if boxes else []
        for lane, group in zip(lanes, groups, strict=False):
            corner = sizes.columns[column], top + LANES.index(lane) * LANE
            draw_box(axes, spectra, group, corner, sizes)


def _messages(axes: Axes, flow: Flow, pair: list[Strip], sizes: Sizes, place: int) -> None:
    """What one GNN layer passes on to the next: its nodes, and its edges as messages."""
    before, after = pair
    above, top = sizes.strip_tops[place - 1], sizes.strip_tops[place]
    for i, lane in enumerate(LANES):
        sources = [c for c in flow.columns if c != "BBF" and lane in before.lanes(c)]
        targets = [c for c in flow.columns if c not in INPUTS and lane in after.lanes(c)]
        if not (sources and targets):
            continue
        x = sizes.columns[sources[-1]] + sizes.box / 2 + (0.07 if i else -0.07)
        row = 1 if EDGE in before.lanes(sources[-1]) else i
        trunk = above + 2 * LANE + (0.18 if i else 0.1)
        entry, y = sizes.columns[targets[0]], top + (i + 0.5) * LANE
        drop = entry - GAP / 2
        if lane == EDGE:
            place_of: Point = (drop + 0.05, trunk + 0.03)
            write(axes, *place_of, "messages", ha="left", va="top", color=LANE_INK[EDGE])
        path = [(x, above + (row + 1) * LANE - 0.03), (x, trunk), (drop, trunk), (drop, y)]
        draw_arrow(axes, [*path, (entry, y)], LANE_INK[lane])


def _head(
    axes: Axes, spectra: Spectra, flow: Flow, strip: Strip, sizes: Sizes, top: float
) -> None:
    """The heads of a target and its predictions."""
    left = sizes.heads_left if strip.boxes else sizes.outputs_left
    write(
        axes, left - 0.05, top - 0.08, text.plain(strip.title, 40), fontsize=9,
        fontweight="bold", ha="left", va="baseline",
    )  # fmt: skip
    middle, ends = top + rows(strip) * LANE / 2, []
    if strip.boxes:
        width = len(flow.head_columns) * (sizes.box + GAP) - GAP + 0.16
        draw_lanes(axes, left - 0.08, middle - LANE, width)
        _boxes(axes, spectra, strip, flow.head_columns, sizes, middle - LANE)
        for i, lane in enumerate(LANES):
            filled = sizes.filled(strip, lane, flow.head_columns)
            ends += [x + sizes.box for x in filled]
            for x in filled[1:]:
                # one readout per GNN layer: the prediction is their sum
                write(axes, x - GAP / 2, middle + (i - 0.5) * LANE, "+", fontsize=11)
    start = middle - len(strip.outputs) * LANE / 2
    for i, output in enumerate(strip.outputs):
        corner = (sizes.outputs_left, start + i * LANE)
        draw_box(axes, spectra, [output], corner, sizes)
        if ends:
            y, turn = corner[1] + LANE / 2, (max(ends) + corner[0]) / 2
            path = [(max(ends), middle), (turn, middle), (turn, y), (corner[0], y)]
            draw_arrow(axes, path, GREY)


def _to_heads(axes: Axes, flow: Flow, sizes: Sizes) -> None:
    """From the backbone to the heads of each target, nodes and edges apart."""
    for i, lane in enumerate(LANES):
        bus = sizes.heads_left - 0.28 + 0.1 * i
        ends = []
        for strip, top in zip(flow.heads, sizes.head_tops, strict=True):
            y = top + (rows(strip) / 2 - 0.5 + i) * LANE
            ends += [(x, y) for x in sizes.filled(strip, lane, flow.head_columns)[:1]]
        for start in _exits(flow, lane, sizes) if ends else []:
            for end in ends:
                path = [start, (bus, start[1]), (bus, end[1]), end]
                draw_arrow(axes, path, LANE_INK[lane])


def _exits(flow: Flow, lane: str, sizes: Sizes) -> list[Point]:
    """Where a lane leaves the backbone: behind its features, or the last layer."""
    strips = list(zip(flow.strips.values(), sizes.strip_tops, strict=True))
    own = [(s, top) for s, top in strips if lane in s.lanes("BBF")] or strips[-1:]
    return [
        (x + sizes.box, top + (LANES.index(lane) + 0.5) * LANE)
        for strip, top in own
        for x in sizes.filled(strip, lane, flow.columns)[-1:]
    ]


def _footer(
    figure: Figure, axes: Axes, spectra: Spectra, flow: Flow, sizes: Sizes
) -> None:
    """How to read the small heatmaps, the scale, and what the letters mean."""
    top = sizes.bottom + 0.2
    left = draw_key(axes, spectra, 0.15, top) + 0.5
    width, height = figure.get_size_inches()
    long = min(4.2, width - left - 0.3)
    place = (left / width, 1 - (top + 0.23) / height, long / width, 0.13 / height)
    draw_scale(figure, cax=figure.add_axes(place), orientation="horizontal")
    found = {title.split()[0] for title, probe in flow.boxes if not probe.is_output}
    words = "  ·  ".join(f"{t}: {MEANING[t]}" for t in MEANING if t in found)
    if flow.others:
        number = text.count(len(flow.others), "probe")
        words += f"  ·  without a place in this map: {number}"
    look = {"fontsize": 8.5, "color": "#444444", "ha": "left"}
    write(axes, 0.15, top + 0.86, words, **look)
