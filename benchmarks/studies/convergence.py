"""Why is A such a large part of the error? One training changed in one way at a time.

In the paper A is 10 to 31 % of the error, in the study ``pes`` it is half of it. What
moves the ratio: a longer training, more structures, more harmonics, a larger model,
another loss, a penalty? Every training has the same validation and test structures,
labelled by CHGNet, AN ML TEACHER; A and errors are measured along each of them::

    python -m benchmarks.studies.convergence

Each training is resumed from its last checkpoint. All of them take about nine hours on one
core.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import ase.io
import pandas as pd
from tqdm import tqdm

from benchmarks._training import Training
from benchmarks.makers.chgnet_splits import FOLDER
from benchmarks.studies._convergence_figure import draw
from benchmarks.studies._options import changed, load
from benchmarks.studies._purified import scan
from benchmarks.studies._series import write
from benchmarks.studies._study import Setting, Study, main
from benchmarks.studies.pes import PAPER, QUICK, TRAINER, ratios


MODEL = "architecture.model"
POINTS = 10
"""Checkpoints of a training at which A is measured."""
ALONG = 48
"""Test structures on which it is."""
ALL = 160
"""Test structures at the end, and as many that all trainings have seen."""
BATCH = 8
"""Structures of a step, as in the options file."""
LONGEST = "4 x structures, 2 x longer"
"""The variant that has a second seed."""
VARIANTS: dict[str, dict[str, Any]] = {
    "as in pes": {},
    "4 x structures, as many steps": {"structures": 5120, "epochs": 25},
    "l_max 4": {f"{MODEL}.geometry_embedding.l_max": 4},
    "forces weigh a tenth": {f"{TRAINER}.loss.non_conservative_force.weight": 1.0},
    "a quarter of the structures, as many steps": {"structures": 320, "epochs": 400},
    LONGEST: {"structures": 5120, "epochs": 50},
    "penalty in the last quarter": {f"{TRAINER}.symmetry_penalty": {}},
    "penalty from the start": {f"{TRAINER}.symmetry_penalty.start": 0.0},
    "smaller model": {
        f"{MODEL}.d_pet": 24,
        f"{MODEL}.d_head": 24,
        f"{MODEL}.d_node": 48,
        f"{MODEL}.d_feedforward": 48,
    },
    "larger model": {
        f"{MODEL}.d_pet": 96,
        f"{MODEL}.d_head": 96,
        f"{MODEL}.d_node": 192,
        f"{MODEL}.d_feedforward": 192,
    },
}
"""Changes of the options; ``structures`` and ``epochs`` are 1280 and 100 without them."""


def options_of(variant: str, setting: Setting) -> dict[str, Any]:
    """Options of a training.

    :param variant: one of :data:`VARIANTS`
    :param setting: where the data are, and how much
    """
    changes = dict(VARIANTS[variant])
    structures = changes.pop("structures", 1280)
    epochs = changes.pop("epochs", 100)
    if setting.quick:
        structures, epochs = max(10, structures // 128), max(2, epochs // 50)
    options = changed(load("pes_chgnet.yaml", setting.data), QUICK if setting.quick else {})
    del options["architecture"]["training"]["symmetry"], options["test_set"]
    folder = setting.data / FOLDER
    options["validation_set"] = copy.deepcopy(options["training_set"])
    return changed(
        options,
        {
            f"{TRAINER}.num_epochs": epochs,
            f"{TRAINER}.checkpoint_interval": max(1, epochs // (2 * POINTS)),
            "training_set.systems.read_from": str(folder / f"training_{structures}.xyz"),
            "validation_set.systems.read_from": str(folder / "validation.xyz"),
            **changes,
        },
    )


def plan(setting: Setting) -> list[Training]:
    """All variants of the first seed that is asked for, only the longest of the others."""
    return [
        Training(
            name, seed, changed(options_of(name, setting), {"seed": seed}), setting.runs
        )
        for seed in setting.seeds
        for name in (VARIANTS if seed == setting.seeds[0] else [LONGEST])
    ]


def checkpoints(training: Training, points: int = POINTS) -> list[tuple[int, Path]]:
    """Checkpoints along a training, evenly spread.

    :param training: with at least one checkpoint
    :param points: wanted number of them; up to twice as many where few were written
    :return: numbers of finished epochs and files
    """
    files = training.folder.glob("outputs/*/*/model_*.ckpt")
    found = {int(file.stem.removeprefix("model_")) + 1: file for file in sorted(files)}
    epochs = sorted(found)
    step = max(1, len(epochs) // points)
    return [(epoch, found[epoch]) for epoch in epochs[::-1][::step][::-1]]


def measured(model: Path, frames: list[Any], cache: Path) -> pd.DataFrame:
    """A and errors of a checkpoint on test structures, measured once.

    :param model: checkpoint
    :param frames: test structures
    :param cache: file that keeps the table
    :return: medians of each target, as :func:`benchmarks.studies.pes.ratios`
    """
    if not cache.is_file() or cache.stat().st_mtime < model.stat().st_mtime:
        ratios(scan(model, frames).equivariance).to_csv(cache, index=False)
    return pd.read_csv(cache)


def along(training: Training, frames: list[Any]) -> pd.DataFrame:
    """A and errors over the epochs of a training.

    :param training: with at least one checkpoint
    :param frames: test structures
    """
    tables = []
    for epoch, file in tqdm(checkpoints(training), desc=training.name, unit="checkpoint"):
        cache = training.folder / f"along_{epoch}_{len(frames)}.csv"
        tables.append(measured(file, frames, cache).assign(epoch=epoch))
    found = pd.concat(tables, ignore_index=True)
    steps = found.epoch * structures_trained_on(training) // BATCH
    return found.assign(variant=training.variant, seed=training.seed, steps=steps)


def structures_trained_on(training: Training) -> int:
    """How many structures the training set has.

    :param training: of a data set of :mod:`benchmarks.makers.chgnet_splits`
    """
    file = Path(training.options["training_set"]["systems"]["read_from"])
    return int(file.stem.removeprefix("training_"))


def at_the_end(training: Training, frames: dict[str, list[Any]]) -> pd.DataFrame:
    """A and errors of the newest model of a training.

    :param training: with at least one checkpoint
    :param frames: structures by where they are from: ``test`` or ``training``
    """
    assert training.checkpoint is not None
    tables = []
    for where, some in frames.items():
        cache = training.folder / f"end_{where}_{len(some)}.csv"
        tables.append(measured(training.checkpoint, some, cache).assign(where=where))
    return pd.concat(tables, ignore_index=True).assign(
        variant=training.variant,
        seed=training.seed,
        finished=training.state["finished"],
        minutes=round(training.state["wall_s"] / 60, 1),
    )


def markdown(end: pd.DataFrame) -> str:
    """Ratios, A and errors at the end, for people.

    :param end: tables of :func:`at_the_end`
    """
    short = [name.removeprefix("non_conservative_") for name in PAPER]
    columns = [
        f"{quantity} of {name}"
        for quantity in ("A / error", "A", "error")
        for name in short
    ]
    columns += [f"A / error of {name}, trained on" for name in short]
    lines = ["| variant | seed | minutes | " + " | ".join(columns) + " |"]
    lines.append("|---|" + "---:|" * (len(columns) + 2))
    for (variant, seed), table in end.groupby(["variant", "seed"], sort=False):
        rows, known = (
            table[table["where"] == where].set_index("target").loc[list(PAPER)]
            for where in ("test", "training")
        )
        cells = [f"{100 * value:.0f} %" for value in rows.median_A_over_error]
        cells += [f"{value:.2g}" for value in [*rows.median_A, *rows.median_error]]
        cells += [f"{100 * value:.0f} %" for value in known.median_A_over_error]
        done = "" if rows.finished.all() else " (not finished)"
        start = [f"{variant}{done}", str(seed), f"{rows.minutes.iloc[0]:.0f}"]
        lines.append("| " + " | ".join(start + cells) + " |")
    return "\n".join(lines) + "\n"


def structures_of(setting: Setting) -> dict[str, list[Any]]:
    """Test structures, and some that all trainings have seen.

    :param setting: with the folder of the data
    """
    folder = setting.data / FOLDER
    smallest = min(
        folder.glob("training_*.xyz"), key=lambda path: int(path.stem.split("_")[1])
    )
    count = 2 if setting.quick else ALL
    files = {"test": folder / "test.xyz", "training": smallest}
    return {where: list(ase.io.iread(path, f":{count}")) for where, path in files.items()}


def analyse(trainings: list[Training], setting: Setting) -> dict[str, Any]:
    """Tables and a figure of all trainings that have begun.

    :param trainings: with at least one checkpoint
    :param setting: where to write
    :return: ratios at the end
    """
    frames = structures_of(setting)
    end: pd.DataFrame = pd.concat(
        [at_the_end(training, frames) for training in trainings], ignore_index=True
    )
    few = frames["test"][:ALONG]
    tables = {"end": end, "epochs": pd.concat([along(t, few) for t in trainings])}
    write(setting.results, tables, markdown(end))
    draw(setting.results)
    return {
        "median_A_over_error": {
            f"{variant}, seed {seed}, {where}": table.set_index(
                "target"
            ).median_A_over_error.to_dict()
            for (variant, seed, where), table in end.groupby(
                ["variant", "seed", "where"], sort=False
            )
        }
    }


STUDY = Study(
    name="convergence",
    title="A potential-energy surface: what moves A / error?",
    maker="benchmarks.makers.chgnet_splits",
    plan=plan,
    analyse=analyse,
    seeds=(0, 1),
)

if __name__ == "__main__":
    main(STUDY)
