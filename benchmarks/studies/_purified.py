"""Purification of a study's model: the trade-off, and both models on test structures."""

from __future__ import annotations

from typing import Any

import pandas as pd
from ase import Atoms

from benchmarks.studies._draw import shrink
from benchmarks.studies._study import Setting
from benchmarks.studies._training import Training
from metatrain_symmetry import symmetry_report
from metatrain_symmetry.cli.purify import purify_checkpoint


KEYS = ["target", "o3_lambda", "o3_sigma", "unit"]
SWEEP = {
    "degree": 6,
    "max_structures": 300,
    "max_validation_structures": 100,
    "report_structures": 8,
}
QUICK = {
    "degree": 4,
    "max_structures": 6,
    "max_validation_structures": 3,
    "report_structures": 1,
}


def purify(training: Training, frames: list[Atoms], setting: Setting) -> pd.DataFrame:
    """Purify the newest checkpoint; its curve and figure go to the results.

    :param training: with at least one checkpoint
    :param frames: test structures, with targets
    :param setting: how much, and where to
    :return: A and errors on the test structures, before and after, per target and irrep
    """
    assert training.checkpoint is not None
    options: dict[str, Any] = {
        **training.options,
        "purify": QUICK if setting.quick else SWEEP,
    }
    output = training.folder / "purified.ckpt"
    folder = setting.results / "purification"
    purify_checkpoint(training.checkpoint, options, output, report=folder, overwrite=True)
    shrink(folder)
    before = accuracy(str(training.checkpoint), frames)
    after = accuracy(str(output), frames)
    return before.merge(after, on=KEYS, suffixes=("_before", "_after"))


def accuracy(model: str, frames: list[Atoms]) -> pd.DataFrame:
    """Root mean squares and medians over structures.

    :param model: checkpoint
    :param frames: structures with targets
    :return: one row for each target and irrep; energies per atom
    """
    found = symmetry_report(
        model, frames, gradients=False, probes=[], lambda_max=2, estimator="grid", degree=6
    )
    grouped = found.equivariance.rename(
        columns={"A_per_atom": "A", "error_per_atom": "error", "A": "_A", "error": "_error"}
    ).groupby(KEYS, sort=False)[["A", "error"]]
    squares = grouped.agg(lambda values: float((values**2).mean() ** 0.5))
    medians = grouped.median().add_prefix("median_")
    return squares.add_prefix("rms_").join(medians).reset_index()
