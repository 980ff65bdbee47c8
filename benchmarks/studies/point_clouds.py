"""Beyond atoms: which class a point has, when the cloud is rotated.

Section IV of the paper at a size for one core: a small segmenter with tokens
(:mod:`benchmarks.studies._segmenter`) is trained with random rotations on simulated
particle tracks, and measured on test events: how often the class of a point flips under
rotations, A of the probabilities, and which irreps its layers hold. Then its readout is
purified (convex), and all weights are trained on, with the symmetry penalty and, as a
control, without it::

    python -m benchmarks.studies.point_clouds

Everything is resumed: a checkpoint is written after each epoch.
"""

from __future__ import annotations

import argparse
import copy
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from benchmarks._results import hardware, write_json
from benchmarks.makers.tracks import CLASSES
from benchmarks.studies._clouds import (
    BINS,
    Events,
    Plan,
    PointErrors,
    along_orbits,
    entropy,
    load,
    orbit,
    summarise,
    train,
    with_penalty,
)
from benchmarks.studies._clouds_figures import draw_event, draw_layers, draw_readouts
from benchmarks.studies._clouds_layers import layer_report
from benchmarks.studies._options import ROOT
from benchmarks.studies._segmenter import Segmenter
from benchmarks.studies._study import DATA, RESULTS, RUNS, _portable
from metatrain_symmetry import PurifiedClassifier, Settings, purify_classifier


MAKER = "benchmarks.makers.tracks"
PACKAGES = ("metatrain-symmetry", "torch", "numpy", "scipy")
ALPHAS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Weights of the penalty, and of what keeps the readout near the trained one."""
COLUMNS = ["event", "probe", "channel", "B", "share", "stderr", "estimator"]
"""What is kept of the layers."""
GROUP = "Oi"
"""Octahedral group with inversion, in a random frame: 48 copies of an event."""
WEIGHT = 1.0
"""Of the penalty in the fine-tuning."""
SEED = 0


@dataclass(frozen=True)
class Sizes:
    """How much is done.

    :param epochs: of the training, 7 s each on an idle core
    :param more: epochs of the fine-tuning and of its control, 15 s each
    :param events: test events that are rotated
    :param spectra: of these, how many are resolved by irrep
    :param lambda_max: of the spectra
    :param solved: events whose features the readout is solved on
    :param taken: points of each of them
    :param model: arguments of the segmenter
    """

    epochs: int = 40
    more: int = 12
    events: int = 100
    spectra: int = 4
    lambda_max: int = 8
    solved: int = 800
    taken: int = 10
    model: tuple[tuple[str, int], ...] = ()


QUICK = Sizes(
    2, 1, 2, 1, 2, 6, 20, (("dim", 8), ("depth", 1), ("heads", 1), ("groups", 16))
)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line.

    :param arguments: in place of those of the process
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, for a test")
    parser.add_argument("--minutes", type=float, help="stop training after so long")
    parser.add_argument("--data", type=Path, help="folder of the made data")
    parser.add_argument("--runs", type=Path, help="folder for the checkpoints")
    parser.add_argument("--output", type=Path, help="folder for tables and figures")
    parser.add_argument("--analyse", action="store_true", help="train nothing more")
    args = parser.parse_args(arguments)
    args.data = (args.data or (DATA / "quick" if args.quick else DATA)).resolve()
    args.runs = args.runs or RUNS / ("quick" if args.quick else "") / "point_clouds"
    results = args.runs / "results" if args.quick else RESULTS / "point_clouds"
    args.output = args.output or results
    return args


def make_data(args: argparse.Namespace) -> None:
    """Make the events; the maker itself says if they are there already.

    :param args: as parsed
    """
    command = [sys.executable, "-m", MAKER, "--output-dir", str(args.data)]
    command += ["--quick"] if args.quick else []
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise SystemExit(f"{MAKER} made no data: see its messages above")


def train_all(
    args: argparse.Namespace, sizes: Sizes, data: dict[str, Events]
) -> tuple[dict[str, Segmenter], pd.DataFrame, dict[str, str]]:
    """Train the model, then go on with and without the penalty.

    :param args: as parsed
    :param sizes: how much
    :param data: events
    :return: models by name, a row for each epoch, and what was not finished
    """
    minutes = 0.0 if args.analyse else args.minutes
    deadline = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    first = Plan(args.runs / "trained.pt", entropy, sizes.epochs, seed=SEED)
    models: dict[str, Segmenter] = {}
    tables: list[pd.DataFrame] = []
    missing: dict[str, str] = {}
    plans = {"trained": first}
    for name, weight in (("fine-tuned", WEIGHT), ("continued", 0.0)):
        loss = with_penalty(weight)
        plans[name] = replace(
            first, file=args.runs / f"{name}.pt", loss=loss, epochs=sizes.more, rate=5e-4
        )
    for name, plan in plans.items():
        if name != "trained":
            plan.start = models["trained"].state_dict()
        model, rows = train(plan, lambda: Segmenter(**dict(sizes.model)), data, deadline)
        if len(rows) < plan.epochs:
            missing[name] = f"{len(rows)} of {plan.epochs} epochs"
        if rows:
            models[name] = model
            tables.append(pd.DataFrame(rows).assign(training=name))
        if name in missing:
            break
    return models, pd.concat(tables) if tables else pd.DataFrame(), missing


def features_of(
    model: Segmenter, events: Events, taken: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Last features of some points along an orbit of rotations and inversions.

    :param model: a segmenter
    :param events: the events
    :param taken: points of each of them, at random
    :param seed: of frame and points
    :return: features ``(n, copies, p)`` and labels ``(n,)``
    """
    rng = np.random.default_rng([SEED, seed])
    features, labels = [], []
    for _, hidden, right in along_orbits(model, events, orbit(GROUP, rng)):
        chosen = torch.as_tensor(rng.permutation(len(right))[:taken])
        features.append(hidden[:, chosen].transpose(0, 1))
        labels.append(right[chosen])
    return torch.cat(features), torch.cat(labels)


def purified(
    model: Segmenter, data: dict[str, Events], sizes: Sizes
) -> tuple[Segmenter, PurifiedClassifier]:
    """Replace the readout by one with a lower A.

    :param model: trained
    :param data: events
    :param sizes: how much
    :return: another model, and what the solve found
    """
    readout = model.head.readout
    some = data["train"][: sizes.solved], data["validation"][: sizes.solved]
    training, held_out = (
        features_of(model, events, taken, seed)
        for seed, (events, taken) in enumerate(
            zip(some, (sizes.taken, 2 * sizes.taken), strict=True)
        )
    )
    found = purify_classifier(
        *training,
        ALPHAS,
        initial=(readout.weight, readout.bias),
        validation=held_out,
        ridge=RIDGES,
        progress=True,
    )
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.head.readout.weight.copy_(torch.as_tensor(found.weight))
        other.head.readout.bias.copy_(torch.as_tensor(found.bias))
    return other, found


def measure(
    model: Segmenter, events: Events, rotated: bool = True
) -> tuple[dict[str, float], list[PointErrors]]:
    """Numbers of a model on rotated events, all models in the same orientations.

    :param model: a segmenter
    :param events: test events
    :param rotated: whether to rotate; otherwise the farthest points begin at random
    """
    matrices = orbit(GROUP, np.random.default_rng([SEED, 7]))
    if not rotated:
        model, matrices = copy.deepcopy(model), torch.eye(3).expand_as(matrices)
        model.seed = None
        torch.manual_seed(SEED)
    outputs = [
        (scores, labels) for scores, _, labels in along_orbits(model, events, matrices)
    ]
    return summarise(outputs)


def where_unstable(errors: list[PointErrors]) -> dict[str, float]:
    """A of the points that are classified right and wrong, and of those that flip.

    :param errors: of all events
    :return: medians, and the rank correlation of A and flips
    """
    A, flips, classes, labels = (
        np.concatenate([getattr(one, name) for one in errors])
        for name in ("A", "flips", "classes", "labels")
    )
    groups = {"right": classes == labels, "flip": flips > 0}
    found = {}
    for name, inside in groups.items():
        for word, kept in ((name, inside), (f"not_{name}", ~inside)):
            found[f"median_A_{word}"] = float(np.median(A[kept])) if kept.any() else np.nan
    constant = (flips == flips[0]).all()
    rank = np.nan if constant else float(spearmanr(A, flips).statistic)
    return {**found, "rank_correlation_A_flips": rank}


def event_table(events: Events, errors: list[PointErrors]) -> pd.DataFrame:
    """Points of the event to draw: most classes, then most flips.

    :param events: test events
    :param errors: of each
    """
    index = max(
        range(len(errors)),
        key=lambda i: (len(np.unique(errors[i].labels)), errors[i].flips.sum()),
    )
    points = events.points[index, : int(events.lengths[index])].numpy()
    own = errors[index]
    return pd.DataFrame(
        {
            "event": index,
            **dict(zip(("x", "y", "z", "energy"), points.T, strict=True)),
            "label": own.labels,
            "class": own.classes,
            "A": own.A,
            "flips": own.flips,
        }
    )


def analyse(
    models: dict[str, Segmenter], data: dict[str, Events], sizes: Sizes, output: Path
) -> dict[str, Any]:
    """Tables and figures.

    :param models: by name, ``trained`` among them
    :param data: events
    :param sizes: how much
    :param output: folder
    :return: numbers for the summary
    """
    events = data["test"][: sizes.events]
    models = dict(models)
    models["purified"], found = purified(models["trained"], data, sizes)
    rows, unstable = [], {}
    for name, model in models.items():
        numbers, errors = measure(model, events)
        rows.append({"model": name, **numbers})
        unstable[name] = where_unstable(errors)
        if name == "trained":
            event = event_table(events, errors)
    resampled, _ = measure(models["trained"], events, rotated=False)
    rows.append({"model": "trained, not rotated, other tokens", **resampled})
    lengths = events.lengths.tolist()
    clouds = [events.points[i, : lengths[i]] for i in range(len(events))][: sizes.spectra]
    settings = Settings(lambda_max=sizes.lambda_max, budget=None, estimator="grid")
    tables = {
        "models": pd.DataFrame(rows),
        "event": event,
        "readouts": found.table,
        "characters": layer_report(models["trained"], clouds, settings)[COLUMNS],
    }
    for name, table in tables.items():
        table.to_csv(output / f"{name}.csv", index=False, float_format="%.5g")
    draw_layers(tables["characters"], output / "layers.png")
    draw_event(event, output / "event.png")
    draw_readouts(found.table, output / "readouts.png")
    return {
        "models": {row["model"]: row for row in rows},
        "where_unstable": unstable,
        "purified_alpha": found.alpha,
        "purified_ridge": found.ridge,
        "test_events": len(events),
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the study; what was finished before is not repeated.

    :param arguments: in place of those of the process
    :return: the summary
    """
    args = parse(arguments)
    sizes = QUICK if args.quick else Sizes()
    make_data(args)
    data = load(args.data / "tracks.npz")
    models, epochs, missing = train_all(args, sizes, data)
    args.output.mkdir(parents=True, exist_ok=True)
    epochs.to_csv(args.output / "epochs.csv", index=False, float_format="%.6g")
    given = sys.argv[1:] if arguments is None else arguments
    summary = {
        "study": (__doc__ or "").splitlines()[0],
        "simulated": True,
        "command": " ".join(["python", "-m", "benchmarks.studies.point_clouds", *given]),
        "versions": {name: _version(name) for name in PACKAGES},
        "hardware": hardware(),
        "classes": list(CLASSES),
        "group": GROUP,
        "penalty_weight": WEIGHT,
        "calibration_bins": BINS,
        "not_finished": missing,
        "results": analyse(models, data, sizes, args.output) if models else {},
    }
    write_json(args.output / "summary.json", _portable(summary))
    for name, what in missing.items():
        print(f"not finished: {name} ({what})")
    print(f"tables and figures are in '{args.output}'")
    return summary


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


if __name__ == "__main__":
    main()
