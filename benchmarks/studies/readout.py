"""When does purifying the readout help? A before and after it, along a training.

The paper halves A of one part of the stress; in the study ``pes`` the readout lowered A by
a third to a half after 27 epochs, and by a few per cent at the end. Here the readout is
purified at points along two trainings of the study ``convergence``, which are trained if
they are not there: one ends where the other still has half of its learning rate, which
separates the learning rate from the number of steps. The irreps of the last-layer features
stand beside::

    python -m benchmarks.studies.readout
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import pandas as pd
from ase import Atoms
from tqdm import tqdm

from benchmarks._training import Training
from benchmarks.makers.chgnet_splits import FOLDER
from benchmarks.studies import convergence
from benchmarks.studies._purified import KEYS, QUICK, accuracy, scan
from benchmarks.studies._readout_figure import draw
from benchmarks.studies._series import logged, write
from benchmarks.studies._study import Setting, Study, main
from benchmarks.studies.convergence import (
    ALONG,
    BATCH,
    LONGEST,
    checkpoints,
    structures_trained_on,
)
from metatrain_symmetry import symmetry_report
from metatrain_symmetry.api.purify_checkpoint import purify_checkpoint
from metatrain_symmetry.purify.run import Purified


POINTS = {"as in pes": 10, LONGEST: 5}
"""Checkpoints of each training at which the readout is purified."""
FEATURES = 8
"""Test structures on which the features are resolved."""
SWEEP = {
    "degree": 4,
    "max_structures": 150,
    "max_validation_structures": 80,
    "report_structures": 0,
}
"""A third of what the study ``pes`` takes, at ten points instead of one."""


def plan(setting: Setting) -> list[Training]:
    """Trainings of the study ``convergence``, whose folder lies beside this one's."""
    root = setting.runs.with_name("convergence")
    trainings = convergence.plan(setting)
    return [replace(one, root=root) for one in trainings if one.variant in POINTS]


def purified(
    model: Path, training: Training, frames: list[Atoms], quick: bool
) -> pd.DataFrame:
    """A and errors of a checkpoint on test structures, before and after purification.

    :param model: checkpoint along the training
    :param training: with the options
    :param frames: test structures
    :param quick: sizes of a test
    :return: one row for each target and irrep, with ``_before`` and ``_after``
    """
    output = model.with_name(f"purified-{model.stem}.ckpt")
    options: dict[str, Any] = {**training.options, "purify": QUICK if quick else SWEEP}
    found = purify_checkpoint(model, options, output, overwrite=True)
    assert isinstance(found, Purified)
    before, after = (accuracy(scan(file, frames)) for file in (model, output))
    output.unlink()
    return before.merge(after, on=KEYS, suffixes=("_before", "_after"))


def features(model: Path, frames: list[Atoms], quick: bool) -> pd.DataFrame:
    """Shares of the irreps in the last-layer features.

    :param model: checkpoint
    :param frames: test structures
    :param quick: sizes of a test
    :return: rows with ``probe``, ``channel``, ``share``, ``stderr``
    """
    found = symmetry_report(
        model,
        frames[:FEATURES],
        gradients=False,
        probes=["LLF"],
        lambda_max=2 if quick else 4,
        estimator="grid",
        budget=None,
        progress=False,
    ).characters
    return found.loc[found.kind == "layer", ["probe", "channel", "share", "stderr"]]


def measured(
    training: Training, frames: list[Atoms], quick: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All points of a training, each measured once.

    :param training: with at least one checkpoint
    :param frames: test structures
    :param quick: sizes of a test
    :return: tables of :func:`purified` and :func:`features`, with ``variant``, ``seed``,
        ``epoch``, ``steps`` and ``learning_rate``
    """
    tables: tuple[list[pd.DataFrame], list[pd.DataFrame]] = ([], [])
    rates = learning_rates(training)
    chosen = checkpoints(training, POINTS[training.variant])
    for epoch, file in tqdm(chosen, desc=training.name, unit="checkpoint"):
        made = (
            lambda file=file: purified(file, training, frames, quick),
            lambda file=file: features(file, frames, quick),
        )
        for name, make, several in zip(("purified", "features"), made, tables, strict=True):
            cache = training.folder / f"readout_{name}_{epoch}_{len(frames)}.csv"
            if not cache.is_file():
                make().to_csv(cache, index=False)
            table = pd.read_csv(cache, keep_default_na=False, na_values=["nan", ""])
            table = table.assign(
                variant=training.variant,
                seed=training.seed,
                epoch=epoch,
                steps=epoch * structures_trained_on(training) // BATCH,
                learning_rate=rates[epoch],
            )
            several.append(table)
    return pd.concat(tables[0]), pd.concat(tables[1])


def over_probes(shares: pd.DataFrame) -> pd.DataFrame:
    """Shares of the irreps over the last-layer features of all outputs.

    :param shares: table of :func:`measured`
    :return: ``share``, their mean, and the ``smallest`` and the ``largest``
    """
    names = ["variant", "seed", "epoch", "steps", "learning_rate", "channel"]
    groups = shares.groupby(names, sort=False).share
    return groups.agg(share="mean", smallest="min", largest="max").reset_index()


def learning_rates(training: Training) -> dict[int, float]:
    """Learning rates from metatrain's logs.

    :param training: with at least one log
    :return: by the number of finished epochs
    """
    return {epoch + 1: rate for epoch, rate in logged(training, "learning rate").items()}


def markdown(table: pd.DataFrame) -> str:
    """Change of A and of the error over the epochs, for people.

    :param table: of :func:`purified`
    """
    names = ["variant", "seed", "steps", "learning rate", "target", "A", "error"]
    lines = ["| " + " | ".join(names) + " |", "|---|---:|---:|---:|---|---:|---:|"]
    for row in table.to_dict("records"):
        sign = "+" if row["o3_sigma"] > 0 else "-"
        cells = [row["variant"], row["seed"], row["steps"], f"{row['learning_rate']:.1e}"]
        cells.append(f"{row['target']} ({row['o3_lambda']},{sign})")
        for name in ("rms_A", "rms_error"):
            change = row[f"{name}_after"] / row[f"{name}_before"] - 1
            cells.append(f"{100 * change:+.1f} %")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def analyse(trainings: list[Training], setting: Setting) -> dict[str, Any]:
    """Tables and a figure.

    :param trainings: with at least one checkpoint
    :param setting: where to write
    :return: nothing but the number of points
    """
    frames = list(ase.io.iread(setting.data / FOLDER / "test.xyz", ":"))
    frames = frames[: 2 if setting.quick else ALONG]
    found = [measured(training, frames, setting.quick) for training in trainings]
    changes, shares = (pd.concat(tables) for tables in zip(*found, strict=True))
    tables = {"purified": changes, "features": over_probes(shares)}
    write(setting.results, tables, markdown(changes))
    draw(setting.results)
    return {"points": len(changes[["variant", "seed", "epoch"]].drop_duplicates())}


STUDY = Study(
    name="readout",
    title="When does purifying the readout help?",
    maker="benchmarks.makers.chgnet_splits",
    plan=plan,
    analyse=analyse,
    seeds=(0,),
)

if __name__ == "__main__":
    main(STUDY)
