"""Figures of the study of point clouds, drawn from its tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from benchmarks.makers.tracks import CLASSES
from benchmarks.studies._draw import write
from metatrain_symmetry.report import style


FLOOR = 1e-8
"""Smaller shares are drawn as this one."""
COLOURS = ListedColormap(["#4c72b0", "#8c8c8c", "#c44e52", "#e8a33d"])


def draw_layers(characters: pd.DataFrame, path: Path) -> None:
    """Layers against irreps, on a log scale: figure 8 of the paper in kind.

    :param characters: rows with ``probe``, ``channel`` and ``B``, of several events
    :param path: PNG file
    """
    sums = characters.groupby(["probe", "channel"], sort=False).B.sum().unstack()
    means = sums.div(sums.sum(axis=1), axis=0)
    rows = [*[p for p in means.index if p not in CLASSES], *CLASSES]
    rows = [row for row in rows if row in means.index]
    columns = sorted(means.columns, key=_order)
    table = means.loc[rows, columns]
    with style.context():
        size = (2.8 + 0.42 * len(columns), 1.4 + 0.32 * len(rows))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        image = axes.imshow(
            table.clip(lower=FLOOR), norm=LogNorm(FLOOR, 1), cmap="magma", aspect="auto"
        )
        axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8)
        axes.set_yticks(range(len(rows)), rows, fontsize=8)
        axes.grid(visible=False)
        axes.axhline(len(rows) - sum(r in CLASSES for r in rows) - 0.5, color="w")
        figure.colorbar(image, ax=axes, label="share of the squared norm")
        axes.set_title("Irreps in the layers of the segmenter (simulated events)")
        write(figure, path)


def _order(channel: str) -> tuple[int, int, str]:
    """Proper irreps, pseudo ones, the residual."""
    return ("-" in channel, len(channel), channel) if "," in channel else (2, 0, channel)


def draw_event(points: pd.DataFrame, path: Path) -> None:
    """One event by class, by A, and by how often the class flips: figure 9 in kind.

    :param points: rows with ``x``, ``y``, ``z``, ``label``, ``class``, ``A``, ``flips``
    :param path: PNG file
    """
    classes = Normalize(-0.5, len(CLASSES) - 0.5)
    panels = {
        "label": ("right class", COLOURS, classes),
        "class": ("most frequent class", COLOURS, classes),
        "A": ("A of the probabilities", "viridis", LogNorm(1e-4, 0.5)),
        "flips": ("share of flips", "viridis", Normalize(0, 0.5)),
    }
    with style.context():
        figure = Figure(figsize=(15, 4.2), layout="constrained")
        for place, (column, (title, colours, norm)) in enumerate(panels.items(), 1):
            axes = figure.add_subplot(1, 4, place, projection="3d")
            image = axes.scatter(
                points.x, points.y, points.z,
                c=np.maximum(points[column], 1e-4) if column == "A" else points[column],
                cmap=colours, norm=norm, s=5, depthshade=False,
            )  # fmt: skip
            bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.08)
            if norm is classes:
                bar.set_ticks(range(len(CLASSES)), labels=list(CLASSES))
            axes.set_title(title)
            axes.tick_params(labelsize=6)
        figure.suptitle("A simulated event, lengths in cm", fontweight="bold")
        write(figure, path)


def draw_readouts(table: pd.DataFrame, path: Path) -> None:
    """Cross-entropy against A of the purified readouts, on the validation set.

    :param table: of :func:`metatrain_symmetry.purify_classifier`
    :param path: PNG file
    """
    with style.context():
        figure = Figure(figsize=(5.6, 3.6), layout="constrained")
        axes: Axes = figure.subplots()
        given = table[table.alpha.isna()].iloc[0]
        limit = 1.01 * given.validation_cross_entropy
        for ridge, own in table[table.alpha.notna()].groupby("ridge"):
            axes.plot(
                own.validation_A, own.validation_cross_entropy, "o-", ms=4,
                label=f"η = {ridge:g}, α = {own.alpha.min():g} ... {own.alpha.max():g}",
            )  # fmt: skip
        axes.plot(given.validation_A, given.validation_cross_entropy, "ks", label="trained")
        axes.axhline(limit, color="0.4", ls=":", lw=1, label="1 % more than trained")
        axes.set_xlabel("A of the scores, validation set")
        axes.set_ylabel("cross-entropy")
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5)))
            axis.set_major_formatter(ScalarFormatter())
            axis.set_minor_formatter(NullFormatter())
        axes.legend(fontsize=7)
        write(figure, path)
