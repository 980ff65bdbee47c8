"""Figure of the relaxation study: what is lost, at how many evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.studies._draw import write
from benchmarks.studies._relax_tables import TITLES
from metatrain_symmetry.report import style


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """One panel for each orientation: share of relaxations that lose their symmetry.

    :param rows: ``relaxations`` of the summary
    :param path: PNG file
    """
    panels = {
        key: own
        for key in TITLES
        if (own := [row for row in rows if row["orientation"] == key])
    }
    with style.context():
        figure = Figure(figsize=(1.6 + 4.6 * len(panels), 4.2), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for panel, (key, own) in zip(axes, panels.items(), strict=True):
            _bars(panel, own)
            panel.set_title(TITLES[key])
        axes[0].legend(loc="lower right", fontsize=8)
        write(figure, path)


def _bars(axes: Axes, rows: list[dict[str, Any]]) -> None:
    places = np.arange(len(rows))[::-1]
    for shift, symprec, color in ((0.2, "1e-05", "C0"), (-0.2, "0.01", "C1")):
        shares = [100 * row[f"lost at {symprec}"] / row["count"] for row in rows]
        label = f"symprec {float(symprec):g} Å"
        axes.barh(places + shift, shares, 0.36, color=color, label=label)
        for place, share in zip(places, shares, strict=True):
            axes.text(share + 1.5, place + shift, f"{share:.0f}", va="center", fontsize=8)
    axes.set_yticks(
        places,
        [f"{row['calculator']} ({row['median evaluations']:.0f})" for row in rows],
    )
    axes.set_xlim(0, 112)
    axes.set_xlabel("relaxations that lose a symmetry operation (%)")
    axes.grid(visible=False, axis="y")
