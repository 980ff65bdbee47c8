"""Tables and figure of the benchmark of averages over rotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks._symmetrise_sets import LEBEDEV, LEGENDRE, METATOMIC, OURS
from benchmarks.studies._draw import write
from metatrain_symmetry.report import style


LOOKS = {
    OURS: ("o", style.PROPER),
    METATOMIC: ("s", style.PSEUDO),
    LEGENDRE: ("^", style.SECOND),
    LEBEDEV: ("D", style.RESIDUAL),
}
"""Marker and colour of each family."""

WORDS = {OURS: "ours: groups"}

LABELS = {
    **{(OURS, name): name for name in ("1", "i", "D2", "T", "Oi", "I", "Ii")},
    (OURS, "O"): "O, Ti",
    (METATOMIC, "l_max 3"): "default",
}
"""What is written beside points; O and Ti have 24 elements both."""

PREDICTED = ("T", "Ti", "O", "Oi", "I", "Ii")


def columns_of(cases: dict[str, Any]) -> list[tuple[str, str]]:
    """Kinds of structures and properties.

    :param cases: of the results file
    """
    return [(kind, name) for kind, case in cases.items() for name in case["units"]]


def percent(entry: dict[str, float]) -> str:
    """A ratio with its error bar.

    :param entry: ``ratio`` and ``ratio_err``
    """
    value, error = 100 * entry["ratio"], 100 * entry["ratio_err"]
    digits = int(np.clip(1 - np.floor(np.log10(max(error, 1e-9))), 0, 3))
    digits = digits - 1 if digits and error * 10**digits >= 20 else digits
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def tables(cases: dict[str, Any]) -> str:
    """Write Markdown tables: sets in the laboratory's frame, groups in random frames.

    :param cases: of the results file
    """
    columns = columns_of(cases)
    rows = [_head(["set", "evaluations"], columns)]
    first = next(iter(cases.values()))["fixed frame"]
    for number, entry in enumerate(first):
        own = [cases[kind]["fixed frame"][number][name] for kind, name in columns]
        cells = [f"{entry['family']}: {entry['name']}", str(entry["evaluations"])]
        rows.append(_row([*cells, *map(percent, own)]))
    absolute = [cases[kind]["fixed frame"][0][name] for kind, name in columns]
    units = [cases[kind]["units"][name] for kind, name in columns]
    known = [
        f"{n} of {k} {entry['bare']:.3g} {unit}"
        for (k, n), entry, unit in zip(columns, absolute, units, strict=True)
    ]
    rows += ["", "A of the bare models: " + ", ".join(known) + ".", ""]
    rows.append(_head(["group in a random frame"], columns))
    for name in PREDICTED:
        cells = []
        for kind, target in columns:
            case = cases[kind]
            entry = next(e for e in case["random frame"] if e["name"] == name)[target]
            cells.append(f"{percent(entry)} ({percent(case['predicted'][target][name])})")
        rows.append(_row([name, *cells]))
    return "\n".join(rows)


def _head(first: list[str], columns: list[tuple[str, str]]) -> str:
    cells = [*first, *(f"{kind}: {name}" for kind, name in columns)]
    return _row(cells) + "\n|---" + "|---:" * (len(cells) - 1) + "|"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def draw(cases: dict[str, Any], path: Path) -> None:
    """A left over A of the bare model against evaluations: a panel for each property.

    :param cases: of the results file
    :param path: PNG file
    """
    kinds = list(cases)
    most = max(len(case["units"]) for case in cases.values())
    with style.context():
        size = (3.9 * most, 3.2 * len(kinds) + 0.6)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(kinds), most, squeeze=False, sharex=True, sharey=True)
        for row, kind in zip(grid, kinds, strict=True):
            names = list(cases[kind]["units"])
            for axes, name in zip(row, names, strict=False):
                _panel(axes, cases[kind]["fixed frame"], name)
                axes.set_title(f"{kind}: {name}", loc="left", fontweight="bold")
            for axes in row[len(names) :]:
                axes.set_axis_off()
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
        write(figure, path)


def _panel(axes: Axes, entries: list[dict[str, Any]], name: str) -> None:
    """Sets of all families; hollow where there are no inversions."""
    span = np.array([1.0, 400.0])
    axes.plot(span, span**-0.5, color=style.LINE, lw=1, label="n random orientations")
    for family, (marker, color) in LOOKS.items():
        for inversion, fill in ((True, color), (False, "white")):
            part = [
                entry
                for entry in entries
                if entry["family"] == family and entry["inversion"] == inversion
            ]
            axes.errorbar(
                [entry["evaluations"] for entry in part],
                [entry[name]["ratio"] for entry in part],
                [entry[name]["ratio_err"] for entry in part],
                fmt=marker, ms=6, color=color, mfc=fill, elinewidth=1, alpha=0.9,
                label=WORDS.get(family, family) if inversion else None,
            )  # fmt: skip
    axes.plot([], [], "o", color=style.LINE, mfc="white", label="hollow: rotations only")
    for entry in entries:
        if words := LABELS.get((entry["family"], entry["name"])):
            above = entry["family"] != OURS or entry["name"] == "Oi"
            axes.annotate(
                words, (entry["evaluations"], entry[name]["ratio"]), fontsize=8,
                xytext=(4, 4) if above else (-5, -3), textcoords="offset points",
                ha="left" if above else "right", va="bottom" if above else "top",
                color=LOOKS[entry["family"]][1],
            )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=(0.6, 400))
    axes.set(xlabel="evaluations", ylabel="A left / A of the bare model")
    axes.tick_params(labelbottom=True, labelleft=True)
    axes.grid(True)
