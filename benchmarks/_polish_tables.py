"""Table and figure of the benchmark of symmetry fine-tuning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.studies._draw import write
from metatrain_symmetry.groups import Irrep
from metatrain_symmetry.report import style


HEADER = (
    "| case | method | target | A before -> after | A ratio | RMSE change "
    "| A²/RMSE² before -> after | time / training |\n"
    "|---|---|---|---:|---:|---:|---:|---:|"
)
MARKERS = {
    "full": "o",
    "heads": "s",
    "readout": "D",
    "further": "X",
    "averaging": "^",
    "averaging with inversions": "v",
    "averaging over O": "<",
    "averaging over O with inversions": ">",
    "scratch": "*",
    "full, unlabelled": "p",
}
OTHERS = "other molecules"
"""Structures without labels, which nothing has seen."""

MODEL = re.compile(r",? from scratch|, | unlabelled")
"""Where in the name of a case the name of the model ends."""

COLUMNS = 3
ACCEPTED = 1.0
"""Percent: what ``max_rmse_increase`` accepts of a validation RMSE by default."""


def rows_of(
    cases: dict[str, Any], part: str = "test"
) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Case, method, its entry and each of its rows.

    :param cases: of the results file
    :param part: ``test``, ``validation`` or :data:`OTHERS`
    """
    for name, case in cases.items():
        for method, entry in case.get("methods", {}).items():
            for row in entry.get(part, []):
                yield name, method, entry, row


def target_of(row: dict[str, Any]) -> str:
    """Target, irrep and detail of a row."""
    detail = f"[{row['detail']}]" if row["detail"] else ""
    return f"{row['target']}{detail} {Irrep(row['o3_lambda'], row['o3_sigma'])}"


def text(cases: dict[str, Any], part: str = "test") -> str:
    """Markdown table of all cases.

    :param cases: of the results file
    :param part: ``test`` or ``validation``
    """
    lines = [_line(*found) for found in rows_of(cases, part)]
    lines += [
        _line(name, f"{method}: {OTHERS}", entry, row)
        for name, method, entry, row in rows_of(cases, OTHERS)
    ]
    failed = [
        f"| {name} | {method} | failed: {entry['failed']} | | | | | |"
        for name, case in cases.items()
        for method, entry in case.get("methods", {}).items()
        if "failed" in entry
    ]
    return "\n".join([HEADER, *lines, *failed])


def _line(case: str, method: str, entry: dict[str, Any], row: dict[str, Any]) -> str:
    share = [row[f"asymmetric_{when}"] for when in ("before", "after")]
    change = _with_interval(row, "rmse_change", 100, "+.1f") + " %"
    shares = " -> ".join("-" if one is None else f"{100 * one:.2g} %" for one in share)
    if row["rmse_before"] is None:
        change = shares = ""  # there are no labels
    cells = [
        case,
        method,
        target_of(row),
        f"{_number(row['A_before'])} -> {_number(row['A_after'])} {row['unit']}",
        _with_interval(row, "A_ratio", 1, ".2f"),
        change,
        shares,
        _cost(entry),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _with_interval(row: dict[str, Any], name: str, factor: float, form: str) -> str:
    values = [row[name], *row[f"{name}_interval"]]
    best, low, high = ("-" if v is None else format(factor * v, form) for v in values)
    return f"{best} [{low}, {high}]"


def _cost(entry: dict[str, Any]) -> str:
    if "evaluations" in entry:
        return f"{entry['evaluations']} evaluations each"
    relative = entry.get("seconds/training")
    return f"{entry['seconds']:.0f} s" if relative is None else f"{relative:.2f}"


def draw(cases: dict[str, Any], path: Path) -> None:
    """A ratio against RMSE change on the test set: a panel for each model and target.

    Seeds and settings of one model share a panel.

    :param cases: of the results file
    :param path: PNG file
    :raises ValueError: if there is nothing to draw
    """
    panels: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for name, method, _, row in rows_of(cases):
        if row["A_ratio"] is not None and row["rmse_change"] is not None:
            title = f"{MODEL.split(name)[0]}\n{target_of(row)}"
            panels.setdefault(title, []).append((method, row))
    if not panels:
        raise ValueError("the results hold no methods yet: run some first")
    with style.context():
        count = -(-len(panels) // COLUMNS)
        size = (3.6 * COLUMNS, 2.9 * count + 0.8)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(count, COLUMNS, squeeze=False, sharex=True, sharey=True)
        axes = grid.flatten()
        for one, (title, points) in zip(axes, panels.items(), strict=False):
            _panel(one, title, points)
        for one in axes[len(panels) :]:
            one.set_axis_off()
        _legend(figure, axes[0], panels)
        write(figure, path)


def _panel(axes: Axes, title: str, points: list[tuple[str, dict[str, Any]]]) -> None:
    """One model and target; a point for each method and seed."""
    for method, row in points:
        x, y = 100 * row["rmse_change"], row["A_ratio"]
        axes.errorbar(
            x, y, _reach(row, "A_ratio", 1), _reach(row, "rmse_change", 100),
            fmt=MARKERS.get(method, "P"), color=_color(method), lw=0.8, mec="white",
            ms=10 if MARKERS.get(method) == "*" else 6, mew=0.5,
        )  # fmt: skip
    axes.axvline(ACCEPTED, color="0.4", lw=0.9, ls="--")
    axes.axhline(1, color="0.8", lw=0.8)
    axes.set(title=title, xlabel="change of RMSE (%)", ylabel="A before / A after")
    axes.tick_params(labelbottom=True, labelleft=True)
    axes.set_xscale("symlog", linthresh=2)
    axes.set_xticks([-30, -10, -3, 0, 3, 10, 30])
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:+g}" if x else "0")
    axes.set_yscale("log")
    axes.set_yticks([1, 2, 5, 10, 20, 50])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")


def _reach(row: dict[str, Any], name: str, factor: float) -> list[list[float]]:
    """Lengths of the bars to both sides."""
    low, high = (row[name] if v is None else v for v in row[f"{name}_interval"])
    return [[factor * max(0, row[name] - low)], [factor * max(0, high - row[name])]]


def _color(method: str) -> str:
    return f"C{list(MARKERS).index(method) if method in MARKERS else 9}"


def _legend(figure: Figure, axes: Axes, panels: dict[str, Any]) -> None:
    """One legend for all panels, above them."""
    present = {method for points in panels.values() for method, _ in points}
    handles = [
        axes.plot([], [], marker, color=_color(method), label=method)[0]
        for method, marker in MARKERS.items()
        if method in present
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
