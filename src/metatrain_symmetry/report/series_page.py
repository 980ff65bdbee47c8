"""The page of a training: one file with plots to look around in, without a network."""

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..measure.series import Series
from . import text
from .errors import Block, series_blocks
from .html import NESTED, facts, write_html
from .probes import Probe, Spectra, series_spectra
from .series_plot import draw_plot, probe_data, script
from .series_tables import LAST, card, costs, happened, last
from .timeline import Timeline


def write_series_page(series: Series, path: str | Path) -> Path:
    """Write a page that needs nothing but itself.

    :param series: what was measured
    :param path: the page; CSV and JSON files already beside it are linked
    :return: the path
    """
    blocks, spectra = series_blocks(series), series_spectra(series)
    events, notes = happened(series, {probe.name for probe in spectra.outputs})
    others = tuple(key for key in series.summary if key not in NESTED)
    content = {
        "model": str(series.summary.get("model") or "model without a name"),
        "subtitle": _subtitle(series),
        "cards": [card(block) for block in blocks],
        "events": events,
        "notes": notes,
        "last": (LAST, [last(block) for block in blocks]),
        "costs": costs(series),
        "facts": facts(series.summary, others),
        "descriptions": {},
    }
    content |= _plots(series, spectra, blocks) if blocks else {"plots": []}
    return write_html("series.html.j2", content, path)


def _plots(series: Series, spectra: Spectra, blocks: list[Block]) -> dict[str, Any]:
    """One interactive plot per output, and the numbers of every probe."""
    # outputs first: they are what one asks for
    ordered = sorted(spectra.probes, key=lambda probe: not probe.block)
    timeline = Timeline.of(series.epochs)
    groups: dict[str, list[tuple[int, str]]] = {}
    for i, probe in enumerate(ordered):
        groups.setdefault(probe.group, []).append((i, probe.name))
    return {
        "plots": [
            {"title": block.label, "first": _first(ordered, block), "name": f"plot-{i}"}
            for i, block in enumerate(blocks)
        ],
        "library": Markup(script()),
        "numbers": _embedded(
            {
                "plots": [draw_plot(spectra, block, timeline) for block in blocks],
                "probes": [probe_data(series, spectra, p, timeline) for p in ordered],
                "epochs": series.epochs,
            }
        ),
        "groups": list(groups.items()),
    }


def _embedded(content: dict[str, Any]) -> Markup:
    """JSON that may stand in a script element, whatever it holds."""
    found = json.dumps(content, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        found = found.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(found)


def _first(ordered: list[Probe], block: Block) -> int:
    """The probe a plot begins with: the output itself."""
    blocks = [probe.block for probe in ordered]
    return blocks.index(block.key) if block.key in blocks else 0


def _subtitle(series: Series) -> str:
    """Architecture, how often was measured, and until when."""
    summary, epochs = series.summary, series.epochs
    parts = [str(summary.get("architecture") or ""), text.count(len(epochs), "measurement")]
    parts.append(f"up to epoch {epochs[-1]}" if epochs else "")
    parts.append(str(summary.get("created") or ""))
    return " · ".join(filter(None, parts))
