"""Errors of the model and of its symmetry over epochs."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from . import style
from .errors import Block
from .text import plain, unit
from .timeline import Timeline


# Okabe and Ito, with markers: distinct in greyscale too
COLORS = (style.PROPER, style.PSEUDO, "#009E73", "#CC79A7", style.SECOND, "#56B4E9")
MARKERS = "osD^vP"
LOOK: Any = {"ms": 4.5, "lw": 1.3}


def draw_errors(axes: Axes, blocks: list[Block], own: bool, timeline: Timeline) -> None:
    """Draw RMSE and A of one output, or the ratio of the two for several.

    :param axes: where
    :param blocks: of the output above or, below layers, of all outputs
    :param own: whether the only block belongs to what is shown above
    :param timeline: the axis
    """
    known = [block for block in blocks if block.has_errors]
    axes.set_yscale("log")
    if len(blocks) > 1 and known:
        _ratios(axes, known, timeline)
    elif blocks:
        # without true values there is no ratio; sizes in different units share no axis
        _absolute(axes, blocks[0], timeline, "" if own else blocks[0].label)
    else:
        axes.set_yticks([])
        style.say(axes, "no output was measured", 0.01, 0.05)
    axes.grid(axis="y")
    style.few_ticks(axes.yaxis, axes.get_ylim())


def _absolute(axes: Axes, block: Block, timeline: Timeline, name: str) -> None:
    """RMSE and A, the latter with a band of one standard error."""
    x, name = timeline.place(block["epoch"]), plain(name, 40) + "  " * bool(name)
    if block.has_errors:
        error = style.loggable(block["error"])
        axes.plot(x, error, "s-", color=style.LINE, label=f"{name}RMSE", **LOOK)
    A, stderr = style.loggable(block["A"]), np.nan_to_num(block["A_stderr"])
    label = f"{name}equivariance error A"
    axes.plot(x, A, "o-", color=style.PROPER, label=label, **LOOK)
    limits = axes.get_ylim()
    axes.fill_between(
        x, np.maximum(A - stderr, A / 30), A + stderr, color=style.PROPER, alpha=0.22, lw=0,
        label="± standard error",
    )  # fmt: skip
    axes.set_ylim(limits)
    axes.set_ylabel(f"error ({unit(plain(block.unit)) or '1'})")
    if not np.isfinite(A).any():
        style.say(axes, "A was never larger than zero", 0.01, 0.05)
    elif not block.has_errors:
        style.say(axes, "RMSE unknown: no true values", 0.01, 0.05)


def _ratios(axes: Axes, blocks: list[Block], timeline: Timeline) -> None:
    """A over RMSE of several outputs: numbers without a unit."""
    for i, block in enumerate(blocks):
        axes.plot(
            timeline.place(block["epoch"]), style.loggable(block["A_over_rmse"]),
            color=COLORS[i % len(COLORS)], marker=MARKERS[i % len(MARKERS)],
            label=plain(block.label, 40), **LOOK,
        )  # fmt: skip
    axes.axhline(1.0, color=style.LINE, lw=1.0, label="A = RMSE")
    axes.set_ylabel("A / RMSE")
