"""Figures of the study of a potential-energy surface, drawn from the tables it wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.studies._draw import write
from benchmarks.studies._series import rounded
from metatrain_symmetry.measure.results import Report
from metatrain_symmetry.measure.series import Series
from metatrain_symmetry.report.distribution import draw_distribution
from metatrain_symmetry.report.epochs import draw_epochs
from metatrain_symmetry.report.heatmap import draw_heatmap
from metatrain_symmetry.report.predictions import draw_spectrum
from metatrain_symmetry.report.tradeoff import draw_tradeoff


REPORT = "report"
"""Folder of the tables that figures of one training are drawn from."""
FORCES = "non_conservative_force (1,+)"


def write_tables(
    folder: Path, seed: int, spectra: Report, errors: Report, purification: dict[str, Any]
) -> None:
    """Write what the figures of one training need.

    :param folder: of the results
    :param seed: of the training
    :param spectra: report with spectra, on a sample of the test structures
    :param errors: report without, on all of them
    :param purification: summary of it
    """
    summary = {
        **_some(spectra.summary, "n_structures", "estimator", "dtype"),
        "model": f"PET on CHGNet labels, seed {seed}",
        "purification": _some(purification, "structures", "grid_degree", "settings"),
    }
    tables = rounded(errors.equivariance), pd.DataFrame(), rounded(spectra.characters)
    (folder / REPORT).mkdir(parents=True, exist_ok=True)
    Report(*tables, summary).save(folder / REPORT)


def _some(content: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: content[key] for key in keys}


def draw(folder: Path) -> None:
    """Draw the figures of the first training.

    :param folder: with ``tradeoff.csv`` and what :func:`write_tables` has written
    """
    spectra = Report.load(folder / REPORT)
    model = spectra.summary["model"]
    curves = pd.read_csv(folder / "tradeoff.csv")
    curves = curves[curves.seed == curves.seed.iloc[0]]
    purification = {**spectra.summary["purification"], "model": model}
    figures = {
        # of more structures than the spectra
        "distribution": draw_distribution(replace(spectra, summary={"model": model})),
        "spectrum": draw_spectrum(spectra),
        "heatmap": draw_heatmap(spectra),
        "tradeoff": draw_tradeoff(curves, purification),
    }
    for name, figure in figures.items():
        assert figure is not None
        write(figure, folder / "figures" / f"{name}.png")


def draw_forces(series: Series, folder: Path) -> None:
    """Draw irreps and errors of the direct forces over the epochs.

    :param series: of one training, as it was measured
    :param folder: of the results
    """
    figure = draw_epochs(series, FORCES)
    assert figure is not None
    write(figure, folder / "figures" / "forces-over-epochs.png")
