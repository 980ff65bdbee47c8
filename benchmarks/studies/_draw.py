"""Curves of several variants over epochs, and heatmaps of layers at several epochs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter
from PIL import Image

from benchmarks._results import write_atomically
from metatrain_symmetry.measure.results import Report
from metatrain_symmetry.measure.series import Series
from metatrain_symmetry.report import style
from metatrain_symmetry.report.heatmap import draw_heatmap


def draw_curves(
    tables: dict[str, pd.DataFrame],
    columns: dict[str, str],
    path: Path,
    title: str,
    first_epoch: int = 0,
) -> None:
    """One panel for each column, one colour for each variant, one line for each seed.

    :param tables: rows with ``variant``, ``seed``, ``epoch``, by the column they hold
    :param columns: label of the axis by column
    :param path: PNG file
    :param title: of the figure
    :param first_epoch: first one shown; epochs are on a logarithmic axis if it is 0
    """
    with style.context():
        figure = Figure(figsize=(1.8 + 3.8 * len(columns), 3.4), layout="constrained")
        figure.suptitle(title, fontsize=11, fontweight="bold")
        panels = figure.subplots(1, len(columns), squeeze=False)[0]
        first = next(iter(tables.values()))
        variants = list(dict.fromkeys(first.variant))
        for axes, (column, label) in zip(panels, columns.items(), strict=True):
            for number, variant in enumerate(variants):
                own = tables[column].query("variant == @variant and epoch >= @first_epoch")
                for index, (_, rows) in enumerate(own.groupby("seed")):
                    axes.plot(
                        rows.epoch.clip(lower=0.7),
                        rows[column],
                        color=f"C{number % 10}",
                        ls="-" if number < 10 else "--",  # there are ten colours
                        lw=1.3,
                        label=variant if index == 0 else None,
                    )
            axes.set_xlabel("epoch" if first_epoch else "epoch (0 is drawn at 0.7)")
            axes.set_xscale("linear" if first_epoch else "log")
            axes.set_ylabel(label)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside right center", fontsize=8, frameon=False
        )
        write(figure, path)


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
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside right center", fontsize=8, frameon=False
        )
        write(figure, path)


def _scatter(axes: Axes, final: pd.DataFrame, column: str, last: int) -> None:
    """A point for each training; a hollow triangle where nothing was learned."""
    for number, (variant, own) in enumerate(final.groupby("variant", sort=False)):
        left, color = own["epoch_rmse_0.9"], f"C{number % 10}"
        marker = "o" if number < 10 else "s"
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


def draw_layers(series: Series, folder: Path, count: int = 4) -> list[int]:
    """Layers and irreps at several epochs, one figure each.

    :param series: of one training
    :param folder: the figures ``layers-epoch-N.png`` go there
    :param count: how many epochs, spread over those that were measured
    :return: the epochs
    """
    known = series.epochs
    places = np.linspace(0, len(known) - 1, min(count, len(known))).round().astype(int)
    chosen = sorted({known[place] for place in places})
    for old in folder.glob("layers-epoch-*.png"):  # a shorter training's epochs were others
        old.unlink()
    for epoch in chosen:
        rows = series.characters[series.characters.epoch == epoch]
        name = f"epoch {epoch} of the training"
        figure = draw_heatmap(Report(pd.DataFrame(), pd.DataFrame(), rows, {"model": name}))
        if figure is not None:
            with style.context():
                write(figure, folder / f"layers-epoch-{epoch}.png")
    return chosen


def shrink(folder: Path) -> None:
    """Make the PNGs of a report small enough for a repository, and drop its SVGs.

    :param folder: with the figures
    """
    for file in sorted(folder.glob("*.svg")):
        file.unlink()
    for file in sorted(folder.glob("*.png")):
        with Image.open(file) as picture:
            if picture.mode == "P":
                continue
            small = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
        write_atomically(file, lambda name, small=small: small.save(name, optimize=True))


def write(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all.

    :param figure: to be written
    :param path: PNG file; folders are made
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda name: figure.savefig(name, format="png", dpi=110))
