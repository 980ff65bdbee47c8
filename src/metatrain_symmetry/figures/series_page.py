"""The page of a training: one file with plots to look around in, without a network."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from ..measure.series import Series
from . import style
from .history import Curve, History, read_curves, read_histories
from .html import NESTED, facts, links, write_html
from .series_cells import probe_data
from .series_plot import draw_plot, script
from .spectrum import FLOOR


# measured columns, in words
COLUMNS = {"n_structures": "structures", "n_grid": "structures on a grid"}


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
    return {
        "model": str(series.summary.get("model") or "model without a name"),
        "subtitle": _subtitle(series),
        "cards": [_card(curve) for curve in curves],
        "events": _texts(series, "events", "text"),
        "notes": _texts(series, "measurements", "note"),
        "last": [_last(curve) for curve in curves],
        "costs": _costs(series),
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
    plots = []
    for i, curve in enumerate(read_curves(series)):
        first = _first(ordered, curve)
        any_probe = ordered[0] if ordered else None
        division = Markup(draw_plot(series, any_probe, curve, f"plot-{i}"))
        plots.append({"title": curve.probe, "first": first, "division": division})
    return {
        "plots": plots,
        "library": Markup(script()),
        "probes": [probe_data(series, h) for h in ordered],
        "epochs": series.epochs,
        "floor": FLOOR,
        "groups": list(groups.items()),
    }


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
        "before": curve.A[0] if len(curve.A) > 1 else math.nan,
        "A": curve.A[-1],
        "percent": 100 * curve.ratio[-1],
        "unit": style.unit(curve.unit),
    }


def _texts(series: Series, table: str, column: str) -> list[tuple[int, str]]:
    """Words with the epoch they are about; a repeated one once."""
    rows = getattr(series, table)
    rows = rows[rows[column].notna() & (rows[column] != "")]
    rows = rows.drop_duplicates(column).sort_values("epoch", kind="stable")
    return [(int(e), str(t)) for e, t in zip(rows["epoch"], rows[column], strict=True)]


def _last(curve: Curve) -> dict[str, Any]:
    """The last measurement of one output."""
    return {
        "target": curve.target,
        "irrep": str(curve.irrep),
        "epoch": int(curve.epochs[-1]),
        "A": curve.A[-1],
        "stderr": curve.stderr[-1],
        "rmse": curve.rmse[-1],
        "percent": 100 * curve.ratio[-1],
        "norm_ratio": curve.norm_ratio[-1],
        "unit": style.unit(curve.unit),
    }


def _costs(series: Series) -> list[dict[str, float]]:
    """What each measurement cost, and all so far beside the whole training."""
    table = series.measurements.sort_values("epoch")
    apart = ("epoch", "training_seconds", "note")
    columns = [str(c) for c in table.columns if c not in apart]
    values = {c: table[c].to_numpy(dtype=float, na_value=math.nan) for c in columns}
    training = table["training_seconds"].to_numpy(dtype=float, na_value=math.nan)
    spent = np.nancumsum(values["seconds"])
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = np.where(training > 0, 100 * spent / training, math.nan)
    return [
        {
            "epoch": int(epoch),
            **{COLUMNS.get(c, c.replace("_", " ")): values[c][i] for c in columns},
            "so far, % of the training": percent[i],
        }
        for i, epoch in enumerate(table["epoch"])
    ]


def _others(series: Series) -> tuple[str, ...]:
    """Everything in the summary but what is shown entry by entry."""
    return tuple(key for key in series.summary if key not in NESTED)
