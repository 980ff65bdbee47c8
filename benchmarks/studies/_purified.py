"""Purification of a study's model: the trade-off, and both models on test structures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from ase import Atoms

from benchmarks._training import Training
from metatrain_symmetry import symmetry_report
from metatrain_symmetry.api.purify_checkpoint import purify_checkpoint
from metatrain_symmetry.measure.results import Report
from metatrain_symmetry.purify.run import Purified


KEYS = ["target", "o3_lambda", "o3_sigma", "unit"]
SWEEP = {"degree": 6, "max_structures": 300, "report_structures": 8}
"""α and the ridge are chosen on all structures of the validation set."""
QUICK = {
    "degree": 4,
    "max_structures": 6,
    "max_validation_structures": 3,
    "report_structures": 1,
}


def purify(
    training: Training, before: Report, frames: list[Atoms], quick: bool
) -> tuple[Purified, pd.DataFrame]:
    """Purify the newest checkpoint; the new one and its report go beside it.

    :param training: with at least one checkpoint
    :param before: of :func:`test_report`, of that checkpoint
    :param frames: test structures, with targets
    :param quick: sizes of a test
    :return: what was found, and A and errors on the test structures, before and after,
        per target and irrep
    """
    assert training.checkpoint is not None
    options: dict[str, Any] = {**training.options, "purify": QUICK if quick else SWEEP}
    output = training.folder / "purified.ckpt"
    found = purify_checkpoint(training.checkpoint, options, output, overwrite=True)
    assert isinstance(found, Purified)
    after = accuracy(test_report(output, frames))
    return found, accuracy(before).merge(after, on=KEYS, suffixes=("_before", "_after"))


def test_report(model: Path, frames: list[Atoms]) -> Report:
    """Measure A and errors, without layers.

    :param model: checkpoint
    :param frames: structures with targets
    :return: the report
    """
    return symmetry_report(
        model, frames, gradients=False, probes=[], lambda_max=2, estimator="grid",
        degree=6, budget=None,
    )  # fmt: skip


def scan(model: Path, frames: list[Atoms]) -> Report:
    """Measure A and errors with a fifth of the evaluations, for many models.

    The median of A over many structures is within 1 % of the grid's, see
    ``benchmarks/many.py``.

    :param model: checkpoint
    :param frames: structures with targets
    :return: the report
    """
    return symmetry_report(
        model, frames, gradients=False, probes=[], estimator="icosahedral", budget=None
    )


def accuracy(report: Report) -> pd.DataFrame:
    """Root mean squares and medians over structures.

    :param report: of :func:`test_report`
    :return: one row for each target and irrep; energies per atom
    """
    grouped = report.equivariance.rename(
        columns={"A_per_atom": "A", "error_per_atom": "error", "A": "_A", "error": "_error"}
    ).groupby(KEYS, sort=False)[["A", "error"]]
    squares = grouped.agg(lambda values: float((values**2).mean() ** 0.5))
    medians = grouped.median().add_prefix("median_")
    return squares.add_prefix("rms_").join(medians).reset_index()
