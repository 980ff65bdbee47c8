"""The plotly painter of cells, and the errors below them, as JSON for plotly.js.

The objects of plotly's Python package would check every number again: the page only takes
the library itself from it.
"""

import html
import math
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from ..measure.series import Series
from . import style, text
from .errors import Block
from .probes import Probe, Spectra
from .shares import COLORMAP, FLOOR_EXPONENT
from .timeline import Timeline


FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
ROW, CURVES = 17, 210
# style.PROPER, mostly transparent
BAND = "rgba(0, 114, 178, 0.2)"
COMMON: dict[str, Any] = {"type": "scatter", "mode": "lines+markers", "hoverinfo": "text"}


def script() -> str:
    """Return plotly.js itself, minified."""
    from plotly.offline import get_plotlyjs

    library: str = get_plotlyjs()
    return library


def probe_data(
    series: Series, spectra: Spectra, probe: Probe, timeline: Timeline
) -> dict[str, Any]:
    """What the page puts into a plot when a probe is chosen.

    :param series: what was measured
    :param spectra: of all probes
    :param probe: one of them
    :param timeline: the axis
    :return: ``z`` (decade of the share, empty where not measured), ``signs`` and ``tips``
        as lists ``(channels, epochs)``; ``rows`` and ``names`` of the channels, short and
        in words; ``marks`` of transitions
    """
    cells, needed = probe.cells, spectra.needed(probe)
    names = [html.escape(label) for panel in spectra.panels for label in panel.labels]
    rows = [f"<b>▸ {n}</b>" if i == needed else n for i, n in enumerate(names)]
    decades = np.round((1 - cells.level) * FLOOR_EXPONENT, 3)
    return {
        "z": [_numbers(row) for row in decades],
        "signs": cells.signs.tolist(),
        "tips": cells.tips.tolist(),
        "rows": [row.replace("-", "−") for row in rows],
        "names": names,
        "marks": _marks(series, spectra, probe, timeline),
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    """For JSON, which knows no NaN."""
    return [float(value) if math.isfinite(value) else None for value in values]


def _marks(
    series: Series, spectra: Spectra, probe: Probe, timeline: Timeline
) -> dict[str, Any]:
    """Triangles where a channel jumps."""
    events = series.events[series.events["probe"] == probe.name]
    own = events[events["channel"].isin(spectra.channels)]
    return {
        "x": timeline.place(own["epoch"].astype(float)).tolist(),
        "y": [spectra.channels.index(channel) for channel in own["channel"]],
        "symbol": [f"triangle-{'down' if f < 1 else 'up'}" for f in own["factor"]],
        "text": [html.escape(str(words)) for words in own["text"]],
    }


def draw_plot(spectra: Spectra, block: Block, timeline: Timeline) -> dict[str, Any]:
    """Draw one output: errors, and above a heatmap that the page fills with a probe.

    :param spectra: of all probes; may be none
    :param block: RMSE and A
    :param timeline: the axis
    :return: ``data`` and ``layout`` for plotly, as plain lists and numbers
    """
    cells = _heat(spectra, timeline) if spectra.probes else []
    errors = [*_errors(block, timeline), *_rmse(block, timeline)]
    return {"data": [*cells, *errors], "layout": _layout(spectra, block, timeline)}


def _heat(spectra: Spectra, timeline: Timeline) -> list[dict[str, Any]]:
    """Cells, grey where nothing was measured, and transitions: the page fills all."""
    decades = range(FLOOR_EXPONENT, 1, 2)
    cells = {
        "type": "heatmap", "x": timeline.edges.tolist(), "xgap": 1, "ygap": 1,
        "y": [i - 0.5 for i in range(len(spectra.channels) + 1)], "hoverinfo": "text",
        "hoverongaps": False, "yaxis": "y2", "zmax": 0, "texttemplate": "%{text}",
        "z": [[None] * len(timeline.epochs)] * len(spectra.channels),
        "textfont": {"size": 9},
    }  # fmt: skip
    bar = {
        "orientation": "h", "y": 1.015, "yanchor": "bottom", "thickness": 9, "len": 1.0,
        "outlinewidth": 0, "tickvals": list(decades), "ypad": 4, "xpad": 0,
        "ticktext": [f"10{str(d).translate(text.RAISED)}" for d in decades],
        "title": {"text": "share of the mean square  B / ⟨|h|²⟩", "side": "top"},
    }  # fmt: skip
    scale = [[i / 32, to_hex(COLORMAP(i / 32))] for i in range(33)]
    shown = {"zmin": FLOOR_EXPONENT, "colorscale": scale, "colorbar": bar}
    grey = [[0, style.MISSING], [1, style.MISSING]]
    gone = {"zmin": -1, "colorscale": grey, "showscale": False}
    marks = {
        "type": "scatter", "mode": "markers", "x": [], "y": [], "hoverinfo": "text",
        "yaxis": "y2", "showlegend": False,
        "marker": {"size": 15, "color": style.PSEUDO,
                   "line": {"color": "white", "width": 1.5}},
    }  # fmt: skip
    return [cells | shown, cells | gone, marks]


def _errors(block: Block, timeline: Timeline) -> list[dict[str, Any]]:
    """A and a band of one standard error; a bound where A is within its error."""
    x, A, stderr = timeline.place(block["epoch"]), block["A"], block["A_stderr"]
    known, bounded = np.isfinite(stderr), 2 * stderr >= A
    A = style.loggable(np.where(bounded, A + 2 * stderr, A))
    whole = np.isfinite(A) & known & ~bounded
    low, high = (values[whole] for values in (np.maximum(A - stderr, A / 30), A + stderr))
    band = {
        "type": "scatter", "mode": "lines", "line": {"width": 0}, "fill": "toself",
        "x": [*x[whole].tolist(), *x[whole][::-1].tolist()],
        "y": [*high.tolist(), *low[::-1].tolist()],
        "fillcolor": BAND, "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip
    exact = np.where(known, "circle", "circle-open")
    symbols = np.where(bounded, "triangle-down-open", exact)
    words = [text.measured(*pair) for pair in zip(block["A"], stderr, strict=True)]
    line = COMMON | {
        "x": x.tolist(), "y": _numbers(A), "line": {"color": style.PROPER},
        "name": "A ± standard error" if known.any() else "A (no error bar)",
        "marker": {"symbol": symbols.tolist(), "size": 7},
        "hovertext": _notes("A", words, block, block["A_over_rmse"]),
    }  # fmt: skip
    return [band, line]


def _rmse(block: Block, timeline: Timeline) -> list[dict[str, Any]]:
    """RMSE of the structures of A, and of all watched ones where it is known."""
    structures, ratio = block["n_structures"], block["A_over_rmse"]
    found: list[dict[str, Any]] = []

    def add(name: str, key: str, values: np.ndarray, note: np.ndarray, **look: Any) -> None:
        words = [text.number(value) for value in values]
        line = {"x": timeline.place(block["epoch"]).tolist(), "name": name,
                "y": _numbers(style.loggable(values)),
                "hovertext": _notes(key, words, block, note)}  # fmt: skip
        found.append(COMMON | look | line)

    if block.has_errors:
        numbers = sorted(set(structures[np.isfinite(structures)].astype(int)))
        many = "–".join(map(str, dict.fromkeys([*numbers[:1], *numbers[-1:]])))
        same = "structure" if many == "1" else f"{many} structures"
        name = f"RMSE of the same {same}"
        look: dict[str, Any] = {"marker": {"symbol": "square"}}
        add(name, "RMSE", block["error"], ratio, line={"color": style.LINE}, **look)
    others = np.isfinite(block["rmse_all"]) & (block["n_all"] != structures)
    if others.any():
        name = f"RMSE of all {int(block['n_all'][others].max())} watched structures"
        values = np.where(others, block["rmse_all"], np.nan)
        look = {"line": {"color": style.RESIDUAL, "dash": "dot"}, "marker": {"size": 4}}
        add(name, "RMSE of all", values, np.full(len(ratio), np.nan), **look)
    return found


def _notes(name: str, words: list[str], block: Block, ratio: np.ndarray) -> list[str]:
    """Numbers of each point, with their unit."""
    unit = html.escape(text.unit(block.unit))
    return [
        f"<b>{name}</b>, epoch {int(epoch)}<br>{value} {unit}"
        + (f"<br>A / RMSE = {text.number(part)}" if math.isfinite(part) else "")
        for epoch, value, part in zip(block["epoch"], words, ratio, strict=True)
    ]


def _layout(spectra: Spectra, block: Block, timeline: Timeline) -> dict[str, Any]:
    """Two panels, one time axis."""
    rows = len(spectra.channels) if spectra.probes else 0
    heat = ROW * rows
    inner = CURVES + (heat + 18 if heat else 0)
    ticks = timeline.ticks(0.022)
    unit = html.escape(text.unit(block.unit)) or "1"
    axis = {"zeroline": False, "fixedrange": False, "automargin": False}
    seen = style.positive([*block["A"], *block["error"]])
    few = not len(seen) or seen.max() / seen.min() < 300
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
            "title": {"text": timeline.title, "standoff": 8},
        },
        # labels at 1, 2, 5 within a few decades, else at the decades
        "yaxis": axis | {
            "type": "log", "domain": [0, CURVES / inner], "gridcolor": "#dddddd",
            "linecolor": style.LINE, "tickformat": "~g", "dtick": "D2" if few else 1,
            "title": {"text": f"error ({unit})", "standoff": 6},
        },
    }  # fmt: skip
    if rows:
        layout["yaxis2"] = axis | {
            "domain": [1 - heat / inner, 1], "range": [-0.5, rows - 0.5], "anchor": "x",
            "tickvals": list(range(rows)), "showgrid": False, "tickfont": {"size": 10.5},
        }  # fmt: skip
        layout["shapes"] = _separators(spectra)
    return layout


def _separators(spectra: Spectra) -> list[dict[str, Any]]:
    """White lines between the panels: proper irreps, pseudo irreps and the residual."""
    common = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y2",
              "line": {"color": "white", "width": 4}}  # fmt: skip
    edges = [part.start - 0.5 for _, part in spectra.parts[1:]]
    return [common | {"y0": y, "y1": y} for y in edges]
