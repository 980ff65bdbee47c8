"""Interactive plots of a series, as JSON for plotly.js.

The objects of plotly's Python package would check every number again: the page only takes
the library itself from it.
"""

import html
import math
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from ..measure.series import Series
from . import style
from .curves import loggable
from .heatmap import colormap
from .history import Curve, History, Timeline
from .series_cells import or_none
from .series_tables import with_error
from .spectrum import FLOOR


FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
ROW, CURVES = 17, 210
# style.PROPER, mostly transparent
BAND = "rgba(0, 114, 178, 0.2)"
COMMON: dict[str, Any] = {"type": "scatter", "mode": "lines+markers", "hoverinfo": "text"}


def draw_plot(series: Series, history: History | None, curve: Curve) -> dict[str, Any]:
    """Draw one output: errors, and above a heatmap that the page fills with a probe.

    :param series: what was measured
    :param history: any probe; nothing if none was probed
    :param curve: RMSE and A
    :return: ``data`` and ``layout`` for plotly, as plain lists and numbers
    """
    timeline = Timeline.of(series.epochs)
    traces = _heat(history, timeline) if history else []
    return {
        "data": [*traces, *_errors(curve, timeline)],
        "layout": _layout(history, curve, timeline),
    }


def script() -> str:
    """Return plotly.js itself, minified."""
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    return text


def _heat(history: History, timeline: Timeline) -> list[dict[str, Any]]:
    """Cells, grey where nothing was measured, and transitions: the page fills all."""
    decades = range(round(math.log10(FLOOR)), 1, 2)
    cells = {
        "type": "heatmap", "x": timeline.edges.tolist(), "xgap": 1, "ygap": 1,
        "y": [i - 0.5 for i in range(len(history.channels) + 1)], "hoverinfo": "text",
        "hoverongaps": False, "yaxis": "y2", "zmax": 0, "texttemplate": "%{text}",
        "z": np.full(history.shares.shape, None).tolist(), "textfont": {"size": 9},
    }  # fmt: skip
    scale = [[i / 32, to_hex(colormap()(i / 32))] for i in range(33)]
    bar = {
        "orientation": "h", "y": 1.015, "yanchor": "bottom", "thickness": 9, "len": 1.0,
        "outlinewidth": 0, "tickvals": list(decades), "ypad": 4, "xpad": 0,
        "ticktext": [f"10{str(d).translate(style.RAISED)}" for d in decades],
        "title": {"text": "share of the mean square  B / ⟨|h|²⟩", "side": "top"},
    }  # fmt: skip
    shown = {"zmin": math.log10(FLOOR), "colorscale": scale, "colorbar": bar}
    grey = [[0, style.MISSING], [1, style.MISSING]]
    gone = {"zmin": -1, "colorscale": grey, "showscale": False}
    marks = {
        "type": "scatter", "mode": "markers", "x": [], "y": [], "hoverinfo": "text",
        "yaxis": "y2", "showlegend": False,
        "marker": {"size": 15, "color": style.PSEUDO,
                   "line": {"color": "white", "width": 1.5}},
    }  # fmt: skip
    return [cells | shown, cells | gone, marks]


def _errors(curve: Curve, timeline: Timeline) -> list[dict[str, Any]]:
    """RMSE, A, and a band of one standard error; a bound where A is within its error."""
    x = timeline.place(curve.epochs)
    bound, known = curve.bound, np.isfinite(curve.stderr)
    bounded = np.isfinite(bound)
    A = loggable(np.where(bounded, bound, curve.A))
    lines = [_band(x, A, curve.stderr, np.isfinite(A) & known & ~bounded)]
    symbols = np.where(
        bounded, "triangle-down-open", np.where(known, "circle", "circle-open")
    )
    lines.append(
        COMMON
        | {
            "x": x.tolist(), "y": [or_none(v) for v in A],
            "name": "A ± standard error" if known.any() else "A (no error bar)",
            "marker": {"symbol": symbols.tolist(), "size": 7},
            "line": {"color": style.PROPER}, "hovertext": _notes("A", curve),
        }
    )  # fmt: skip
    return [*lines, *_rmse(curve, x)]


def _rmse(curve: Curve, x: np.ndarray) -> list[dict[str, Any]]:
    """RMSE of the structures of A, and of all watched ones where it is known."""
    found: list[tuple[str, str, np.ndarray, dict[str, Any]]] = []
    if curve.has_errors:
        numbers = sorted(set(curve.structures[np.isfinite(curve.structures)].astype(int)))
        many = "–".join(map(str, dict.fromkeys([*numbers[:1], *numbers[-1:]])))
        same = "structure" if many == "1" else f"{many} structures"
        name = f"RMSE of the same {same}"
        look: dict[str, Any] = {"line": {"color": style.LINE}}
        found.append((name, "RMSE", curve.rmse, look | {"marker": {"symbol": "square"}}))
    others = np.isfinite(curve.rmse_all) & (curve.n_all != curve.structures)
    if others.any():
        name = f"RMSE of all {int(curve.n_all[others].max())} watched structures"
        look = {"line": {"color": style.RESIDUAL, "dash": "dot"}, "marker": {"size": 4}}
        found.append((name, "RMSE of all", np.where(others, curve.rmse_all, np.nan), look))
    return [
        COMMON
        | look
        | {"x": x.tolist(), "y": [or_none(v) for v in loggable(values)], "name": name,
           "hovertext": _notes(key, curve)}
        for name, key, values, look in found
    ]  # fmt: skip


def _band(
    x: np.ndarray, A: np.ndarray, stderr: np.ndarray, whole: np.ndarray
) -> dict[str, Any]:
    """One standard error about A, where both are known."""
    low = np.maximum(A - stderr, A / 30)[whole]
    high = (A + stderr)[whole]
    return {
        "type": "scatter", "mode": "lines", "line": {"width": 0}, "fill": "toself",
        "x": [*x[whole].tolist(), *x[whole][::-1].tolist()],
        "y": [*high.tolist(), *low[::-1].tolist()],
        "fillcolor": BAND, "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip


def _notes(name: str, curve: Curve) -> list[str]:
    """Numbers of each point, with their unit."""
    unit = html.escape(style.unit(curve.unit))
    values = {
        "A": [with_error(*pair) for pair in zip(curve.A, curve.stderr, strict=True)],
        "RMSE": [style.number(v) for v in curve.rmse],
        "RMSE of all": [style.number(v) for v in curve.rmse_all],
    }[name]
    texts = []
    for i, epoch in enumerate(curve.epochs):
        text = f"<b>{name}</b>, epoch {int(epoch)}<br>{values[i]} {unit}"
        if math.isfinite(curve.ratio[i]) and name != "RMSE of all":
            text += f"<br>A / RMSE = {style.number(curve.ratio[i])}"
        texts.append(text)
    return texts


def _layout(history: History | None, curve: Curve, timeline: Timeline) -> dict[str, Any]:
    """Two panels, one time axis."""
    rows = len(history.channels) if history else 0
    heat = ROW * rows
    inner = CURVES + (heat + 18 if heat else 0)
    ticks = timeline.ticks(0.022)
    unit = html.escape(style.unit(curve.unit)) or "1"
    axis = {"zeroline": False, "fixedrange": False, "automargin": False}
    layout: dict[str, Any] = {
        "height": inner + 158, "margin": {"l": 66, "r": 12, "t": 70, "b": 88},
        "font": {"family": FONT, "size": 12, "color": "#1d2329"}, "hovermode": "closest",
        "paper_bgcolor": "white", "plot_bgcolor": "white", "dragmode": "zoom",
        "hoverlabel": {"bgcolor": "#1d2329", "font": {"color": "white"}, "align": "left"},
        "legend": {"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom",
                   "x": 0.5, "xanchor": "center"},
        "xaxis": axis | {
            "range": [timeline.edges[0], timeline.edges[-1]], "showgrid": False,
            "tickvals": timeline.place(ticks).tolist(), "ticktext": [str(t) for t in ticks],
            "ticks": "outside", "linecolor": style.LINE, "anchor": "y",
            "title": {"text": "completed epochs" + " (log)" * timeline.logarithmic,
                      "standoff": 8},
        },
        "yaxis": axis | {
            "type": "log", "domain": [0, CURVES / inner], "gridcolor": "#dddddd",
            "linecolor": style.LINE, "tickformat": "~g", "dtick": _spacing(curve),
            "title": {"text": f"error ({unit})", "standoff": 6},
        },
    }  # fmt: skip
    if history:
        rows_axis = {"domain": [1 - heat / inner, 1], "range": [-0.5, rows - 0.5],
                     "tickvals": list(range(rows))}  # fmt: skip
        look = {"anchor": "x", "showgrid": False, "tickfont": {"size": 10.5}}
        layout["yaxis2"] = axis | rows_axis | look
        layout["shapes"] = _separators(history)
    return layout


def _separators(history: History) -> list[dict[str, Any]]:
    """White lines between proper irreps, pseudo irreps and the residual."""
    size = history.degree + 1
    common = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y2",
              "line": {"color": "white", "width": 4}}  # fmt: skip
    places = (size - 0.5, 2 * size - 0.5)
    return [common | {"y0": y, "y1": y} for y in places if y < len(history.channels) - 1]


def _spacing(curve: Curve) -> str | int:
    """Labels at 1, 2, 5 within a few decades, else at the decades."""
    seen = style.positive([*curve.A, *curve.rmse])
    few = not len(seen) or seen.max() / seen.min() < 300
    return "D2" if few else 1
