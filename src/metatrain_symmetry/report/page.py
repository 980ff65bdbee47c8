"""The page of a report: one file with everything, readable without a network."""

import base64
import math
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from matplotlib.colors import to_hex

from ..measure.quantities import SPECTRUM_NOTE, quantities_table
from ..measure.results import Report
from ..measure.words import CLOUD, unit_or_one, worded
from . import text
from .errors import Block, report_blocks
from .html import Entry, facts, write_html
from .probes import Probe, Spectra, report_spectra
from .rotations import rotations_entries
from .shares import BRIGHT, COLORMAP, FLOOR, FLOOR_EXPONENT
from .verdicts import verdicts


CAPTIONS = {
    "network": (
        "The network",
        "Every box is one place in the network, from the geometry of the edges to the "
        "predictions, nodes and edges apart. Its cells are the shares of the irreps; of "
        "O(3), the upper row is proper (λ,+), the lower row pseudo (λ,−), λ from left to "
        "right. Follow the arrows to see where the irrep of a target, outlined at the end, "
        "first appears and whether the others are filtered out again.",
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
        "Share of every irrep in the mean square of a prediction, as the structure is "
        "rotated and inverted. Under O(3), a symmetric model has weight in the yellow "
        "bands only. "
        "Where there is a hatched bar, it is the residual, beyond the largest λ. "
        f"{SPECTRUM_NOTE}",
    ),
    "rotations": (
        "How many rotations are needed",
        "What is left of A when predictions are averaged over a set of orientations, "
        "against the evaluations that this takes for each structure: root mean square over "
        "the structures, predicted from the spectrum of the deviations. T, O and I are the "
        "tetrahedral, octahedral and icosahedral rotations; a final i says that each comes "
        "with its product with inversion. Values are means over random orientations of the "
        "set as a whole; kept fixed in the laboratory, a set may leave more or less. An "
        "arrow marks an upper bound.",
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

OF_ATOMS = ("per atom", "(0,+) of a stress", "(2,+) of a stress")
"""Quantities that clouds of points do not have."""

TABLES = {
    "equivariance.csv": "A and errors of every structure",
    "equivariance_per_atom.csv": "the same for every atom",
    "equivariance_per_point.csv": "the same for every point",
    "characters.csv": "spectra of all probes",
    "rotations.csv": "A that is left after averaging over sets of rotations",
    "summary.json": "settings, averages, diagnosis",
}

FACTS = (
    "architecture", "state_text", "structures", "n_structures", "plan", "group",
    "lambda_max", "estimator", "grid_degree", "dtype", "evaluations", "seconds", "created",
)  # fmt: skip

MEDIANS = [
    "target", "irrep", "A", "± A", "error", "averaged error", "A / error (%)", "norm",
    "rounding", "unit", "structures",
]  # fmt: skip
VERDICT = [
    "structure", "symmetry", "target", "quantity", "as given", "rms", "maximum", "unit",
    "fmax, as given (eV/Å)", "fmax, worst (eV/Å)", "rounding",
]  # fmt: skip
ERRORS = [
    "target", "equivariance RMSE", "RMSE", "O3-averaged RMSE", "oriented RMSE", "unit",
    "share of asymmetry (%)", "structures",
]  # fmt: skip
MEDIANS_TEXT = (
    "Per component, energies per atom. The ratio is the median of the ratios of the "
    "structures."
)
VALUES = ["probe", "group", "irrep", "share", "standard error", "B", "converged"]


def write_page(report: Report, path: str | Path, figures: dict[str, Path]) -> Path:
    """Write a page that needs nothing but itself.

    :param report: what was measured
    :param path: the page; CSV and JSON files already beside it are linked
    :param figures: SVG or PNG files by name, as returned by ``draw_report``
    :return: the path
    """
    page = Path(path)
    spectra = report_spectra(report)
    shown = {name: file for name, file in figures.items() if name != LINKED}
    summary = report.summary
    heads = [worded(head, summary) for head in MEDIANS]
    content = {
        "model": str(report.summary.get("model") or "model without a name"),
        "subtitle": _subtitle(report),
        "cards": verdicts(report),
        "verdict": _verdict(report.summary),
        "convergence": _convergence(report, spectra),
        "figures": [_figure(n, Path(file), page, summary) for n, file in shown.items()],
        "table_files": _files(Path(figures[LINKED]), page) if LINKED in figures else [],
        "quantities": [_quantities(main, summary) for main in (True, False)],
        "panels": spectra.panels,
        "rows": [_row(spectra, probe) for probe in spectra.probes],
        "scale": _scale(),
        "medians": (heads, [_median(block, summary) for block in report_blocks(report)]),
        "medians_title": worded("medians over the structures", summary),
        "medians_text": worded(MEDIANS_TEXT, summary).replace(", energies per point", ""),
        "rotations": rotations_entries(report),
        "characters": (VALUES, _values(spectra)),
        "facts": [(worded(name, summary), value) for name, value in facts(summary, FACTS)],
        "descriptions": {name: worded(text, summary) for name, text in TABLES.items()},
    }
    return write_html("report.html.j2", content, page)


def _quantities(main: bool, summary: dict[str, Any]) -> tuple[list[str], list[list[Entry]]]:
    """What the numbers are: those in view, or those folded away."""
    columns = ("meaning", "components", "per", "average", "unit")
    rows: list[list[Entry]] = []
    for quantity in quantities_table():
        if summary.get("thing") == CLOUD and quantity["name"] in OF_ATOMS:
            continue
        if (quantity["name"] in MAIN) == main:
            other = quantity["metatrain"]
            name = quantity["name"] + f"\nmetatrain: {other}" * bool(other)
            rows.append([name, *(worded(quantity[c], summary) for c in columns)])
    heads = ["quantity", "what it is", "components", "one value per", "average", "unit"]
    return heads, rows


def _subtitle(report: Report) -> str:
    """Architecture, state, structures and date, as far as known."""
    summary = report.summary
    names = ("architecture", "state_text", "structures")
    parts = [str(summary[key]) for key in names if summary.get(key)]
    if summary.get("group", "O(3)") != "O(3)":
        parts.insert(0, f"under the group {summary['group']}")
    if summary.get("n_structures") is not None:
        number, done = summary["n_structures"], summary.get("n_measured")
        words = text.count(number, worded("structure", summary))
        partly = done is not None and done < number
        parts.append(f"{done} of {words} in the time given" if partly else words)
    if summary.get("created"):
        # to the minute, and without the T of ISO 8601
        parts.append(str(summary["created"])[:16].replace("T", " "))
    return " · ".join(parts)


def _verdict(summary: dict[str, Any]) -> dict[str, Any] | None:
    """What asymmetry means for relaxations: sentences, and the numbers behind them."""
    found = summary.get("verdict") or {}
    if not found.get("sentences"):
        return None
    rows: list[list[Entry]] = [
        [row["name"], row["symmetry"] or "–", row["target"], row["quantity"],
         *(float(row[key]) for key in ("given", "rms", "maximum")), text.unit(row["unit"]),
         *(float(row[key]) for key in ("fmax", "fmax_maximum", "noise"))]
        for row in found["table"]
    ]  # fmt: skip
    errors: list[list[Entry]] = [
        [row["target"], *(float(row[key]) for key in ERRORS[1:5]), text.unit(row["unit"]),
         _share(row), float(row["structures"])]
        for row in found.get("errors") or []
    ]  # fmt: skip
    tables = {"table": (VERDICT, rows), "errors": (ERRORS, errors)}
    return {"sentences": found["sentences"], **tables}


def _share(row: dict[str, Any]) -> Entry:
    """Share of the squared error in percent; in JSON, None is unknown."""
    share, error = (
        math.nan if row.get(key) is None else 100 * float(row[key])
        for key in ("share", "share_err")
    )
    return share, text.measured(share, error)


def _convergence(report: Report, spectra: Spectra) -> dict[str, Any] | None:
    """Whether the spectra are complete, in the words of the summary."""
    words = report.summary.get("convergence_text")
    if not words:
        return None
    converged = report.summary.get("converged")
    if converged is None:
        converged = all(probe.converged for probe in spectra.probes)
    # the badge says the first word
    for word in ("converged: ", "NOT converged: "):
        words = str(words).removeprefix(word)
    return {"converged": bool(converged), "text": words[:1].upper() + words[1:]}


def _row(spectra: Spectra, probe: Probe) -> dict[str, Any]:
    """A row of the heatmap, as panels of cells."""
    cells = probe.cells
    columns = (
        cells.known,
        cells.shown,
        cells.signs,
        cells.bright,
        cells.colors,
        cells.tips,
    )
    made = [
        {"irrep": name, "known": known, "sign": sign, "dark": not bright, "color": color,
         "tip": tip, "text": "<" * (sign == "<") + _exponent(shown)}
        for name, known, shown, sign, bright, color, tip in zip(
            spectra.channels, *columns, strict=True
        )
    ]  # fmt: skip
    return {"probe": probe, "panels": [made[part] for _, part in spectra.parts]}


def _exponent(share: float) -> str:
    """Decade of a share; nothing at or below the floor."""
    if not share > FLOOR:
        return ""
    return str(round(math.log10(share))).replace("-", "−")


def _scale() -> list[dict[str, Any]]:
    """Colour and darkness of each decade, from the floor to one."""
    levels = {d: 1 - d / FLOOR_EXPONENT for d in range(FLOOR_EXPONENT, 1)}
    return [
        {"text": str(decade).replace("-", "−"), "color": to_hex(COLORMAP(level)),
         "dark": level <= BRIGHT}
        for decade, level in levels.items()
    ]  # fmt: skip


def _median(block: Block, summary: dict[str, Any]) -> list[Entry]:
    """One row of the table of medians."""
    ratio = 100 * float(np.median(block.ratio)) if len(block.ratio) else math.nan
    A, stderr, error, averaged, norm, noise = (
        _middle(block[name])
        for name in ("A", "A_stderr", "error", "error_averaged", "norm", "noise")
    )
    ratio = ratio if block.has_errors else math.nan
    number = int(np.isfinite(block["A"]).sum())
    unit = text.unit(unit_or_one(block.unit, summary))
    return [
        block.target, str(block.key.irrep), A, stderr, error, averaged, ratio, norm, noise,
        unit, number,
    ]  # fmt: skip


def _middle(values: np.ndarray) -> float:
    """Median of what is known."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else math.nan


def _values(spectra: Spectra) -> list[list[Entry]]:
    """Everything that was measured of every probe."""
    return [
        [p.name, p.group, name, (float(share), words), float(stderr), float(strength),
         "yes" if p.converged else "no"]
        for p in spectra.probes
        for name, share, words, stderr, strength in zip(
            spectra.channels, p.cells.share, p.cells.words, p.cells.stderr,
            p.cells.strength, strict=True,
        )
        if math.isfinite(share)
    ]  # fmt: skip


def _figure(name: str, file: Path, page: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Embed a figure: an address that holds the file itself."""
    kind = {".svg": "svg+xml"}.get(file.suffix, file.suffix.lstrip("."))
    data = base64.b64encode(file.read_bytes()).decode()
    title, caption = CAPTIONS.get(name, (name, ""))
    return {
        "name": name, "title": title, "caption": worded(caption, summary),
        "files": _files(file, page),
        "address": f"data:image/{kind};base64,{data}",
    }  # fmt: skip


def _files(file: Path, page: Path) -> list[tuple[str, str]]:
    """Links to a figure's files, where they lie below the page."""
    found = []
    folder, file = page.parent.resolve(), file.resolve()
    for path in (file.with_suffix(".svg"), file.with_suffix(".png")):
        if path.is_file() and path.is_relative_to(folder):
            place = quote(path.relative_to(folder).as_posix())
            found.append((f"./{place}", path.suffix[1:].upper()))
    return found
