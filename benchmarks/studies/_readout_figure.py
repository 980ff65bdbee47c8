"""What purification of the readout brings along a training."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.studies._draw import write
from metatrain_symmetry.report import style


def draw(results: Path) -> None:
    """A and errors after purification over those before, and irreps of the features.

    :param results: folder with ``purified.csv`` and ``features.csv``, where
        ``readout.png`` goes as well
    """
    changes = pd.read_csv(results / "purified.csv")
    shares = pd.read_csv(results / "features.csv")
    with style.context():
        figure = Figure(figsize=(14.5, 4.2), layout="constrained")
        panels = figure.subplots(1, 3)
        for axes, name in zip(panels[:2], ("A", "error"), strict=True):
            _ratios(axes, changes, name)
        _features(panels[2], shares)
        for axes in panels:
            axes.set_xlabel("epoch")
            axes.legend(fontsize=7)
        write(figure, results / "readout.png")


def _ratios(axes: Axes, changes: pd.DataFrame, name: str) -> None:
    """One line for each target, irrep and seed."""
    groups = changes.groupby(["target", "o3_lambda", "o3_sigma"], sort=False)
    for number, ((target, o3_lambda, sigma), own) in enumerate(groups):
        sign = "+" if sigma == 1 else "-"
        for index, (_, rows) in enumerate(own.groupby("seed")):
            axes.plot(
                rows.epoch, rows[f"rms_{name}_after"] / rows[f"rms_{name}_before"], ".-",
                color=f"C{number}", lw=1.3,
                label=None if index else f"{target} ({o3_lambda},{sign})",
            )  # fmt: skip
    axes.axhline(1, color="0.4", lw=1, ls=":")
    axes.set_ylabel(f"{name}, purified over trained")


def _features(axes: Axes, shares: pd.DataFrame) -> None:
    """Shares of the proper irreps in the last-layer features, a mean over all of them."""
    proper = shares[shares.channel.str.endswith("+)")]
    means = proper.groupby(["channel", "epoch", "seed"]).share.mean().reset_index()
    for number, (channel, own) in enumerate(means.groupby("channel")):
        for index, (_, rows) in enumerate(own.groupby("seed")):
            axes.plot(
                rows.epoch, rows.share, ".-", color=f"C{number}", lw=1.3,
                label=None if index else str(channel),
            )  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylabel("share in the last-layer features")
