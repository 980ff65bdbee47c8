"""The page of a training: one file with plots to look around in, without a network."""

import json
import math
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..measure.series import Series
from . import style
from .history import Curve, History, read_curves, read_histories
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
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    content = _content(series, path) | _plots(series)
    text = environment.get_template("series.html.j2").render(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


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
        "facts": _facts(series.summary),
        "links": _links(path),
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


def _facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Settings and versions, as lines of a list."""
    nested = ("settings", "versions")
    facts = [(k.replace("_", " "), v) for k, v in summary.items() if k not in nested]
    for key in nested:
        facts += [(f"{key}: {name}", v) for name, v in (summary.get(key) or {}).items()]
    return [
        (name, value if isinstance(value, str) else json.dumps(value, default=str))
        for name, value in facts
        if value is not None
    ]


def _links(path: Path) -> list[tuple[str, str]]:
    """Tables that lie beside the page."""
    files = [*path.parent.glob("*.csv"), *path.parent.glob("*.json")]
    return [(quote(f"./{file.name}"), file.name) for file in sorted(files)]
