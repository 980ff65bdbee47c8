"""The page of a training: one file with plots to look around in, without a network."""

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..measure.series import Series
from . import style
from .history import Curve, History, read_curves, read_histories
from .html import NESTED, facts, links, write_html
from .series_cells import probe_data
from .series_plot import draw_plot, script
from .series_tables import costs, happened, last, with_error
from .spectrum import FLOOR


def write_series_page(series: Series, path: str | Path) -> Path:
    """Write a page that needs nothing but itself.

    :param series: what was measured
    :param path: the page; CSV and JSON files already beside it are linked
    :return: the path
    """
    path = Path(path)
    content = _content(series, path) | _plots(series)
    return write_html("series.html.j2", content, path)


def _content(series: Series, path: Path) -> dict[str, Any]:
    """Everything that the template shows, but the plots."""
    curves = read_curves(series)
    events, notes = happened(series)
    return {
        "model": str(series.summary.get("model") or "model without a name"),
        "subtitle": _subtitle(series),
        "cards": [_card(curve) for curve in curves],
        "events": events,
        "notes": notes,
        "last": [last(curve) for curve in curves],
        "costs": costs(series),
        "facts": facts(series.summary, _others(series)),
        "links": links(path),
        "number": style.number,
    }


def _plots(series: Series) -> dict[str, Any]:
    """One interactive plot per output, and the numbers of every probe."""
    histories = read_histories(series)
    outputs = [h for h in histories if h.kind == "output"]
    # outputs first: they are what one asks for
    ordered = outputs + [h for h in histories if h.kind != "output"]
    groups: dict[str, list[tuple[int, str]]] = {}
    for i, history in enumerate(ordered):
        groups.setdefault(history.group, []).append((i, history.probe))
    plots, drawings = [], []
    for i, curve in enumerate(read_curves(series)):
        any_probe = ordered[0] if ordered else None
        drawings.append(draw_plot(series, any_probe, curve))
        name = f"plot-{i}"
        plots.append({"title": curve.probe, "first": _first(ordered, curve), "name": name})
    return {
        "plots": plots,
        "library": Markup(script()),
        "numbers": _embedded(
            {
                "plots": drawings,
                "probes": [probe_data(series, h) for h in ordered],
                "epochs": series.epochs,
                "floor": FLOOR,
            }
        ),
        "groups": list(groups.items()),
    }


def _embedded(content: dict[str, Any]) -> Markup:
    """JSON that may stand in a script element, whatever it holds."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def _first(ordered: list[History], curve: Curve) -> int:
    """The probe a plot begins with: the output itself."""
    names = (curve.probe, curve.target)
    return next((i for i, h in enumerate(ordered) if h.probe in names), 0)


def _subtitle(series: Series) -> str:
    """Architecture, how often was measured, and until when."""
    parts = [str(series.summary[k]) for k in ("architecture",) if series.summary.get(k)]
    number = len(series.epochs)
    parts.append(f"{number} measurement" + ("" if number == 1 else "s"))
    if number:
        parts.append(f"up to epoch {series.epochs[-1]}")
    parts += [str(series.summary[k]) for k in ("created",) if series.summary.get(k)]
    return " · ".join(parts)


def _card(curve: Curve) -> dict[str, Any]:
    """A before and after."""
    return {
        "title": curve.probe,
        "epoch": int(curve.epochs[-1]),
        "start": int(curve.epochs[0]),
        "before": with_error(curve.A[0], curve.stderr[0]) if len(curve.A) > 1 else "",
        "A": with_error(curve.A[-1], curve.stderr[-1]),
        "structures": curve.structures[-1],
        "percent": 100 * curve.ratio[-1],
        "unit": style.unit(curve.unit),
    }


def _others(series: Series) -> tuple[str, ...]:
    """Everything in the summary but what is shown entry by entry."""
    return tuple(key for key in series.summary if key not in NESTED)
