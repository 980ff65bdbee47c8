"""A potential-energy surface of many elements: how equivariant are its predictions?

Sections III.1 and III.2 of the paper at a size for one core: a PET learns energies, direct
forces and direct stresses of solids and molecules, which CHGNet has labelled: AN ML
TEACHER, not MAD-1.5, so numbers are not to be compared with the paper's one by one.
Measured on test structures: A against the error, spectra of the outputs, layers and
irreps; over the training: heatmaps of outputs and layers; what purification does to A and
to the errors::

    python -m benchmarks.studies.pes
"""

from __future__ import annotations

from typing import Any

import ase.io
import pandas as pd
from ase import Atoms

from benchmarks._training import Training
from benchmarks.studies._options import changed, load
from benchmarks.studies._pes_figures import draw, draw_forces, write_tables
from benchmarks.studies._purified import purify, test_report
from benchmarks.studies._series import table_of, write
from benchmarks.studies._study import Setting, Study, main
from metatrain_symmetry import symmetry_report
from metatrain_symmetry.measure.results import Report


TRAINER = "architecture.training"
PAPER = {
    "energy": 0.10,
    "non_conservative_force": 0.31,
    "non_conservative_stress": 0.26,
}
"""Medians of A / |error| in the paper, for PET on MAD-1.5."""
QUICK = {
    f"{TRAINER}.num_epochs": 3,
    f"{TRAINER}.checkpoint_interval": 1,
    f"{TRAINER}.symmetry": {"interval": 1, "lambda_max": 2, "probes": ["EE", "LLF"]},
    "architecture.model.d_pet": 16,
    "architecture.model.d_node": 32,
    "architecture.model.num_gnn_layers": 1,
    "architecture.model.num_attention_layers": 1,
    "architecture.model.cutoff": 3.5,
}
STRUCTURES = 40
"""Test structures of the report; the paper takes 150 for its spectra."""


def plan(setting: Setting) -> list[Training]:
    """One training for each seed."""
    options = load("pes_chgnet.yaml", setting.data)
    options = changed(options, QUICK if setting.quick else {})
    return [
        Training("PET", seed, changed(options, {"seed": seed}), setting.runs)
        for seed in setting.seeds
    ]


def test_structures(training: Training) -> list[Atoms]:
    """Structures that the model has not seen.

    :param training: with at least one checkpoint
    """
    frames = ase.io.read(training.options["training_set"]["systems"]["read_from"], ":")
    return [frames[i] for i in training.indices("test")]


def report(training: Training, setting: Setting) -> Report:
    """Measure the newest checkpoint on test structures.

    :param training: with at least one checkpoint
    :param setting: how much
    :return: the report
    """
    return symmetry_report(
        str(training.checkpoint),
        test_structures(training),
        gradients=False,
        max_structures=2 if setting.quick else STRUCTURES,
        lambda_max=2 if setting.quick else 8,
        degree=6 if setting.quick else None,
        probes=["EE", "LLF"] if setting.quick else None,
    )


def ratios(equivariance: pd.DataFrame) -> pd.DataFrame:
    """Medians over structures, irreps of a target taken together.

    :param equivariance: table of a report, or of several with a column ``seed``
    :return: for each target (and seed) the medians of A, of the error and of A / |error|
    """
    rows = []
    keys = [key for key in ("seed", "target") if key in equivariance]
    for names, table in equivariance.groupby(keys, sort=False):
        size = 2 * table.o3_lambda + 1
        squares = pd.DataFrame(
            {"structure": table.structure, "A": size * table.A**2,
             "error": size * table.error**2, "size": size}
        ).groupby("structure").sum()  # fmt: skip
        own_a = (squares["A"] / squares["size"]) ** 0.5
        own_error = (squares["error"] / squares["size"]) ** 0.5
        rows.append(
            {
                **dict(zip(keys, names, strict=True)),
                "unit": table.unit.iloc[0],
                "structures": len(squares),
                "median_A": float(own_a.median()),
                "median_error": float(own_error.median()),
                "median_A_over_error": float((own_a / own_error).median()),
                "below_error": float((own_a < own_error).mean()),
            }
        )
    found = pd.DataFrame(rows)
    return found.assign(paper=found.target.map(PAPER))


def per_irrep(equivariance: pd.DataFrame) -> pd.DataFrame:
    """Medians over structures of A / |error|, for every irrep of every target.

    :param equivariance: table of reports, with a column ``seed``
    """
    ratio = equivariance.assign(median_A_over_error=equivariance.A / equivariance.error)
    keys = ["seed", "target", "o3_lambda", "o3_sigma"]
    return ratio.groupby(keys, sort=False).median_A_over_error.median().reset_index()


COLUMNS = {
    "median_A": "median A",
    "median_error": "median error",
    "median_A_over_error": "median of A / error",
    "below_error": "share with A < error",
    "paper": "A / error in the paper",
}


def markdown(medians: pd.DataFrame) -> str:
    """Table of :func:`ratios` for people.

    :param medians: as returned by it, with seeds
    """
    named = medians.assign(variant=medians.target + " (" + medians.unit + ")")
    return table_of(named, COLUMNS)


def on_test_set(
    trainings: list[Training], setting: Setting
) -> tuple[list[Report], dict[str, pd.DataFrame], dict[str, Any]]:
    """A and errors of every seed on all test structures, as trained and purified.

    :param trainings: with at least one checkpoint
    :param setting: how much
    :return: reports of the models as trained; tables of the purifications, with ``seed``;
        summary of the first purification
    """
    trained, curves, purified, summaries = [], [], [], []
    for training in trainings:
        assert training.checkpoint is not None
        frames = test_structures(training)[: 2 if setting.quick else None]
        trained.append(test_report(training.checkpoint, frames))
        found, table = purify(training, trained[-1], frames, setting.quick)
        curves.append(found.curve.assign(seed=training.seed))
        purified.append(table.assign(seed=training.seed))
        summaries.append(found.summary)
    tables = {
        "tradeoff": pd.concat(curves, ignore_index=True),
        "purified": pd.concat(purified, ignore_index=True),
    }
    return trained, tables, summaries[0]


def analyse(trainings: list[Training], setting: Setting) -> dict[str, Any]:
    """Tables of all trainings, finished or stopped, and figures of the first.

    :param trainings: with at least one checkpoint
    :param setting: where to write
    :return: how far the trainings came
    """
    first = trainings[0]
    found, series = report(first, setting), first.series()
    trained, purified, purification = on_test_set(trainings, setting)
    tables = [
        r.equivariance.assign(seed=t.seed) for r, t in zip(trained, trainings, strict=True)
    ]
    equivariance = pd.concat(tables, ignore_index=True)
    outputs = series.characters[series.characters.group == "predictions"]
    written = {
        **purified,
        "medians": ratios(equivariance),
        "medians_per_irrep": per_irrep(equivariance),
        "epochs_equivariance": series.equivariance,
        "epochs_characters": outputs[["epoch", "probe", "channel", "share"]],
    }
    write(setting.results, written, markdown(written["medians"]))
    write_tables(setting.results, first.seed, found, trained[0], purification)
    draw(setting.results)
    draw_forces(series, setting.results)
    return {
        "labels": "CHGNet 0.3.0, an ML teacher",
        "planned_epochs": first.options["architecture"]["training"]["num_epochs"],
        "completed_epochs": {t.name: t.series().epochs[-1] for t in trainings},
        "convergence": found.summary["convergence_text"],
    }


STUDY = Study(
    "pes",
    (__doc__ or "").splitlines()[0],
    "benchmarks.makers.chgnet_solids",
    plan,
    analyse,
    seeds=(0, 1),
)


if __name__ == "__main__":
    main(STUDY)
