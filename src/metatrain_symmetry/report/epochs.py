"""What a model is made of along its training, above its errors (figures 3 and 6)."""

import re
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator

from ..measure.series import Series
from . import style
from .curves import draw_errors
from .heatmap import colormap
from .history import History, Timeline, curve_of, read_curves, read_histories
from .spectrum import FLOOR
from .thumbnail import thumbnail


__all__ = ["draw_epochs", "draw_series", "thumbnail"]

PANELS = 6
WIDTH = 8.5
HATCH = "#FFFFFFB0"


def draw_series(series: Series, folder: str | Path) -> dict[str, Path]:
    """Draw each output, and the layers of each group together.

    :param series: what was measured
    :param folder: the figures go to its subfolder ``figures``, as SVG and as PNG
    :return: name of each figure and its SVG file; the PNG lies beside it
    """
    found = read_histories(series)
    sets = [(h.probe, [h]) for h in found if h.kind == "output"]
    layers = [h for h in found if h.kind != "output"]
    for group, members in groupby(layers, key=lambda h: h.group):
        own = list(members)
        sets += [(group, own[i : i + PANELS]) for i in range(0, len(own), PANELS)]
    paths: dict[str, Path] = {}
    for title, histories in sets:
        name = _file_name(title, paths)
        figure = _draw(series, histories, title)
        paths[name] = style.save(figure, Path(folder) / "figures" / name)
    return paths


def _file_name(title: str, taken: Iterable[str]) -> str:
    """A name for a file, of harmless letters, not taken yet."""
    stem = "epochs-" + re.sub(r"[^\w.+-]+", "_", title).strip("_")[:80]
    names = [stem, *(f"{stem}-{i}" for i in range(2, 1000))]
    return next(name for name in names if name not in taken)


def draw_epochs(
    series: Series, probe: str, *others: str, title: str | None = None
) -> Figure | None:
    """Draw probes: shares of their irreps over epochs, and the errors below.

    :param series: what was measured
    :param probe: an output such as ``energy (0,+)``, or a layer
    :param others: more of them, to be drawn below it
    :param title: of the figure, in place of the names of the probes
    :return: the figure; nothing if there is none of these probes
    """
    names = (probe, *others)
    found = [read_histories(series, name)[-1:] for name in names]
    # an output rather than the layer of the same name
    histories = [history for own in found for history in own]
    return _draw(series, histories, title or ", ".join(names)) if histories else None


@style.context()
def _draw(series: Series, histories: list[History], title: str) -> Figure:
    """Heatmaps above each other, the errors below, one time axis."""
    timeline = Timeline.of(series.epochs)
    single = len(histories) == 1
    row = 0.155 if single else 0.072
    height = max(row * len(histories[0].channels), 1.1)
    heights = [height] * len(histories) + [1.75]
    name = style.plain(style.shorten(title, 48))
    figure = style.new_figure(
        WIDTH, sum(heights) + 1.3, f"{name} along the training", _subtitle(series)
    )
    grid = figure.add_gridspec(
        len(heights), 2, height_ratios=heights, width_ratios=[1, 0.022], wspace=0.03
    )
    panels = [figure.add_subplot(grid[i, 0]) for i in range(len(heights))]
    for axes, history in zip(panels, histories, strict=False):
        _cells(axes, history, timeline)
        _labels(axes, history, compact=not single)
        _transitions(axes, history, series, timeline)
        if history.probe != title:
            axes.set_title(style.plain(style.shorten(history.probe, 70)), loc="left")
    _errors(panels[-1], series, histories, timeline)
    _share_time(panels, timeline)
    _colorbar(figure, panels[0], figure.add_subplot(grid[: len(histories), 1]))
    _legend(figure, series, histories)
    return figure


def _share_time(panels: list[Axes], timeline: Timeline) -> None:
    """The same epochs everywhere, written once."""
    ticks = timeline.ticks(0.013)
    for axes in panels:
        axes.set_xlim(timeline.edges[0], timeline.edges[-1])
        axes.set_xticks(timeline.place(ticks), [])
    panels[-1].set_xticklabels([f"{tick}" for tick in ticks])
    panels[-1].set_xlabel("completed epochs" + " (log scale)" * timeline.logarithmic)


def _subtitle(series: Series) -> str:
    """Say which model and how much of its training."""
    model = series.summary.get("model") or series.summary.get("architecture")
    parts = [style.plain(style.shorten(str(model), 60))] if model else []
    number = len(series.epochs)
    parts.append(f"{number} measurement" + ("" if number == 1 else "s"))
    counts = series.measurements["n_structures"].dropna()
    if len(counts):
        number = int(counts.iloc[-1])
        parts.append(f"{number} structure{'s' * (number != 1)}")
    return "  ·  ".join(parts)


def _cells(axes: Axes, history: History, timeline: Timeline) -> None:
    """One row per channel; shares below the floor look alike."""
    edges, shares = timeline.edges, history.bounds
    # a difference of estimates may be negative: the floor is the honest colour
    shown = np.ma.masked_invalid(np.where(shares < FLOOR, FLOOR, shares))
    axes.pcolormesh(
        edges, np.arange(len(shares) + 1) - 0.5, shown, cmap=colormap(),
        norm=LogNorm(FLOOR, 1.0), edgecolors="white",
        linewidth=min(0.4, 12 / len(edges)),
    )  # fmt: skip
    patches = [
        Rectangle((edges[x], y - 0.5), edges[x + 1] - edges[x], 1)
        for y, x in np.argwhere(history.below)
    ]
    axes.add_collection(
        PatchCollection(patches, hatch="////", fc="none", ec=HATCH, lw=0), autolim=False
    )
    bare = np.argwhere(history.bare)
    if len(bare):
        middles = (edges[:-1] + edges[1:]) / 2
        axes.plot(middles[bare[:, 1]], bare[:, 0], ls="", marker=".", ms=3, color="#FFFFFF")
    axes.set_ylim(-0.5, len(shares) - 0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)


def _labels(axes: Axes, history: History, compact: bool) -> None:
    """λ of every row, and what the blocks are."""
    size = history.degree + 1
    degrees = [0, size // 2][: min(size, 2)] if compact else range(0, size, 1 + size // 12)
    places = [start + d for start in (0, size) for d in degrees]
    names = [str(d) for d in degrees] * 2
    if len(history.channels) > 2 * size:
        places, names = [*places, 2 * size], [*names, f"> {history.degree}"]
    axes.set_yticks(places, names, fontsize=7.5 if compact else 8.5)
    for place, text in zip(places, axes.get_yticklabels(), strict=True):
        if history.channels[place] == history.needed:
            text.set_bbox({"fc": style.NEEDED, "ec": "none", "pad": 1.2})
            text.set_fontweight("bold")
    for start in (size, 2 * size):
        axes.axhline(start - 0.5, color="white", lw=2 if compact else 3)
    for start, name in ((0, "proper"), (size, "pseudo")):
        sign = "+" if name == "proper" else "−"
        axes.text(
            -0.065, start + (size - 1) / 2, name if compact else f"{name}  σ = {sign}",
            transform=axes.get_yaxis_transform(), rotation=90, ha="center", va="center",
            fontsize=7.5 if compact else 9, fontweight="normal" if compact else "bold",
        )  # fmt: skip
    if not compact:
        axes.text(
            -0.105, 0.5, "degree λ of the irrep", transform=axes.transAxes, rotation=90,
            ha="center", va="center",
        )  # fmt: skip


def _transitions(axes: Axes, history: History, series: Series, timeline: Timeline) -> None:
    """Where a channel jumps: a line over the epochs it took, a triangle up or down."""
    events = series.events[series.events["probe"] == history.probe]
    white = [withStroke(linewidth=3.2, foreground="white")]
    events = events[events["channel"].isin(history.channels)]
    columns = (events[name] for name in ("channel", "first_epoch", "epoch", "factor"))
    for channel, first, epoch, factor in zip(*columns, strict=True):
        y = history.channels.index(channel)
        ends = timeline.place([first, epoch])
        axes.plot(ends, [y, y], color=style.PSEUDO, lw=1.4, path_effects=white, zorder=4)
        axes.plot(
            ends[1], y, ls="", marker="v" if factor < 1 else "^", ms=7.5,
            mfc=style.PSEUDO, mec="white", mew=1.0, zorder=5,
        )  # fmt: skip


def _errors(
    axes: Axes, series: Series, histories: list[History], timeline: Timeline
) -> None:
    """The panel below: of the output shown, or of all outputs."""
    own = curve_of(series, histories[0])
    curves = [own] if own else read_curves(series)
    draw_errors(axes, curves, own is not None, timeline)
    shown = series.events["probe"].isin([h.probe for h in histories])
    for x in timeline.place(series.events["epoch"][shown].unique()).tolist():
        axes.axvline(x, color=style.PSEUDO, lw=0.9, ls=(0, (4, 3)), zorder=0.5)


def _colorbar(figure: Figure, panel: Axes, place: Axes) -> None:
    """The scale: not taller than needed beside many rows."""
    place.axis("off")
    bar = figure.colorbar(
        panel.collections[0], cax=place.inset_axes((0.0, 0.0, 1.0, 1.0)), extend="min"
    )
    bar.locator = LogLocator(numticks=7)
    bar.update_ticks()
    bar.set_label("share  B / ⟨|h|²⟩")


def _legend(figure: Figure, series: Series, histories: list[History]) -> None:
    """Lines, and what the marks mean: only those that occur."""
    handles, names = figure.axes[len(histories)].get_legend_handles_labels()
    marks: list[Patch | Line2D] = []
    if any(h.needed in h.channels for h in histories):
        marks.append(Patch(fc=style.NEEDED, label="irrep of the target"))
    if series.events["probe"].isin([h.probe for h in histories]).any():
        marks.append(
            Line2D([], [], ls="-", marker="^", ms=7.5, color=style.PSEUDO,
                   label="sudden transition")
        )  # fmt: skip
    if any(h.bare.any() for h in histories):
        marks.append(
            Line2D([], [], ls="", marker=".", ms=3, color="#FFFFFF", mec=style.LINE,
                   label="no error bar")
        )  # fmt: skip
    if any(h.below.any() for h in histories):
        label = "below the value of its colour: not above 2 standard errors"
        dark = colormap()(0.0)
        marks.append(Patch(fc=dark, ec=HATCH, hatch="////", lw=0, label=label))
    if any(np.isnan(h.shares).any() for h in histories):
        marks.append(Patch(fc=style.MISSING, label="not measured"))
    handles, names = [*handles, *marks], [*names, *(str(m.get_label()) for m in marks)]
    figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 3))
