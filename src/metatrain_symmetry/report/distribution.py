"""Equivariance error against the error of the model, over structures."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from ..measure.results import Report
from ..measure.words import worded
from . import style
from .errors import Block, report_blocks
from .text import number, plain, unit


COLUMNS = 4
MANY = 2000
FEW = 8
"""Fewer structures than this are drawn one by one, without bins."""


@style.context()
def draw_distribution(report: Report) -> Figure | None:
    """Draw two panels per block: A against the error, and their ratio.

    :param report: what was measured
    :return: the figure; nothing without outputs
    """
    blocks = report_blocks(report)
    if not blocks:
        return None
    columns = min(len(blocks), COLUMNS)
    rows = math.ceil(len(blocks) / columns)
    known = any(block.has_errors for block in blocks)
    title = "How far from equivariant, beside " + (
        "how far from the truth" if known else "the size of the prediction"
    )
    figure = style.new_figure(
        max(3.2 * columns, 7.5), 5.4 * rows, title, style.describe(report)
    )
    grid = figure.subplots(
        2 * rows, columns, squeeze=False, gridspec_kw={"height_ratios": [1.35, 1] * rows}
    )
    for i in range(rows * columns):
        pair = grid[2 * (i // columns) : 2 * (i // columns) + 2, i % columns]
        if i < len(blocks):
            _draw_block(pair[0], pair[1], blocks[i])
            for axes in pair:
                axes.set_ylabel(worded(axes.get_ylabel(), report.summary))
        else:
            for axes in pair:
                axes.remove()
    style.shared_legend(figure)
    return figure


def _draw_block(top: Axes, bottom: Axes, block: Block) -> None:
    """Both panels of one block."""
    title = f"{plain(block.target, 28)}  {block.key.irrep}"
    top.set_title(title, loc="left", fontweight="bold", fontsize=9.5)
    if not np.isfinite(block["A"]).any():
        for axes in (top, bottom):
            axes.text(0.5, 0.5, "no values", ha="center", transform=axes.transAxes)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        return
    if block.has_errors:
        _scatter(top, block)
    else:
        _histograms(top, block)
    _ratio(bottom, block)


def _scatter(axes: Axes, block: Block) -> None:
    """A against the error; a zero sits on the edge as a triangle."""
    known = np.isfinite(block["A"]) & np.isfinite(block["error"])
    A, error = block["A"][known], block["error"][known]
    floor, left = _floor([*A, *block["noise"]]), _floor(error)
    seen = (A > 0) & (error > 0)
    axes.scatter(
        error[seen], A[seen], s=16, alpha=0.65, lw=0, color=style.PROPER,
        rasterized=len(A) > MANY, label="one structure",
    )  # fmt: skip
    if not seen.all():
        note = f"A or error is 0: {np.sum(~seen)} of {len(seen)}"
        style.say(axes, note, 0.99, 0.98)
        axes.scatter(
            np.maximum(error[~seen], left), np.maximum(A[~seen], floor), s=26, marker="v",
            color=style.PSEUDO, label="A or error is 0: drawn at the edge",
        )  # fmt: skip
    ends = np.maximum([*error, left], left)
    span = np.array([ends.min() / 2, ends.max() * 2])
    axes.plot(span, span, color=style.LINE, lw=1, label="A = |error|")
    axes.plot(span, span / 10, color=style.LINE, lw=1, ls="--", label="A = 10 % of |error|")
    _error_bars(axes, error, A, block["A_stderr"][known])
    _noise(axes, block, upright=False)
    axes.set(xscale="log", yscale="log", xlim=span)
    style.few_ticks(axes.xaxis, axes.get_xlim())
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.set_xlabel(f"|error| of the model{_unit(block)}")
    axes.set_ylabel(f"equivariance error A{_unit(block)}")


def _error_bars(axes: Axes, x: np.ndarray, A: np.ndarray, stderr: np.ndarray) -> None:
    """One standard error, where it is known and can be seen; few structures only."""
    seen = np.isfinite(stderr) & (stderr > 0) & (A > 0) & (x > 0)
    if seen.any() and len(A) <= 10 * FEW:
        low = np.minimum(stderr[seen], 0.9 * A[seen])
        axes.errorbar(
            x[seen], A[seen], yerr=[low, stderr[seen]], fmt="none", ecolor=style.PROPER,
            elinewidth=1, label="± standard error of A",
        )  # fmt: skip


def _histograms(axes: Axes, block: Block) -> None:
    """Without errors: A beside the size of the prediction."""
    bins = _bins(np.concatenate([block["A"], block["norm"]]))
    axes.set_xscale("log")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    for column, color, label in (
        ("norm", style.SECOND, "size of the prediction"),
        ("A", style.PROPER, "A"),
    ):
        values = style.positive(block[column])
        axes.hist(values.tolist(), bins, color=color, alpha=0.7, label=label)
    zeros = int(np.sum(block["A"] == 0))
    if zeros:
        style.say(axes, f"A is 0, not shown: {zeros} of {len(block['A'])}", 0.99, 0.98)
    _noise(axes, block, upright=True)
    axes.set_xlabel(f"A, root mean square prediction{_unit(block)}")
    axes.set_ylabel("structures")


def _ratio(axes: Axes, block: Block) -> None:
    """Distribution of the ratio, with its median written."""
    percent = 100 * block.ratio
    shown = style.positive(percent)
    axes.set_xscale("log")
    if len(shown):
        # room on both sides, also around a single value
        axes.set_xlim(shown.min() / 1.8, shown.max() * 1.8)
    if len(shown) >= FEW:
        axes.hist(shown.tolist(), _bins(shown), color=style.PROPER, alpha=0.75)
        axes.set_ylabel("structures")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    else:
        axes.plot(np.sort(shown), np.arange(len(shown)) + 1, "o", color=style.PROPER)
        axes.set(ylim=(0, len(shown) + 1), yticks=[], ylabel="structures, sorted")
    below = "|error|" if block.has_errors else "size of the prediction"
    axes.set_xlabel(f"A / {below}  (%)")
    style.few_ticks(axes.xaxis, axes.get_xlim())
    if len(percent):
        _write_median(axes, percent, len(shown))


def _write_median(axes: Axes, percent: np.ndarray, shown: int) -> None:
    """A line at the median, and the number above the panel."""
    median = float(np.median(percent))
    text = "median " * (len(percent) > 1) + f"{number(median)} %"
    if shown < len(percent):
        text += f"\n{len(percent) - shown} at 0 or ∞, not shown"
    if math.isfinite(median) and median > 0:
        axes.axvline(median, color=style.PSEUDO, lw=1.8)
    axes.set_title(text, loc="left", fontsize=9, color=style.PSEUDO, fontweight="bold")


def _noise(axes: Axes, block: Block, upright: bool) -> None:
    """The floor of A from rounding: a line if it is near, a remark if it is far below."""
    known, A = style.positive(block["noise"]), style.positive(block["A"])
    if not len(known):
        return
    noise = float(np.median(known))
    if len(A) and noise < A.min() / 30:
        if not upright:
            text = f"rounding: {number(noise)} {plain(unit(block.unit))}"
            style.say(axes, text, 0.98, 0.02, color=style.RESIDUAL, fontsize=7.5)
        return
    look: Any = {"color": style.RESIDUAL, "lw": 1.2, "ls": ":", "label": "rounding"}
    _ = axes.axvline(noise, **look) if upright else axes.axhline(noise, **look)


def _floor(values: Any) -> float:
    """Where zeros are drawn: below everything else."""
    return float(min(style.positive(values), default=3e-12) / 3)


def _bins(values: np.ndarray) -> list[float]:
    """Equal widths on the log axis, also for one value or none."""
    known = style.positive(values)
    if not len(known):
        return [0.1, 1.0, 10.0]
    size = int(np.clip(2 * math.sqrt(len(known)), 5, 40))
    edges = np.geomspace(known.min() / 1.3, known.max() * 1.3, size + 1)
    return [float(edge) for edge in edges]


def _unit(block: Block) -> str:
    """The unit, as the axis shows it."""
    return f"  ({plain(unit(block.unit))})" if block.unit else "  (arbitrary unit)"
