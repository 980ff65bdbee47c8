"""A pseudo-scalar target: nothing is learned for long, then everything at once.

Section III.4 of the paper at a size for one core: the triple product of the bonds of
CHBrClF, whose mirror images are in the data. One thing at a time is changed: the
featurizer, the temperature of the attention, l_max null, 1 (what ``auto`` chooses), 3 and
4 with and without normalisation, the length scale. Over the epochs: RMSE relative to
predicting zero, A, and the share of the pseudo-scalar (0,-) in the prediction; and, as a
reason, the share of vectors in the embeddings before training::

    python -m benchmarks.studies.pseudoscalar
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks._training import Training
from benchmarks.studies import _series
from benchmarks.studies._draw import draw_cause, draw_curves, write
from benchmarks.studies._options import changed, load
from benchmarks.studies._study import Setting, Study, main
from metatrain_symmetry.report.epochs import draw_epochs


MODEL = "architecture.model"
TRAINER = "architecture.training"


def embedding(l_max: int | str | None, **others: Any) -> dict[str, Any]:
    """Changes of the options for a geometry embedding.

    :param l_max: its degree, None for PET's own
    :param others: other options of it
    """
    return {f"{MODEL}.geometry_embedding": {"l_max": l_max, **others}}


# the residual featurizer and harmonics that are normalised at 1.5 Å, where nothing is said
VARIANTS: dict[str, dict[str, Any]] = {
    "PET": embedding(None),
    "l_max auto (1)": embedding("auto"),
    "l_max 3": embedding(3),
    "l_max 4": embedding(4),
    "l_max 4, 2.5 Å": embedding(4, length_scale=2.5),
    "PET, feedforward": {
        **embedding(None), f"{MODEL}.featurizer_type": "feedforward",
    },
    "l_max 1, not normalised": embedding(1, normalization=None),
    "l_max 3, not normalised": embedding(3, normalization=None),
    "l_max 4, not normalised": embedding(4, normalization=None),
    "PET, temperature 0.3": {
        **embedding(None), f"{MODEL}.attention_temperature": 0.3,
    },
    "PET, temperature 1": {
        **embedding(None), f"{MODEL}.attention_temperature": 1.0,
    },
}  # fmt: skip
WATCH = {
    f"{TRAINER}.symmetry.max_overhead": 0.2,
    f"{TRAINER}.symmetry.probes": ["GE", "EE", "BBF", "LLF"],
}
QUICK = {
    f"{TRAINER}.num_epochs": 3,
    f"{TRAINER}.batch_size": 12,
    f"{TRAINER}.checkpoint_interval": 1,
    f"{TRAINER}.symmetry.interval": 1,
    f"{TRAINER}.symmetry.lambda_max": 2,
}
SETTLED = 8
"""Epoch by which every training predicts nothing: the curves begin there."""
PSEUDO, VECTOR = "(0,-)", "(1,+)"


def plan(setting: Setting) -> list[Training]:
    """All trainings; the first seed of every variant comes first."""
    options = changed(load("pseudoscalar.yaml", setting.data), WATCH)
    options = changed(options, QUICK if setting.quick else {})
    return [
        Training(variant, seed, changed(options, {"seed": seed, **changes}), setting.runs)
        for seed in setting.seeds
        for variant, changes in VARIANTS.items()
        if not setting.quick or variant in ("PET", "l_max 4")
    ]


def transition(curves: pd.DataFrame) -> dict[str, float]:
    """When and how sharply a training left its plateau.

    :param curves: rows of one training
    :return: first measured epochs with a relative RMSE below 0.9 and below 0.3, and with
        a pseudo share above one half; NaN where it does not happen
    """
    return {
        "epoch_rmse_0.9": _series.first_epoch(curves, "relative_rmse", 0.9, above=False),
        "epoch_rmse_0.3": _series.first_epoch(curves, "relative_rmse", 0.3, above=False),
        "epoch_pseudo_half": _series.first_epoch(curves, "share", 0.5, above=True),
    }


def at_start(shares: pd.DataFrame) -> dict[str, float]:
    """What the layers hold before training.

    :param shares: of one training, all channels
    :return: shares of vectors in the geometry embedding and in the embedded edges, and of
        the pseudo-scalar in the backbone features of edges
    """
    first = shares[shares.epoch == shares.epoch.min()]
    vectors = first[first.channel == VECTOR].groupby("group").share.first()
    pseudo = first[first.channel == PSEUDO].groupby("group").share.last()
    return {
        "vector_GE": float(vectors["GE"]),
        "vector_EE": float(vectors["EE"]),
        "pseudo_BBF": float(pseudo["BBF"]),
    }


COLUMNS = {
    "vector_GE": "(1,+) in GE at the start",
    "vector_EE": "(1,+) in EE at the start",
    "pseudo_BBF": "(0,-) in BBF of edges at the start",
    "epoch": "epochs",
    "relative_rmse": "validation RMSE / predicting zero",
    "share": "pseudo share",
    "relative_A": "A / predicting zero",
    "epoch_rmse_0.9": "epoch of RMSE 0.9",
    "epoch_rmse_0.3": "epoch of RMSE 0.3",
    "epoch_pseudo_half": "epoch of pseudo share 1/2",
}
FIGURE = ("EE", "BBF", "LLF", "predictions")
"""Layers of figure 6 of the paper; of nodes and edges the latter, where it happens."""
TITLE = "Triple product of CHBrClF, validation set"
CURVES = {
    "relative_rmse": "RMSE / predicting zero",
    "relative_A": "A / predicting zero",
    "share": "share of (0,-) in the prediction",
}


def curves_of(errors: pd.DataFrame, shares: pd.DataFrame) -> pd.DataFrame:
    """What is drawn over the epochs.

    :param errors: series of the trainings
    :param shares: of irreps in their layers and predictions
    :return: one row per training and epoch, with the share of the pseudo-scalar in the
        prediction
    """
    predicted = shares[(shares.channel == PSEUDO) & (shares.group == "predictions")]
    names = ["variant", "seed", "epoch"]
    columns = [*names, "relative_rmse", "norm_ratio", "relative_A"]
    return errors[columns].merge(predicted[[*names, "share"]], how="left")


def first_and_last(shares: pd.DataFrame) -> pd.DataFrame:
    """Vectors and pseudo-scalars in all layers, before and after training.

    :param shares: over all epochs
    """
    kept = shares[shares.channel.isin([PSEUDO, VECTOR])]
    epochs = kept.groupby(["variant", "seed"]).epoch
    is_end = kept.epoch.eq(epochs.transform("min")) | kept.epoch.eq(epochs.transform("max"))
    return kept[is_end]


def ends(curves: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """Final numbers of every training, and when it left its plateau.

    :param curves: of :func:`curves_of`
    :param layers: of :func:`first_and_last`
    :return: one row for each training
    """
    rows = []
    by_training = layers.groupby(["variant", "seed"])
    for (variant, seed), own in curves.groupby(["variant", "seed"], sort=False):
        names = {"variant": variant, "seed": seed}
        found = at_start(by_training.get_group((variant, seed)))
        rows.append({**names, **transition(own), **found})
    return _series.last(curves).merge(pd.DataFrame(rows))


def analyse(trainings: list[Training], setting: Setting) -> dict[str, Any]:
    """Tables and figures of what was trained.

    :param trainings: with at least one checkpoint
    :param setting: where to write
    :return: how many trainings there are
    """
    watched = [training for training in trainings if training.is_watched]
    # stopped ones only where there is nothing else
    watched = [t for t in watched if t.state["finished"]] or watched
    if not watched:
        return {}
    shares = _series.shares(watched)
    curves, layers = curves_of(_series.errors(watched), shares), first_and_last(shares)
    final = ends(curves, layers)
    tables = {"curves": curves, "layers": layers, "trainings": final}
    _series.write(setting.results, tables, _series.table_of(final, COLUMNS))
    draw(setting.results)
    draw_one(watched[0], setting.results)
    return {"trainings": len(final)}


def draw(folder: Path) -> None:
    """Draw what compares the trainings, from the tables that were written.

    :param folder: with ``curves.csv`` and ``trainings.csv``
    """
    curves = pd.read_csv(folder / "curves.csv")
    last = int(curves.epoch.max())
    draw_curves(curves, CURVES, folder / "epochs.png", TITLE, min(SETTLED, last))
    draw_cause(pd.read_csv(folder / "trainings.csv"), folder / "cause.png", last)


def draw_one(training: Training, folder: Path) -> None:
    """Draw layers and prediction of one training over its epochs, from its series.

    :param training: that was watched
    :param folder: for the figure ``layers.png``
    """
    series = training.series()
    groups = series.characters.groupby("group", sort=False).probe.last()
    shown = [groups[name] for name in FIGURE if name in groups]
    figure = draw_epochs(series, *shown, title=training.variant)
    assert figure is not None
    write(figure, folder / "layers.png")


STUDY = Study(
    "pseudoscalar",
    (__doc__ or "").splitlines()[0],
    "benchmarks.makers.chbrclf",
    plan,
    analyse,
)


if __name__ == "__main__":
    main(STUDY)
