"""What purification of the readout brings along a training."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.studies._draw import write
from metatrain_symmetry.report import style


STYLES = ("-", "--", ":")
"""Of the trainings."""


def draw(results: Path) -> None:
    """A and errors after purification over those before, and irreps of the features.

    :param results: folder with ``purified.csv`` and ``features.csv``, where
        ``readout.png`` goes as well
    """
    changes = pd.read_csv(results / "purified.csv")
    shares = pd.read_csv(results / "features.csv")
    with style.context():
        figure = Figure(figsize=(12.5, 8.4), layout="constrained")
        (over_steps, over_rate), (errors, features) = figure.subplots(2, 2)
        _ratios(over_steps, changes, "A", "steps")
        _ratios(over_rate, changes, "A", "learning_rate")
        _ratios(errors, changes, "error", "steps")
        _features(features, shares)
        for axes in (over_steps, errors, features):
            axes.set_xlabel("steps of training")
        for axes in (over_steps, errors):
            axes.legend(fontsize=7)
        over_rate.set_xlabel("learning rate")
        over_rate.set_xscale("log")
        over_rate.invert_xaxis()
        _trainings(over_rate, list(changes.variant.unique()))
        write(figure, results / "readout.png")


def _trainings(axes: Axes, variants: list[str]) -> None:
    """Which line belongs to which training."""
    lines = [Line2D([], [], color="0.3", lw=1.3, ls=ls) for ls in STYLES[: len(variants)]]
    axes.legend(lines, variants, fontsize=7)


def _curves(
    axes: Axes, table: pd.DataFrame, x: str, y: str, color: str, label: str
) -> None:
    """One line for each training."""
    variants = list(table.groupby("variant", sort=False))
    for ls, (_, own) in zip(STYLES, variants, strict=False):
        for _, rows in own.groupby("seed"):
            axes.plot(rows[x], rows[y], ".", ls=ls, color=color, lw=1.3, label=label)
            label = "_"  # one entry of the legend


def _ratios(axes: Axes, changes: pd.DataFrame, name: str, x: str) -> None:
    """One colour for each target and irrep."""
    ratios = changes.assign(
        ratio=changes[f"rms_{name}_after"] / changes[f"rms_{name}_before"]
    )
    groups = ratios.groupby(["target", "o3_lambda", "o3_sigma"], sort=False)
    for number, ((target, o3_lambda, sigma), own) in enumerate(groups):
        sign = "+" if sigma == 1 else "-"
        label = f"{target} ({o3_lambda},{sign})"
        _curves(axes, own, x, "ratio", f"C{number}", label)
    axes.axhline(1, color="0.4", lw=1, ls=":")
    axes.set_ylabel(f"{name}, purified over trained")


def _features(axes: Axes, shares: pd.DataFrame) -> None:
    """Shares of the proper irreps in the last-layer features, a mean over all of them."""
    proper = shares[shares.channel.str.endswith("+)")]
    for number, (channel, own) in enumerate(proper.groupby("channel")):
        _curves(axes, own, "steps", "share", f"C{number}", str(channel))
    axes.set_yscale("log")
    axes.set_ylabel("share in the last-layer features")
    axes.legend(fontsize=7, ncols=5, loc="lower right")
