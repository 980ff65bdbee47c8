"""One geometry embedding for a target of λ = 8 and for a pseudo-scalar.

PET learns neither at its own attention temperature of 1. Forms of
:mod:`benchmarks.studies._embeddings` are trained on the data of the studies ``density`` and
``pseudoscalar``, and so are PET and the embedding of ``pet_ssh`` itself, at the
temperature of 1 and at 0.1, where a pseudo-scalar is learned. The table has the epoch at
which it was and the final errors of both tasks; of all embeddings and seeds, trained or
not, the time of a training step against PET's, and what the best linear readout could know
of the pseudo-scalar before training::

    python -m benchmarks.studies.one_embedding
    python -m benchmarks.studies.one_embedding --only "pseudo-scalar: medium" --seeds 0
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._training import Training
from benchmarks.studies import _embeddings, _series
from benchmarks.studies._draw import draw_curves
from benchmarks.studies._embedding_steps import at_the_start, steps
from benchmarks.studies._options import changed, load
from benchmarks.studies._study import Setting, Study, main


MODEL = "architecture.model"
TRAINER = "architecture.training"
PSEUDO, DENSITY = "pseudo-scalar", "λ = 8"
TASKS = {PSEUDO: "pseudoscalar.yaml", DENSITY: "density_l8.yaml"}
"""Options file of each."""
PLAIN, OWN = "PET", "pet_ssh"
EMBEDDINGS = (PLAIN, OWN, *_embeddings.FORMS)
TRAINED: dict[float, tuple[str, ...]] = {
    1.0: (PLAIN, OWN, "unit", "medium", "eager", "apart", "silent, bare"),
    0.1: (PLAIN, OWN, "unit", "small", "medium", "eager", "silent, bare"),
}
"""Temperatures of the attention, PET's own and one at which pseudo-scalars are learned, and
the embeddings that are trained; for the others, only what they begin with is measured."""
STARTS = (0, 1, 2)
"""Seeds of models that are not trained, beside those that are."""
L_MAX = 4
QUICK = {f"{TRAINER}.num_epochs": 2, f"{TRAINER}.batch_size": 12,
         f"{TRAINER}.checkpoint_interval": 1, f"{MODEL}.num_gnn_layers": 1}  # fmt: skip
QUICKLY: dict[float, tuple[str, ...]] = {1.0: (PLAIN, "silent")}
LEARNED = 0.9
"""Of the error of predicting zero: the pseudo-scalar is learned from here on."""


@dataclass(frozen=True)
class FormTraining(Training):
    """A training with an embedding that ``mtt`` alone may not know.

    :param task: one of :data:`TASKS`
    :param embedding: one of :data:`EMBEDDINGS`
    :param temperature: of the attention
    """

    task: str = PSEUDO
    embedding: str = PLAIN
    temperature: float = 1.0

    @property
    def command(self) -> list[str]:
        """Arguments of the interpreter."""
        own = super().command
        if self.embedding not in _embeddings.FORMS:
            return own
        # in place of `-m metatrain_symmetry`
        return [str(Path(_embeddings.__file__).resolve()), self.embedding, *own[2:]]

    @property
    def decisive(self) -> dict[str, Any]:
        """All that decides the result beside variant and seed."""
        if self.embedding not in _embeddings.FORMS:
            return self.options
        return {**self.options, "form": _embeddings.definition(self.embedding)}


def options_of(
    task: str, embedding: str, temperature: float, seed: int, setting: Setting
) -> dict[str, Any]:
    """Options of a training: one embedding for both tasks, and nothing watched.

    :param task: one of :data:`TASKS`
    :param embedding: one of :data:`EMBEDDINGS`
    :param temperature: of the attention
    :param seed: of the training
    :param setting: sizes and folders
    """
    changes = {
        "seed": seed,
        f"{MODEL}.geometry_embedding": {"l_max": None if embedding == PLAIN else L_MAX},
        f"{MODEL}.attention_temperature": temperature,
        f"{TRAINER}.symmetry": None,
    }
    options = changed(load(TASKS[task], setting.data), changes)
    return changed(options, QUICK if setting.quick else {})


def training_of(
    task: str, embedding: str, temperature: float, seed: int, setting: Setting
) -> FormTraining:
    """A training.

    :param task: one of :data:`TASKS`
    :param embedding: one of :data:`EMBEDDINGS`
    :param temperature: of the attention
    :param seed: of the training
    :param setting: sizes and folders
    """
    options = options_of(task, embedding, temperature, seed, setting)
    name = f"{task}: {embedding}, temperature {temperature:g}"
    return FormTraining(name, seed, options, setting.runs, task, embedding, temperature)


def plan(setting: Setting) -> list[Training]:
    """All trainings: PET's own temperature first, then seed by seed."""
    return [
        training_of(task, embedding, temperature, seed, setting)
        for seed in setting.seeds
        for temperature, embeddings in (QUICKLY if setting.quick else TRAINED).items()
        for task in TASKS
        for embedding in embeddings
    ]


def epochs_of(training: Training) -> pd.DataFrame:
    """Validation errors of a training over its epochs, also where it was continued.

    :param training: with at least one log of metatrain
    :return: columns ``epoch`` and ``relative_rmse``, that of predicting zero being one
    """
    (target,) = training.options["training_set"]["targets"]
    found = _series.logged(training, f"validation {target} RMSE")
    table = pd.DataFrame(sorted(found.items()), columns=["epoch", "rmse"])
    size = _series.target_size(training)
    return table.assign(relative_rmse=table.rmse / size).drop(columns="rmse")


def curves_of(trainings: list[Training]) -> pd.DataFrame:
    """Errors of all trainings.

    :param trainings: with logs
    :return: rows with ``task``, ``variant``, ``seed``, ``epoch``, ``relative_rmse``
    """
    tables = []
    for training in trainings:
        task, variant = training.variant.split(": ", 1)
        own = epochs_of(training)
        own = own.assign(task=task, variant=variant, seed=training.seed)
        tables.append(own)
    columns = ["task", "variant", "seed", "epoch", "relative_rmse"]
    return pd.concat(tables, ignore_index=True)[columns]


def ends(curves: pd.DataFrame) -> pd.DataFrame:
    """What came of both tasks, a row for each variant and seed.

    :param curves: of :func:`curves_of`
    :return: ``epoch_learned`` (NaN for never) and ``pseudo_rmse`` of the pseudo-scalar,
        ``l8_rmse`` of λ = 8; NaN where there is no training
    """
    rows = []
    for (variant, seed), own in curves.groupby(["variant", "seed"], sort=False):
        last = own.sort_values("epoch").groupby("task").relative_rmse.last()
        pseudo = own[own.task == PSEUDO]
        learned = _series.first_epoch(pseudo, "relative_rmse", LEARNED, above=False)
        rows.append(
            {
                "variant": variant,
                "seed": seed,
                "epoch_learned": learned,
                "learned": float(np.isfinite(learned)) if len(pseudo) else np.nan,
                "pseudo_rmse": last.get(PSEUDO, np.nan),
                "l8_rmse": last.get(DENSITY, np.nan),
            }
        )
    return pd.DataFrame(rows)


COLUMNS = {
    "epoch_learned": "pseudo-scalar: epoch of RMSE 0.9",
    "learned": "share of seeds",
    "pseudo_rmse": "RMSE / predicting zero",
    "l8_rmse": "λ = 8: RMSE / predicting zero",
    "readable": "R² of the best readout before training",
    "step": "processor time of a step / PET",
}
TITLE = "One embedding for both: validation RMSE / predicting zero"


def started(setting: Setting) -> pd.DataFrame:
    """What needs no training, of every embedding, also where none was trained.

    :param setting: sizes, seeds and data
    :return: ``variant``, ``seed``, ``readable`` and ``step``
    """
    seeds = setting.seeds if setting.quick else sorted({*STARTS, *setting.seeds})
    wanted = QUICKLY if setting.quick else dict.fromkeys(TRAINED, EMBEDDINGS)
    known = [
        training_of(PSEUDO, embedding, temperature, seed, setting)
        for seed in seeds
        for temperature, embeddings in wanted.items()
        for embedding in embeddings
    ]
    ratios = steps([t.embedding for t in known], setting.quick)
    found = at_the_start(known, setting.quick)
    rows = [
        {
            "variant": t.variant.split(": ", 1)[1],
            "seed": t.seed,
            "readable": found[t.embedding, t.temperature, t.seed],
            "step": ratios[t.embedding],
        }
        for t in known
    ]
    return pd.DataFrame(rows)


def analyse(trainings: list[Training], setting: Setting) -> dict[str, Any]:
    """Tables and figure of what was trained.

    :param trainings: with at least one checkpoint
    :param setting: where to write
    :return: how many trainings there are
    """
    finished = [t for t in trainings if t.state["finished"]]
    if not finished:
        return {}
    curves, start = curves_of(finished), started(setting)
    final = ends(curves).merge(start, on=["variant", "seed"])
    tables = {"curves": wide(thinned(curves)), "trainings": final, "start": start}
    text = "\n".join(
        _series.table_of(rows, {name: COLUMNS[name] for name in names})
        for rows, names in ((final, COLUMNS), (start, ("readable", "step")))
    )
    _series.write(setting.results, tables, text)
    draw(setting.results)
    return {"trainings": len(finished)}


def thinned(curves: pd.DataFrame) -> pd.DataFrame:
    """Every fourth epoch to 40, then every twentieth, and the last: tables stay small.

    :param curves: of :func:`curves_of`
    """
    last = curves.groupby(["task", "variant", "seed"]).epoch.transform("max")
    early = (curves.epoch <= 40) & (curves.epoch % 4 == 0)
    return curves[early | (curves.epoch % 20 == 0) | (curves.epoch == last)]


def wide(curves: pd.DataFrame) -> pd.DataFrame:
    """A column for each seed: names of tasks and variants are long.

    :param curves: of :func:`curves_of`
    :return: ``task``, ``variant``, ``epoch`` and ``seed 0``, ...
    """
    names = ["task", "variant", "epoch"]
    found = curves.pivot(index=names, columns="seed", values="relative_rmse")
    order = curves[names].drop_duplicates()
    return order.merge(found.add_prefix("seed ").reset_index(), on=names)


def draw(folder: Path) -> None:
    """Draw the figure from the table that was written.

    :param folder: with ``curves.csv``
    """
    table = pd.read_csv(folder / "curves.csv")
    names = ["task", "variant", "epoch"]
    curves = table.melt(names, var_name="seed", value_name="rmse").dropna()
    index = ["variant", "seed", "epoch"]
    shown = curves.pivot(index=index, columns="task", values="rmse").reset_index()
    # in the order of the plan: variants have the same colour in every figure
    shown = shown.sort_values(
        "variant", key=lambda own: own.map(list(dict.fromkeys(table.variant)).index),
        kind="stable",
    )  # fmt: skip
    columns = {task: task for task in TASKS if task in shown}
    draw_curves(shown, columns, folder / "epochs.png", TITLE)


STUDY = Study(
    "one_embedding",
    (__doc__ or "").splitlines()[0],
    ("benchmarks.makers.chbrclf", "benchmarks.makers.densities"),
    plan,
    analyse,
)


if __name__ == "__main__":
    main(STUDY)
