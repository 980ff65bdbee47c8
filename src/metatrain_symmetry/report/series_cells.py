"""What an interactive heatmap shows of one probe, as plain lists for JSON."""

import html
import math
from typing import Any

import numpy as np

from ..measure.series import Series
from . import style
from .history import History, Timeline
from .spectrum import RESIDUAL


def probe_data(series: Series, history: History) -> dict[str, Any]:
    """What the page puts into a plot when a probe is chosen.

    :param series: what was measured
    :param history: of the probe
    :return: ``share``, ``stderr`` and ``B`` as lists ``(channels, epochs)`` of three
        digits, empty where not measured or not known; ``rows`` and ``names`` of the
        channels, short and in words; ``marks`` and ``lines`` of transitions
    """
    beyond = f"beyond λ = {history.degree}"
    return {
        "share": _short(history.shares),
        "stderr": _short(history.stderr),
        "B": _short(history.strength),
        "rows": [_row_name(history, name) for name in history.channels],
        "names": [beyond if n == RESIDUAL else n for n in history.channels],
        "marks": _marks(series, history),
        "lines": _lines(series, history),
    }


def _short(values: np.ndarray) -> list[list[float | None]]:
    """Three digits: a page has many numbers."""
    return [[or_none(float(f"{v:.3g}")) for v in row] for row in values]


def or_none(value: float) -> float | None:
    """Prepare a number for JSON, which knows no NaN.

    :param value: any number
    :return: nothing if it is not finite
    """
    return float(value) if math.isfinite(value) else None


def _row_name(history: History, name: str) -> str:
    """Label of a row; the irrep of the target stands out."""
    text = f"> {history.degree}" if name == RESIDUAL else name.replace("-", "−")
    return f"<b>▸ {text}</b>" if name == history.needed else html.escape(text)


def _marks(series: Series, history: History) -> dict[str, list[Any]]:
    """Triangles where a channel jumps."""
    timeline = Timeline.of(series.epochs)
    table = series.events
    own = table[(table["probe"] == history.probe) & table["channel"].isin(history.channels)]
    return {
        "x": [float(timeline.place(epoch)) for epoch in own["epoch"]],
        "y": [history.channels.index(channel) for channel in own["channel"]],
        "symbol": [f"triangle-{'down' if f < 1 else 'up'}" for f in own["factor"]],
        "text": [html.escape(str(text)) for text in own["text"]],
    }


def _lines(series: Series, history: History) -> list[dict[str, Any]]:
    """The same moments beside the errors below."""
    timeline = Timeline.of(series.epochs)
    epochs = series.events["epoch"][series.events["probe"] == history.probe].unique()
    line = {"color": style.PSEUDO, "width": 1, "dash": "dash"}
    return [
        {"type": "line", "xref": "x", "x0": x, "x1": x, "yref": "y domain", "y0": 0,
         "y1": 1, "layer": "below", "line": line, "name": "transition"}
        for x in timeline.place(epochs).tolist()
    ]  # fmt: skip
