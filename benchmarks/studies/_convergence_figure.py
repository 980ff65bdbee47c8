"""A, errors and their ratio along trainings of different length and size."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.studies._draw import write
from metatrain_symmetry.report import style


ROWS = {
    "median_error": "median error, {unit}",
    "median_A": "median A, {unit}",
    "median_A_over_error": "median of A / error",
}


def draw(results: Path) -> None:
    """One column of panels for each target, one line for each training.

    :param results: folder with ``epochs.csv``, where ``convergence.png`` goes as well
    """
    table = pd.read_csv(results / "epochs.csv")
    targets = list(table.target.unique())
    with style.context():
        figure = Figure(figsize=(4.0 * len(targets) + 2.6, 8.2), layout="constrained")
        figure.suptitle(
            "A and errors along trainings (CHGNet labels, an ML teacher)",
            fontsize=11,
            fontweight="bold",
        )
        grid = figure.subplots(len(ROWS), len(targets), squeeze=False, sharex=True)
        for panels, (column, label) in zip(grid, ROWS.items(), strict=True):
            for axes, target in zip(panels, targets, strict=True):
                own = table[table.target == target]
                _lines(axes, own, column)
                axes.set_ylabel(label.format(unit=own.unit.iloc[0]))
        for axes, target in zip(grid[0], targets, strict=True):
            axes.set_title(target, fontsize=10)
        for axes, target in zip(grid[-1], targets, strict=True):
            axes.set_xlabel("steps of training")
            own = table[table.target == target]
            axes.axhline(own.paper.iloc[0], color="0.4", ls=":", lw=1)
            axes.annotate(
                "paper", (0.02, own.paper.iloc[0]), xycoords=("axes fraction", "data"),
                fontsize=8, color="0.4", va="bottom",
            )  # fmt: skip
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside right center", fontsize=8, frameon=False
        )
        write(figure, results / "convergence.png")


def _lines(axes, table: pd.DataFrame, column: str) -> None:  # type: ignore[no-untyped-def]
    """One colour for each variant, one line for each seed."""
    for number, (variant, own) in enumerate(table.groupby("variant", sort=False)):
        for index, (_, rows) in enumerate(own.groupby("seed")):
            axes.plot(
                rows.steps, rows[column], color=f"C{number}", lw=1.3, marker=".", ms=4,
                label=variant if index == 0 else None,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
