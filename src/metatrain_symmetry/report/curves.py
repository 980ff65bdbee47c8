"""Errors of the model and of its symmetry over epochs."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from . import style
from .history import Curve, Timeline


# Okabe and Ito, with markers: distinct in greyscale too
COLORS = (style.PROPER, style.PSEUDO, "#009E73", "#CC79A7", style.SECOND, "#56B4E9")
MARKERS = "osD^vP"


def draw_errors(axes: Axes, curves: list[Curve], own: bool, timeline: Timeline) -> None:
    """Draw RMSE and A of one output, or the ratio of the two for several.

    :param axes: where
    :param curves: of the output above or, below layers, of all outputs
    :param own: whether the only curve belongs to what is shown above
    :param timeline: the axis
    """
    known = [curve for curve in curves if curve.has_errors]
    axes.set_yscale("log")
    if len(curves) == 1:
        _absolute(axes, curves[0], timeline, "" if own else curves[0].probe)
    elif known:
        _ratios(axes, known, timeline)
    elif curves:
        # without true values there is no ratio; sizes in different units share no axis
        _absolute(axes, curves[0], timeline, curves[0].probe)
    else:
        axes.set_yticks([])
        _say(axes, "no output was measured")
    axes.grid(axis="y")
    _few_ticks(axes)


def _absolute(axes: Axes, curve: Curve, timeline: Timeline, name: str) -> None:
    """RMSE and A, the latter with a band of one standard error."""
    x = timeline.place(curve.epochs)
    name = style.plain(style.shorten(name, 40)) + "  " * bool(name)
    if curve.has_errors:
        axes.plot(
            x, loggable(curve.rmse), "s-", color=style.LINE, ms=4.5, lw=1.3,
            label=f"{name}RMSE",
        )  # fmt: skip
    A, stderr = loggable(curve.A), np.nan_to_num(curve.stderr)
    axes.plot(
        x, A, "o-", color=style.PROPER, ms=4.5, lw=1.3, label=f"{name}equivariance error A"
    )
    low, high = axes.get_ylim()
    axes.fill_between(
        x, np.maximum(A - stderr, A / 30), A + stderr, color=style.PROPER, alpha=0.22, lw=0,
        label="± standard error",
    )  # fmt: skip
    axes.set_ylim(low, high)
    axes.set_ylabel(f"error ({style.unit(style.plain(curve.unit)) or '1'})")
    if not np.isfinite(A).any():
        _say(axes, "A was never larger than zero")
    elif not curve.has_errors:
        _say(axes, "RMSE unknown: no true values")


def _ratios(axes: Axes, curves: list[Curve], timeline: Timeline) -> None:
    """A over RMSE of several outputs: numbers without a unit."""
    for i, curve in enumerate(curves):
        axes.plot(
            timeline.place(curve.epochs), loggable(curve.ratio), lw=1.3, ms=4.5,
            color=COLORS[i % len(COLORS)], marker=MARKERS[i % len(MARKERS)],
            label=style.plain(style.shorten(curve.probe, 40)),
        )  # fmt: skip
    axes.axhline(1.0, color=style.LINE, lw=1.0, label="A = RMSE")
    axes.set_ylabel("A / RMSE")


def loggable(values: np.ndarray) -> np.ndarray:
    """Leave gaps where a log axis has no place.

    :param values: numbers, ``(epochs,)``
    :return: NaN for what is not finite or not larger than zero
    """
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _say(axes: Axes, text: str) -> None:
    """A remark in the corner."""
    axes.text(
        0.01, 0.05, text, fontsize=8, color=style.PSEUDO, ha="left", va="bottom",
        transform=axes.transAxes,
    )  # fmt: skip


def _few_ticks(axes: Axes) -> None:
    """Numbers beside a log axis, however short its span."""
    low, high = axes.get_ylim()
    decades = np.log10(high / low)
    axes.yaxis.set_minor_formatter(NullFormatter())
    if decades < 2:
        subs = (1.0, 2.0, 5.0) if decades > 0.7 else (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
        axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    else:
        axes.yaxis.set_major_locator(LogLocator(numticks=7))
