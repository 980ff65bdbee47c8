"""A target of λ = 8: PET collapses to predicting zero, harmonics let it learn.

Section III.5 of the paper at a size for one core: the (8,+) part of RHF/6-31G* densities,
l_max null (PET), 1, 4 (what ``auto`` chooses) and 8, three seeds, and two settings that
learn the pseudo-scalar of the other study as well. Over the epochs: RMSE relative to
predicting zero, A, |prediction| / |target|. In the end also for molecules that were not
trained on::

    python -m benchmarks.studies.density
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd

from benchmarks._evaluate import last_model, predict, root_mean_square, spherical_errors
from benchmarks._training import Training
from benchmarks.studies import _series
from benchmarks.studies._draw import draw_curves
from benchmarks.studies._options import changed, evaluation, load
from benchmarks.studies._study import Setting, Study, main
from metatrain_symmetry import symmetry_report


MODEL = "architecture.model"
EMBEDDING = f"{MODEL}.geometry_embedding"
TRAINER = "architecture.training"
VARIANTS: dict[str, dict[str, Any]] = {
    "l_max auto (4)": {f"{EMBEDDING}.l_max": "auto"},
    "PET": {f"{EMBEDDING}.l_max": None},
    "l_max 8": {f"{EMBEDDING}.l_max": 8},
    "l_max 1": {f"{EMBEDDING}.l_max": 1},
    "l_max 4, 1.5 Å, temperature 0.1": {
        f"{EMBEDDING}.l_max": 4,
        f"{EMBEDDING}.length_scale": 1.5,
        f"{MODEL}.attention_temperature": 0.1,
    },
    "l_max 4, 2.5 Å, temperature 0.1": {
        f"{EMBEDDING}.l_max": 4,
        f"{EMBEDDING}.length_scale": 2.5,
        f"{MODEL}.attention_temperature": 0.1,
        # slower: high degrees are small at bond lengths
        f"{TRAINER}.num_epochs": 80,
    },
}
WATCH = {
    # enough for all 24 epochs of short trainings
    f"{TRAINER}.symmetry.max_overhead": 0.2,
    f"{TRAINER}.symmetry.probes": ["EE", "LLF"],
}
DEGREE = 12
"""Of the grid for A on molecules not trained on, 1924 rotations of each."""
EVERY = 31
"""A is measured on so few conformers of molecules not trained on: one of each."""
QUICK = {
    f"{TRAINER}.num_epochs": 2,
    f"{TRAINER}.batch_size": 4,
    f"{TRAINER}.checkpoint_interval": 1,
    f"{TRAINER}.symmetry.lambda_max": 2,
    "architecture.model.d_pet": 16,
    "architecture.model.num_gnn_layers": 1,
}


def plan(setting: Setting) -> list[Training]:
    """All trainings; the first seed of every variant comes first."""
    options = changed(load("density_l8.yaml", setting.data), WATCH)
    options = changed(options, QUICK if setting.quick else {})
    return [
        Training(variant, seed, changed(options, {"seed": seed, **changes}), setting.runs)
        for seed in setting.seeds
        for variant, changes in VARIANTS.items()
        if not setting.quick or variant in ("PET", "l_max auto (4)")
    ]


def unseen_equivariance(training: Training) -> float:
    """A on some of the molecules that were not trained on, of the best model.

    :param training: finished
    :return: root mean square over atoms
    """
    systems = evaluation(training.options, "density_l8_unseen")["systems"]
    frames = ase.io.read(systems["read_from"], f"::{EVERY}")
    found = symmetry_report(
        str(training.checkpoint), frames, probes=[], lambda_max=2, degree=DEGREE
    ).equivariance
    atoms = [len(frames[i]) for i in found.structure]
    return float(np.sqrt(np.average(found.A**2, weights=atoms)))


def final_errors(training: Training) -> dict[str, float]:
    """Errors after the last epoch on test structures, and on unseen molecules.

    :param training: at least one checkpoint must be there
    :return: relative RMSE and ratio of norms of both sets, and A on unseen molecules
    """
    # both import metatrain, which takes seconds
    from metatrain.utils.data import get_dataset
    from omegaconf import OmegaConf

    assert training.checkpoint is not None
    model = last_model(training.checkpoint)
    found = {}
    for part, stem in (("test", "density_l8"), ("unseen", "density_l8_unseen")):
        options = OmegaConf.create(evaluation(training.output_options, stem))
        dataset, info, _ = get_dataset(options)
        chosen = training.indices("test") if part == "test" else range(len(dataset))
        samples = [dataset[i] for i in chosen]
        (name,) = info
        pairs = predict(model, samples, info, name)
        for key, value in spherical_errors(pairs).items():
            found[f"{part}_{key}"] = value
    size = root_mean_square([target.block().values for _, target in pairs])
    found["unseen_relative_A"] = unseen_equivariance(training) / size
    return found


COLUMNS = {
    "relative_rmse": "validation RMSE / predicting zero",
    "norm_ratio": "norm ratio",
    "relative_A": "A / predicting zero",
    "epoch_alive": "epoch of norm ratio 0.9",
    "test_relative_rmse": "test RMSE",
    "unseen_relative_rmse": "unseen molecules RMSE",
    "unseen_norm_ratio": "unseen norm ratio",
    "unseen_relative_A": "unseen A / predicting zero",
}
TITLE = "(8,+) of electron densities, validation set"
CURVES = {
    "relative_rmse": "RMSE / predicting zero",
    "norm_ratio": "|prediction| / |target|",
    "relative_A": "A / predicting zero",
}


def ends(trainings: list[Training], errors: pd.DataFrame) -> pd.DataFrame:
    """Final numbers of every training.

    :param trainings: finished ones
    :param errors: their series
    :return: one row for each
    """
    rows = []
    for training in trainings:
        own = _series.of(errors, training)
        alive = _series.first_epoch(own, "norm_ratio", 0.9, above=True)
        names = {"variant": training.variant, "seed": training.seed}
        rows.append({**names, "epoch_alive": alive, **final_errors(training)})
    columns = ["variant", "seed", "relative_rmse", "norm_ratio", "relative_A"]
    return _series.last(errors)[columns].merge(pd.DataFrame(rows))


def analyse(trainings: list[Training], setting: Setting) -> dict[str, Any]:
    """Tables and figure of what was trained.

    :param trainings: with at least one checkpoint
    :param setting: where to write
    :return: how many trainings there are
    """
    finished = [training for training in trainings if training.state["finished"]]
    if not finished:
        return {}
    errors = _series.errors(finished)
    final = ends(finished, errors)
    curves = errors[["variant", "seed", "epoch", *CURVES]]
    tables = {"curves": curves, "trainings": final}
    _series.write(setting.results, tables, _series.table_of(final, COLUMNS))
    draw(setting.results)
    return {"trainings": len(final)}


def draw(folder: Path) -> None:
    """Draw the figure from the table that was written.

    :param folder: with ``curves.csv``
    """
    curves = pd.read_csv(folder / "curves.csv")
    draw_curves(curves, CURVES, folder / "epochs.png", TITLE)


STUDY = Study(
    "density",
    (__doc__ or "").splitlines()[0],
    "benchmarks.makers.densities",
    plan,
    analyse,
)


if __name__ == "__main__":
    main(STUDY)
