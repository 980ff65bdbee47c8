"""The page: one file that tells the whole story, without a network."""

import base64
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..measure.report import Report
from . import style
from .blocks import Block, read_blocks
from .cells import legend, row
from .html import facts, links, write_html
from .spectrum import RESIDUAL, Spectrum, largest_degree, read_spectra


STATUS = {
    "ok": "OK",
    "late": "late",
    "missing": "missing",
    "contaminated": "contaminated",
}
CAPTIONS = {
    "distribution": (
        "Equivariance errors",
        "Top: each point is one structure. Below the solid line, turning the structure "
        "changes the prediction by less than the prediction is wrong; below the dashed "
        "line, by less than a tenth. Bottom: the ratio of the two over the structures, "
        "with its median. Where the true values are unknown, A stands beside the size of "
        "the prediction instead.",
    ),
    "spectrum": (
        "Spectrum of the predictions",
        "Share of every irrep (λ,σ) in the mean square of a prediction, as the structure "
        "is turned and inverted. A symmetric model has weight in the yellow bands only; "
        "everything else is symmetry error. The hatched bar is what lies beyond the "
        "largest λ, or between the points of the grid: it should be small. "
        "Error bars are standard errors.",
    ),
    "heatmap": (
        "Spectrum of the layers",
        "One row per place in the network, from the input (top) to the predictions "
        "(bottom); one column per irrep. Yellow dominates, dark violet is absent. Read "
        "downwards to see where an irrep that a target needs first appears, and whether "
        "others are filtered out again.",
    ),
}


FACTS = (
    "architecture", "structures", "n_structures", "lambda_max", "estimator",
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
    groups = list(dict.fromkeys(s.group for s in spectra))
    return {
        "model": str(report.summary.get("model") or "model without a name"),
        "subtitle": _subtitle(report),
        "headlines": _headlines(blocks, spectra),
        "diagnosis": [
            {**entry, "label": STATUS.get(entry["status"], entry["status"])}
            for entry in report.diagnosis
        ],
        "convergence": _convergence(report, spectra),
        "figures": [_figure(name, file) for name, file in figures.items()],
        "degrees": range(degree + 1),
        "groups": groups,
        "rows": [row(s, degree) for s in spectra],
        "scale": legend(),
        "medians": [_median(block) for block in blocks],
        "characters": [(s, c) for s in spectra for c in s.channels.values()],
        "facts": facts(report.summary, FACTS),
        "links": links(path),
        "number": style.number,
        "exact": lambda value: "" if math.isnan(value) else repr(float(value)),
    }


def _subtitle(report: Report) -> str:
    """Architecture, structures and date, as far as known."""
    summary = report.summary
    parts = [
        str(summary[key]) for key in ("architecture", "structures") if summary.get(key)
    ]
    if summary.get("n_structures") is not None:
        number = summary["n_structures"]
        parts.append(f"{number} structure" + ("" if number == 1 else "s"))
    if summary.get("created"):
        parts.append(str(summary["created"]))
    return " · ".join(parts)


def _median(block: Block) -> dict[str, Any]:
    """One row of the table of medians."""
    ratio = float(np.median(block.ratio)) if len(block.ratio) else math.nan
    return {
        "target": block.target,
        "irrep": str(block.irrep),
        "A": _middle(block.A),
        "error": _middle(block.error),
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


def _headlines(blocks: list[Block], spectra: list[Spectrum]) -> list[dict[str, Any]]:
    """One sentence per target, in pieces that the template joins."""
    outputs = [s for s in spectra if s.kind == "output"]
    headlines = []
    for target in dict.fromkeys(block.target for block in blocks):
        medians = [_median(block) for block in blocks if block.target == target]
        # a probe is a target or one block of it, such as "energy (0,+)"
        own = [s for s in outputs if s.probe == target or s.probe.startswith(f"{target} (")]
        spectrum = own[0] if len(own) == 1 else None
        shares = sorted(
            (c for c in spectrum.channels.values() if c.share >= 0.01) if spectrum else (),
            key=lambda c: -c.share,
        )
        texts = [
            f"{style.number(100 * c.share)} % "
            + ("beyond the largest λ" if c.name == RESIDUAL else c.name)
            for c in shares[:4]
        ]
        headlines.append({"target": target, "medians": medians, "shares": texts})
    return headlines


def _convergence(report: Report, spectra: list[Spectrum]) -> dict[str, Any] | None:
    """Whether the numbers are to be trusted, and which are not."""
    open_ends = [s.probe for s in spectra if not s.converged]
    converged = report.summary.get("converged")
    text = report.summary.get("convergence_text")
    if converged is None and not text and not spectra:
        return None
    if converged is None:
        converged = not open_ends
    return {"converged": bool(converged), "text": text or "", "open": open_ends}


def _figure(name: str, file: Path) -> dict[str, str]:
    """Embed a figure: an address that holds the file itself."""
    file = Path(file)
    kind = {".svg": "svg+xml"}.get(file.suffix, file.suffix.lstrip("."))
    data = base64.b64encode(file.read_bytes()).decode()
    title, caption = CAPTIONS.get(name, (name, ""))
    address = f"data:image/{kind};base64,{data}"
    return {"name": name, "title": title, "caption": caption, "address": address}
