"""The page: one file with everything, readable without a network."""

import base64
import math
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ..measure.quantities import SPECTRUM_NOTE, quantities_table
from ..measure.results import Report
from . import style
from .blocks import Block, read_blocks
from .cards import cards
from .cells import legend, row, say_share
from .html import facts, links, write_html
from .spectrum import Spectrum, largest_degree, read_spectra


CAPTIONS = {
    "network": (
        "The network",
        "Every box is one place in the network, from the geometry of the edges to the "
        "predictions, nodes and edges apart. Its cells are the shares of the irreps: upper "
        "row proper (λ,+), lower row pseudo (λ,−), λ from left to right. Follow the arrows "
        "to see where the irrep of a target, outlined at the end, first appears and "
        "whether the others are filtered out again.",
    ),
    "distribution": (
        "Equivariance errors",
        "Top: each point is one structure. Below the solid line, rotating the structure "
        "changes the prediction by less than the prediction is wrong; below the dashed "
        "line, by less than a tenth. Bottom: the ratio of the two over the structures, "
        "with its median. Where the true values are unknown, A stands beside the size of "
        "the prediction instead.",
    ),
    "spectrum": (
        "Spectrum of the predictions",
        "Share of every irrep (λ,σ) in the mean square of a prediction, as the structure "
        "is rotated and inverted. A symmetric model has weight in the yellow bands only. "
        f"The hatched bar is the residual, beyond the largest λ. {SPECTRUM_NOTE}",
    ),
    "heatmap": ("Every probe, every irrep", ""),
}
LINKED = "heatmap"
"""Shown as a table that one can point at; the figure is linked."""

MAIN = (
    "A", "error", "averaged error", "share of the squared error", "norm", "B", "share",
    "residual",
)  # fmt: skip
"""Quantities that are explained in view; the others are folded away."""

TABLES = {
    "equivariance.csv": "A and errors of every structure",
    "equivariance_per_atom.csv": "the same for every atom",
    "characters.csv": "spectra of all probes",
    "summary.json": "settings, averages, diagnosis",
}

FACTS = (
    "architecture", "state_text", "structures", "n_structures", "plan", "lambda_max",
    "estimator",
    "grid_degree", "dtype", "evaluations", "seconds", "created",
)  # fmt: skip


def write_page(report: Report, path: str | Path, figures: dict[str, Path]) -> Path:
    """Write a page that needs nothing but itself.

    :param report: what was measured
    :param path: the page; CSV and JSON files already beside it are linked
    :param figures: SVG or PNG files by name, as returned by ``draw_report``
    :return: the path
    """
    path = Path(path)
    return write_html("report.html.j2", _content(report, path, figures), path)


def _content(report: Report, path: Path, figures: dict[str, Path]) -> dict[str, Any]:
    """Everything that the template shows."""
    spectra = read_spectra(report)
    blocks = read_blocks(report)
    degree = largest_degree(spectra)
    table = figures.get(LINKED)
    return {
        "model": str(report.summary.get("model") or "model without a name"),
        "subtitle": _subtitle(report),
        "cards": cards(report),
        "convergence": _convergence(report, spectra),
        "figures": [
            _figure(name, Path(file), path)
            for name, file in figures.items()
            if name != LINKED
        ],
        "table_files": _files(Path(table), path) if table else [],
        "quantities": [
            [q for q in quantities_table() if (q["name"] in MAIN) == main]
            for main in (True, False)
        ],
        "degrees": range(degree + 1),
        "groups": list(dict.fromkeys(s.group for s in spectra)),
        "rows": [row(s, degree) for s in spectra],
        "scale": legend(),
        "medians": [_median(block) for block in blocks],
        "characters": [(s, c) for s in spectra for c in s.channels.values() if c.known],
        "say_share": say_share,
        "facts": facts(report.summary, FACTS),
        "links": [(to, name, TABLES.get(name, "")) for to, name in links(path)],
        "number": style.number,
        "exact": lambda value: "" if math.isnan(value) else repr(float(value)),
    }


def _subtitle(report: Report) -> str:
    """Architecture, state, structures and date, as far as known."""
    summary = report.summary
    names = ("architecture", "state_text", "structures")
    parts = [str(summary[key]) for key in names if summary.get(key)]
    if summary.get("n_structures") is not None:
        number, done = summary["n_structures"], summary.get("n_measured")
        text = f"{number} structure" + ("" if number == 1 else "s")
        partly = done is not None and done < number
        parts.append(f"{done} of {text} in the time given" if partly else text)
    if summary.get("created"):
        # to the minute, and without the T of ISO 8601
        parts.append(str(summary["created"])[:16].replace("T", " "))
    return " · ".join(parts)


def _median(block: Block) -> dict[str, Any]:
    """One row of the table of medians."""
    ratio = float(np.median(block.ratio)) if len(block.ratio) else math.nan
    return {
        "target": block.target,
        "irrep": str(block.irrep),
        "A": _middle(block.A),
        "stderr": _middle(block.stderr),
        "error": _middle(block.error),
        "averaged": _middle(block.averaged),
        "ratio": 100 * ratio if block.has_errors else math.nan,
        "norm": _middle(block.norm),
        "noise": _middle(block.noise),
        "unit": style.unit(block.unit),
        "number": int(np.isfinite(block.A).sum()),
    }


def _middle(values: np.ndarray) -> float:
    """Median of what is known."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else math.nan


def _convergence(report: Report, spectra: list[Spectrum]) -> dict[str, Any] | None:
    """Whether the spectra are complete, in the words of the summary."""
    text = report.summary.get("convergence_text")
    if not text:
        return None
    converged = report.summary.get("converged")
    if converged is None:
        converged = all(s.converged for s in spectra)
    return {"converged": bool(converged), "text": str(text)}


def _figure(name: str, file: Path, page: Path) -> dict[str, Any]:
    """Embed a figure: an address that holds the file itself."""
    kind = {".svg": "svg+xml"}.get(file.suffix, file.suffix.lstrip("."))
    data = base64.b64encode(file.read_bytes()).decode()
    title, caption = CAPTIONS.get(name, (name, ""))
    return {
        "name": name,
        "title": title,
        "caption": caption,
        "address": f"data:image/{kind};base64,{data}",
        "files": _files(file, page),
    }


def _files(file: Path, page: Path) -> list[tuple[str, str]]:
    """Links to a figure's files, where they lie below the page."""
    found = []
    for path in (file.with_suffix(".svg"), file.with_suffix(".png")):
        if path.is_file() and path.resolve().is_relative_to(page.parent.resolve()):
            place = Path(os.path.relpath(path, page.parent)).as_posix()
            found.append((f"./{quote(place)}", path.suffix[1:].upper()))
    return found
