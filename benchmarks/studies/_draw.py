"""Curves of several variants over epochs, and PNGs that are small."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter
from PIL import Image

from metatrain_symmetry.io import replacing
from metatrain_symmetry.report import style


DPI, COLORS = 110, 128
NAMED = 10
"""There are ten colours; variants beyond are drawn in another way."""


def draw_curves(
    table: pd.DataFrame,
    columns: dict[str, str],
    path: Path,
    title: str,
    first_epoch: int = 0,
) -> None:
    """One panel for each column, one colour for each variant, one line for each seed.

    :param table: rows with ``variant``, ``seed``, ``epoch`` and the columns
    :param columns: label of the axis by column
    :param path: PNG file
    :param title: of the figure
    :param first_epoch: first one shown; epochs are on a logarithmic axis if it is 0
    """
    with style.context():
        figure = Figure(figsize=(1.8 + 3.8 * len(columns), 3.4), layout="constrained")
        figure.suptitle(title, fontsize=11, fontweight="bold")
        panels = figure.subplots(1, len(columns), squeeze=False)[0]
        for axes, (column, label) in zip(panels, columns.items(), strict=True):
            _lines(axes, table[table.epoch >= first_epoch], column)
            axes.set_xlabel("epoch" if first_epoch else "epoch (0 is drawn at 0.7)")
            axes.set_xscale("linear" if first_epoch else "log")
            axes.set_ylabel(label)
        _legend(figure, panels[0])
        write(figure, path)


def _lines(axes: Axes, table: pd.DataFrame, column: str) -> None:
    """A line for each training; epochs at which a column was not measured are left out."""
    known = table.dropna(subset=column)
    for number, (variant, own) in enumerate(known.groupby("variant", sort=False)):
        for index, (_, rows) in enumerate(own.groupby("seed")):
            axes.plot(
                rows.epoch.clip(lower=0.7),
                rows[column],
                color=f"C{number % NAMED}",
                ls="-" if number < NAMED else "--",
                lw=1.3,
                label=variant if index == 0 else None,
            )


def _legend(figure: Figure, axes: Axes) -> None:
    """One legend for all panels, beside them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=8, frameon=False)


def draw_cause(final: pd.DataFrame, path: Path, last: int) -> None:
    """When a plateau was left against what the embeddings held before.

    :param final: rows with ``variant``, ``vector_GE``, ``vector_EE``, ``epoch_rmse_0.9``
    :param path: PNG file
    :param last: last epoch of the trainings
    """
    places = {"GE": "geometry embedding (GE)", "EE": "embedded edges (EE)"}
    with style.context():
        figure = Figure(figsize=(9.6, 4.0), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (group, name) in zip(panels, places.items(), strict=True):
            _scatter(axes, final, f"vector_{group}", last)
            axes.set_xlabel(f"share of vectors (1,+) in the {name}")
        figure.suptitle("Before training, and when the plateau is left", fontweight="bold")
        panels[0].set_ylabel("epoch of RMSE < 0.9 of predicting zero")
        _legend(figure, panels[0])
        write(figure, path)


def _scatter(axes: Axes, final: pd.DataFrame, column: str, last: int) -> None:
    """A point for each training; a hollow triangle where nothing was learned."""
    for number, (variant, own) in enumerate(final.groupby("variant", sort=False)):
        left, color = own["epoch_rmse_0.9"], f"C{number % NAMED}"
        marker = "o" if number < NAMED else "s"
        axes.plot(own[column], left, marker, color=color, label=variant)
        never = own[column][left.isna()]
        axes.plot(never, [1.1 * last] * len(never), "^", mfc="none", color=color)
    axes.axhline(last, color="0.7", lw=0.8)
    axes.text(
        1, 0.98 * last, "above: not within the training ", ha="right", va="top",
        transform=axes.get_yaxis_transform(), fontsize=8, color="0.4",
    )  # fmt: skip
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_locator(NullLocator())


def write(figure: Figure, path: Path) -> None:
    """Write a PNG that is small enough for a repository, whole or not at all.

    :param figure: to be written
    :param path: PNG file; folders are made
    """
    drawn = BytesIO()
    with style.context():
        figure.savefig(drawn, format="png", dpi=DPI)
    with Image.open(drawn) as picture:
        small = picture.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    with replacing(path) as new:
        small.save(new, optimize=True)
