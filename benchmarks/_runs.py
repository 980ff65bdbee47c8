"""One run of ``embedding_defaults``: options, training, evaluation."""

from __future__ import annotations

import csv
import hashlib
import math
import resource
import tempfile
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ase.io
import numpy as np

from benchmarks._results import hardware
from benchmarks._training import COMMAND, Training


VALIDATION_FRACTION = 0.2
PACKAGES = ("metatrain-symmetry", "metatrain", "torch", "sphericart-torch")


@dataclass(frozen=True)
class Task:
    """What is learned, and with which small model.

    :param systems: file with the structures
    :param targets: metatrain's ``targets`` section
    :param model: hyperparameters that all variants share
    :param training: hyperparameters of the trainer, without ``num_epochs``
    :param epochs: number of epochs
    """

    systems: Path
    targets: dict[str, Any]
    model: dict[str, Any]
    training: dict[str, Any]
    epochs: int

    def files(self) -> list[Path]:
        """List the files that the task reads."""
        others = (target.get("read_from") for target in self.targets.values())
        return [self.systems, *(Path(name) for name in others if name)]


@dataclass(frozen=True)
class Run:
    """Settings that decide the result of a run; equal settings are not run twice.

    :param task: name of the task
    :param variant: name of the variant
    :param architecture: name of the architecture
    :param model: hyperparameters of the model
    :param training: hyperparameters of the trainer
    :param seed: random seed of the initial weights and of the batches
    :param data: hash of the data files
    """

    task: str
    variant: str
    architecture: str
    model: dict[str, Any]
    training: dict[str, Any]
    seed: int
    data: str


def fingerprint(files: list[Path]) -> str:
    """Hash the contents of files.

    :param files: files to read
    :return: first 12 hexadecimal digits of their common SHA-256
    """
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def split(file: Path) -> tuple[list[int], list[int]]:
    """Split a file into training and validation set, the same way for all runs.

    :param file: structures, readable by ase
    :return: indices of the training and of the validation structures
    """
    count = len(ase.io.read(file, index=":"))
    order = np.random.default_rng(0).permutation(count).tolist()
    validation = round(VALIDATION_FRACTION * count)
    return sorted(order[validation:]), sorted(order[:validation])


def build_options(run: Run, task: Task) -> dict[str, Any]:
    """Write metatrain's options of a run.

    :param run: the run
    :param task: its task
    :return: what goes into ``options.yaml``
    """
    train, validation = split(task.systems)
    targets = {name: dict(target) for name, target in task.targets.items()}
    for target in targets.values():
        if "read_from" in target:  # the run happens in a folder of its own
            target["read_from"] = str(Path(target["read_from"]).resolve())
    return {
        "seed": run.seed,
        "device": "cpu",
        "base_precision": 32,
        "final_eval": False,
        "architecture": {
            "name": run.architecture,
            "model": run.model,
            "training": run.training,
        },
        "training_set": {
            "systems": {
                "read_from": str(task.systems.resolve()),
                "length_unit": "angstrom",
            },
            "targets": targets,
            "indices": train,
        },
        "validation_set": {"indices": validation},
        "test_set": 0.0,
    }


def execute(run: Run, task: Task) -> dict[str, Any]:
    """Train and evaluate in a temporary folder, on one thread.

    :param run: the run
    :param task: its task
    :return: the entry of the results file
    :raises RuntimeError: if the training fails, with the last line of its output
    """
    from . import _evaluate

    options = build_options(run, task)
    with tempfile.TemporaryDirectory() as name:
        training = Training(run.variant, run.seed, options, Path(name))
        cpu = children_cpu()
        outcome = training.train(float("inf"))
        cpu = children_cpu() - cpu
        if outcome != "finished":
            raise RuntimeError(outcome)
        (log,) = training.folder.glob("outputs/*/*/train.csv")
        results = {
            "first_epoch_loss": first_epoch_loss(log),
            **_evaluate.evaluate(run.task, options, training.folder),
        }
        wall = training.state["wall_s"]
    return {
        "settings": asdict(run),
        # JSON has neither infinity nor NaN
        "results": {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in results.items()
        },
        "wall_s": wall,
        "cpu_s": round(cpu, 1),
        "command": " ".join(["python", *COMMAND]),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {package: version(package) for package in PACKAGES},
        "hardware": hardware(),
    }


def children_cpu() -> float:
    """Processor time of the finished child processes, in s.

    Unlike wall time, it says something on a machine that does other work as well.
    """
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def first_epoch_loss(log: Path) -> float:
    """Read the training loss of the first epoch.

    :param log: metatrain's ``train.csv``: a row of names, a row of units, then values
    :return: the loss, summed over batches
    """
    with log.open(newline="") as file:
        names, _, first, *_ = csv.reader(file)
    return float(dict(zip(names, first, strict=True))["training loss"])
