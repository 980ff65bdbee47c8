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

from pathlib import Path
from typing import Any

import ase.io
import pandas as pd
from ase import Atoms

from benchmarks.studies._draw import draw_layers, shrink
from benchmarks.studies._options import changed, load
from benchmarks.studies._purified import purify
from benchmarks.studies._series import write
from benchmarks.studies._study import Setting, Study, main
from benchmarks.studies._training import Training
from metatrain_symmetry import symmetry_report
from metatrain_symmetry.figures import draw_report
from metatrain_symmetry.figures.epochs import draw_series
from metatrain_symmetry.measure.report import Report
from metatrain_symmetry.measure.series import Series


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
    """One training: only one seed unless more are asked for."""
    options = load("pes_chgnet.yaml", setting.data)
    options = changed(options, QUICK if setting.quick else {})
    seeds = setting.seeds if setting.seeds != [0, 1, 2] else [0]
    return [
        Training("PET", seed, changed(options, {"seed": seed}), setting.runs)
        for seed in seeds
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

    :param equivariance: table of a report
    :return: for each target the medians of A, of the error and of A / |error|
    """
    rows = []
    for target, table in equivariance.groupby("target", sort=False):
        size = 2 * table.o3_lambda + 1
        squares = pd.DataFrame(
            {"structure": table.structure, "A": size * table.A**2,
             "error": size * table.error**2, "size": size}
        ).groupby("structure").sum()  # fmt: skip
        own_a = (squares["A"] / squares["size"]) ** 0.5
        own_error = (squares["error"] / squares["size"]) ** 0.5
        rows.append(
            {
                "target": target,
                "unit": table.unit.iloc[0],
                "structures": len(squares),
                "median_A": float(own_a.median()),
                "median_error": float(own_error.median()),
                "median_A_over_error": float((own_a / own_error).median()),
                "paper": PAPER.get(str(target)),
            }
        )
    return pd.DataFrame(rows)


def markdown(medians: pd.DataFrame) -> str:
    """Table of :func:`ratios` for people.

    :param medians: as returned by it
    """
    heads = (
        "target",
        "unit",
        "structures",
        "median A",
        "median error",
        "A / error",
        "paper",
    )
    lines = [f"| {' | '.join(heads)} |", "|---|---|---:|---:|---:|---:|---:|"]
    lines += [
        f"| {row.target} | {row.unit} | {row.structures} | {row.median_A:.3g} | "
        f"{row.median_error:.3g} | {row.median_A_over_error:.0%} | {row.paper:.0%} |"
        for row in medians.itertuples()
    ]
    return "\n".join(lines) + "\n"


def tables(found: Report, series: Series) -> dict[str, pd.DataFrame]:
    """All that is written as CSV.

    :param found: report on test structures
    :param series: of the training
    :return: tables by name
    """
    columns = ["epoch", "probe", "group", "channel", "share"]
    return {
        "equivariance": found.equivariance,
        "characters": found.characters,
        "medians": ratios(found.equivariance),
        "epochs_equivariance": series.equivariance,
        "epochs_characters": series.characters[columns].round({"share": 7}),
    }


def draw(found: Report, series: Series, folder: Path) -> list[int]:
    """All figures.

    :param found: report on test structures
    :param series: of the training
    :param folder: figures go to its subfolder ``figures``
    :return: epochs at which all layers are shown
    """
    draw_report(found, folder)
    draw_series(series, folder)
    epochs = draw_layers(series, folder / "figures")
    shrink(folder / "figures")
    return epochs


def analyse(trainings: list[Training], setting: Setting) -> dict[str, Any]:
    """Tables and figures of the first training, finished or stopped.

    :param trainings: with at least one checkpoint
    :param setting: where to write
    :return: medians, and how far the training came
    """
    training = trainings[0]
    found, series = report(training, setting), training.series()
    found.summary["model"] = f"PET on CHGNet labels, seed {training.seed}"
    written = tables(found, series)
    frames = test_structures(training)
    written["purified"] = purify(training, frames[:2] if setting.quick else frames, setting)
    write(setting.results, written, markdown(written["medians"]))
    assert training.checkpoint is not None
    return {
        "labels": "CHGNet 0.3.0, an ML teacher",
        "finished": training.state["finished"],
        "checkpoint": training.checkpoint.name,
        "completed_epochs": series.epochs[-1],
        "planned_epochs": training.options["architecture"]["training"]["num_epochs"],
        "layers_drawn_at_epochs": draw(found, series, setting.results),
        "convergence": found.summary["convergence_text"],
        "medians": written["medians"].to_dict("records"),
        "medians_per_irrep": found.summary["medians"],
    }


STUDY = Study(
    "pes", (__doc__ or "").splitlines()[0], "data.make_chgnet_solids", plan, analyse
)


if __name__ == "__main__":
    main(STUDY)
