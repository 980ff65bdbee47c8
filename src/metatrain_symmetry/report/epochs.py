"""What a model is made of along its training, above its errors (figures 3 and 6)."""

import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from ..measure.series import Series
from . import style, text
from .curves import draw_errors
from .errors import series_blocks
from .painter import NEEDED, cell_marks, draw_cells, draw_scale, few
from .probes import Probe, Spectra, series_spectra
from .timeline import Timeline


PANELS = 6
"""Most layers in one figure."""
WIDTH = 8.5


def draw_series(series: Series, folder: str | Path) -> dict[str, Path]:
    """Draw each output, and the layers of each group together.

    :param series: what was measured
    :param folder: the figures go to its subfolder ``figures``, as SVG and as PNG
    :return: name of each figure and its SVG file; the PNG lies beside it
    """
    spectra = series_spectra(series)
    sets = [(probe.name, [probe]) for probe in spectra.outputs]
    layers = [probe for probe in spectra.probes if not probe.block]
    for group, members in groupby(layers, key=lambda probe: probe.group):
        own = list(members)
        sets += [(group, own[i : i + PANELS]) for i in range(0, len(own), PANELS)]
    paths: dict[str, Path] = {}
    for title, probes in sets:
        name = _file_name(title, paths)
        figure = _draw(series, Spectra(spectra.panels, probes), title)
        paths[name] = style.save(figure, Path(folder) / "figures" / name)
    return paths


def _file_name(title: str, taken: Iterable[str]) -> str:
    """A name for a file, of harmless letters, not taken yet."""
    stem = "epochs-" + re.sub(r"[^\w.+-]+", "_", title).strip("_")[:80]
    names = [stem, *(f"{stem}-{i}" for i in range(2, 1000))]
    return next(name for name in names if name not in taken)


def draw_epochs(series: Series, *probes: str, title: str | None = None) -> Figure | None:
    """Draw probes: shares of their irreps over epochs, and the errors below.

    :param series: what was measured
    :param probes: outputs such as ``energy (0,+)``, or layers, from above
    :param title: of the figure, in place of the names of the probes
    :return: the figure; nothing if there is none of these probes
    """
    spectra = series_spectra(series)
    # an output rather than the layer of the same name, which comes before
    named = {probe.name: probe for probe in spectra.probes}
    own = [named[name] for name in probes if name in named]
    if not own:
        return None
    return _draw(series, Spectra(spectra.panels, own), title or ", ".join(probes))


@style.context()
def _draw(series: Series, spectra: Spectra, title: str) -> Figure:
    """Heatmaps above each other, the errors below, one time axis."""
    timeline, number = Timeline.of(series.epochs), len(spectra.probes)
    row = 0.155 if number == 1 else 0.072
    heights = [max(row * len(spectra.channels), 1.1)] * number + [1.75]
    figure = style.new_figure(
        WIDTH, sum(heights) + 1.3, f"{text.plain(title, 48)} along the training",
        _subtitle(series),
    )  # fmt: skip
    panels = figure.subplots(
        number + 1, 1, sharex=True, gridspec_kw={"height_ratios": heights}
    )
    for axes, probe in zip(panels, spectra.probes, strict=False):
        cells = probe.cells
        draw_cells(axes, timeline.edges, np.arange(len(cells.share) + 1) - 0.5, cells)
        _labels(axes, spectra, probe, compact=number > 1)
        _transitions(axes, spectra, probe, series, timeline)
        if probe.name != title:
            axes.set_title(text.plain(probe.name, 70), loc="left")
    events = series.events[series.events["probe"].isin([p.name for p in spectra.probes])]
    _errors(panels[-1], series, spectra, timeline)
    for x in timeline.place(events["epoch"].unique()).tolist():
        panels[-1].axvline(x, color=style.PSEUDO, lw=0.9, ls=(0, (4, 3)), zorder=0.5)
    draw_scale(
        figure, ax=list(panels[:-1]), location="right", pad=0.01, fraction=0.03, aspect=26
    )
    style.shared_legend(figure, _marks(spectra, bool(len(events))))
    return figure


def _errors(axes: Axes, series: Series, spectra: Spectra, timeline: Timeline) -> None:
    """The panel below: of the output shown, or of all outputs; and the time axis."""
    blocks, first = series_blocks(series), spectra.probes[0]
    own = [block for block in blocks if block.key == first.block]
    draw_errors(axes, own or blocks, bool(own), timeline)
    ticks = timeline.ticks(0.013)
    axes.set_xlim(timeline.edges[0], timeline.edges[-1])
    axes.set_xticks(timeline.place(ticks), [str(tick) for tick in ticks])
    axes.set_xlabel(timeline.title)


def _subtitle(series: Series) -> str:
    """Say which model and how much of its training."""
    model = series.summary.get("model") or series.summary.get("architecture")
    parts = [text.plain(model, 60)] if model else []
    parts.append(text.count(len(series.epochs), "measurement"))
    counts = series.measurements["n_structures"].dropna()
    if len(counts):
        parts.append(text.count(int(counts.iloc[-1]), "structure"))
    return "  ·  ".join(parts)


def _labels(axes: Axes, spectra: Spectra, probe: Probe, compact: bool) -> None:
    """Channels of every row, and what the blocks are."""
    size, needed = 7.5 if compact else 8.5, spectra.needed(probe)
    ticks = [
        (part.start + place, label)
        for panel, part in spectra.parts
        for place, label in few(panel.ticks, 2 if compact else 12)
    ]
    places, names = zip(*ticks, strict=True)
    axes.set_yticks(places, names, fontsize=size)
    for place, label in zip(places, axes.get_yticklabels(), strict=True):
        if place == needed:
            label.set_bbox({"fc": style.NEEDED, "ec": "none", "pad": 1.2})
            label.set_fontweight("bold")
    axes.set_ylim(-0.5, len(spectra.channels) - 0.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for _, part in spectra.parts[1:]:
        axes.axhline(part.start - 0.5, color="white", lw=2 if compact else 3)
    _titles(axes, spectra, compact, size)


def _titles(axes: Axes, spectra: Spectra, compact: bool, size: float) -> None:
    """What the blocks are called, upright and left of their channels."""
    titles, shown = axes.secondary_yaxis(-0.055), spectra.irreps
    middles = [(part.start + part.stop - 1) / 2 for _, part in shown]
    titles.set_yticks(
        middles, [p.name if compact else p.title for p, _ in shown], rotation=90,
        va="center", fontsize=size, fontweight="normal" if compact else "bold",
    )  # fmt: skip
    titles.tick_params(length=0)
    titles.spines[:].set_visible(False)
    if not compact:
        titles.set_ylabel(shown[0][0].long_axis)


def _transitions(
    axes: Axes, spectra: Spectra, probe: Probe, series: Series, timeline: Timeline
) -> None:
    """Where a channel jumps: a line over the epochs it took, a triangle up or down."""
    events, channels = series.events, spectra.channels
    events = events[(events["probe"] == probe.name) & events["channel"].isin(channels)]
    white = [withStroke(linewidth=3.2, foreground="white")]
    for event in events.to_dict("records"):
        y = channels.index(event["channel"])
        ends = timeline.place([event["first_epoch"], event["epoch"]])
        axes.plot(ends, [y, y], color=style.PSEUDO, lw=1.4, path_effects=white, zorder=4)
        axes.plot(
            ends[1], y, ls="", marker="v" if event["factor"] < 1 else "^", ms=7.5,
            mfc=style.PSEUDO, mec="white", mew=1.0, zorder=5,
        )  # fmt: skip


def _marks(spectra: Spectra, transitions: bool) -> style.Handles:
    """What the marks mean: only those that occur."""
    marks = style.Handles()
    if any(spectra.needed(probe) is not None for probe in spectra.probes):
        marks[NEEDED] = Patch(fc=style.NEEDED)
    if transitions:
        look: Any = {"marker": "^", "ms": 7.5, "color": style.PSEUDO}
        marks["sudden transition"] = Line2D([], [], **look)
    return marks | cell_marks(spectra.cells)
