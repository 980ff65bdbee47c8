"""Cases of the benchmark of symmetry fine-tuning: one trained model, before and after."""

from __future__ import annotations

import copy
import hashlib
import re
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from metatrain.pet import PET
from omegaconf import OmegaConf

from benchmarks._polish_errors import Sums, averaged, compared, measured, table
from benchmarks._training import Training
from metatrain_symmetry.api.purify_checkpoint import purify_checkpoint
from metatrain_symmetry.data.datasets import open_sets, read_indices
from metatrain_symmetry.data.options_files import load
from metatrain_symmetry.data.splits import Sections, StructureSet, read_sets
from metatrain_symmetry.finetune.datasets import labelled_sets
from metatrain_symmetry.finetune.held_out import engine_of, read_labelled
from metatrain_symmetry.finetune.options import FinetuneHypers, read_options
from metatrain_symmetry.finetune.run import Finetuned
from metatrain_symmetry.finetune.training import StagePlan, newest_checkpoint, train
from metatrain_symmetry.finetune.work import Work
from metatrain_symmetry.groups.design import Name
from metatrain_symmetry.models.live_or_exported import length_unit
from metatrain_symmetry.purify.checkpoint import build_model, distinct_states, read_pet
from metatrain_symmetry.purify.options import PurifyHypers, read_shared


GROUPS: dict[str, tuple[Name, int]] = {
    "averaging": ("I", 60),
    "averaging over O": ("O", 24),
}
"""Groups of rotations that predictions are averaged over, and their order."""
METHODS = ("full", "heads", "readout", "further", *GROUPS)
SETS = ("training", "validation", "test")
FILES = ("read_from", "indices", "systems", "training_set", "validation_set", "test_set")
"""Options that name a file where they are a text."""

TIME = re.compile(r"^\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\]", re.MULTILINE)


def read_all(sections: Sections) -> dict[str, StructureSet]:
    """Read all three sets, split as ``mtt train`` splits them.

    :param sections: of the options file
    :raises ValueError: if one of them is empty
    :return: by name
    """
    train_set, held_out = read_sets(sections)
    test: Any = sections.test_set
    if isinstance(test, int | float):
        # what a split has left over
        taken = set(map(tuple, train_set.chosen.tolist()))
        if isinstance(sections.validation_set, int | float):
            taken |= set(map(tuple, held_out.chosen.tolist()))
        pairs = [(n, i) for n, one in enumerate(train_set.datasets) for i in one.indices]
        chosen = [pair for pair in pairs if pair not in taken]
        datasets = train_set.datasets
    elif OmegaConf.is_dict(test) and "systems" not in test:
        datasets = train_set.datasets
        size = len(datasets[0].data)
        chosen = [(0, i) for i in read_indices(test["indices"], size, "test_set")]
    else:
        datasets, _ = open_sets(test, "test_set")
        chosen = [(n, i) for n, one in enumerate(datasets) for i in one.indices]
    if not chosen:
        raise ValueError("the test set is empty: give options with a test_set")
    tested = StructureSet("test", datasets, np.array(chosen))
    return dict(zip(SETS, (train_set, held_out, tested), strict=True))


def newest_run(checkpoint: Path) -> Path | None:
    """Folder of the training of a checkpoint, None if it is not there.

    :param checkpoint: in that folder, or where ``mtt train`` was called
    """
    near = [checkpoint.parent, *sorted(checkpoint.parent.glob("outputs/*/*"))]
    found = [folder for folder in near if (folder / "train.log").is_file()]
    return found[-1] if found else None


def check_split(run: Path, sets: dict[str, StructureSet]) -> bool:
    """Compare the sets with what ``mtt train`` has noted.

    :param run: folder of the training
    :param sets: of :func:`read_all`
    :raises ValueError: if they differ
    :return: whether there was a note on the test set
    """
    noted = False
    for name, one in sets.items():
        for number in range(len(one.datasets)):
            part = f"_{number}" if len(one.datasets) > 1 else ""
            file = run / "indices" / f"{name}{part}.txt"
            if not file.is_file():
                continue
            noted = noted or name == "test"
            wanted = sorted(map(int, file.read_text().split()))
            if wanted != sorted(i for n, i in one.chosen if n == number):
                raise ValueError(
                    f"the {name} set is not that of the training, which is in "
                    f"indices/{file.name}: give the options and the seed of the training"
                )
    return noted


def training_seconds(run: Path) -> float | None:
    """Wall time of a training, from the first line of its log to the last.

    :param run: its folder
    """
    times = TIME.findall((run / "train.log").read_text(errors="replace"))
    if not times:
        return None
    first, last = (datetime.fromisoformat(times[i]) for i in (0, -1))
    return (last - first).total_seconds()


@dataclass
class Study:
    """A trained model and the options of its training.

    :param checkpoint: of the model
    :param options: of the training, with the seed of its split
    :param changes: options of ``purify``, for the methods that know them
    :param structures: at most so many of a set are evaluated
    :param seconds: wall time of the training, None for that of its log
    """

    checkpoint: Path
    options: dict[str, Any]
    changes: dict[str, Any]
    structures: int
    seconds: float | None = None

    def __post_init__(self) -> None:
        known = {*FinetuneHypers.__annotations__, *PurifyHypers.__annotations__}
        wrong = sorted(set(self.changes) - known)
        if wrong:
            raise ValueError(f"mtt purify has no option {', '.join(wrong)}: correct --set")
        sections = read_shared(self.options).sections
        self.sets = read_all(sections)
        run = newest_run(self.checkpoint)
        self.split_checked = run is not None and check_split(run, self.sets)
        if self.seconds is None and run is not None:
            self.seconds = training_seconds(run)
        self.model, self.whole = load_model(self.checkpoint)
        engine = engine_of(self.model)
        self.data = {
            name: read_labelled(
                engine, self.sets[name].limited(self.structures, sections.seed)
            )
            for name in ("test", "validation")
        }

    def settings(self) -> dict[str, Any]:
        """What decides the numbers before."""
        return {
            "checkpoint": hashlib.sha256(self.checkpoint.read_bytes()).hexdigest()[:12],
            "seed": read_shared(self.options).sections.seed,
            "sets": {name: len(one) for name, one in self.sets.items()},
            "evaluated": {name: len(data) for name, data in self.data.items()},
            "split_checked": self.split_checked,
            "training_seconds": self.seconds,
        }

    @cached_property
    def before(self) -> dict[str, Sums]:
        """Errors of the trained model."""
        return self._measured(self.model)

    def tables(self) -> dict[str, Any]:
        """Errors of the trained model, for the results file."""
        return {name: table(sums, self.whole) for name, sums in self.before.items()}

    def _measured(self, model: PET) -> dict[str, Sums]:
        engine = engine_of(model)
        return {name: measured(engine, d, self.whole) for name, d in self.data.items()}

    def run(self, method: str) -> dict[str, dict[str, Any]]:
        """Apply one method, and compare.

        :param method: of :data:`METHODS`
        :return: entries of the results file by name; averages give two
        """
        before = self.before  # not in anyone's time
        assert before
        if method in GROUPS:
            return self._averaged(method)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            started = time.perf_counter()
            done = self._further if method == "further" else self._purified
            written, entry = done(method, folder)
            seconds = time.perf_counter() - started
            after, _ = load_model(written)
        return {method: self.entry(self._measured(after), seconds, entry)}

    def entry(
        self, after: dict[str, Sums], seconds: float, more: dict[str, Any]
    ) -> dict[str, Any]:
        """Compare another model with the trained one.

        :param after: its errors
        :param seconds: that it took
        :param more: what else is to be known
        :return: entry of the results file
        """
        relative = seconds / self.seconds if self.seconds else None
        changes = {
            name: compared(self.before[name], sums, self.whole)
            for name, sums in after.items()
        }
        return {"seconds": seconds, "seconds/training": relative, **more, **changes}

    def _averaged(self, method: str) -> dict[str, dict[str, Any]]:
        engine, (group, order) = engine_of(self.model), GROUPS[method]
        started = time.perf_counter()
        both = {n: averaged(engine, d, self.whole, group) for n, d in self.data.items()}
        seconds = time.perf_counter() - started
        found = {}
        for i, name in enumerate((method, f"{method} with inversions")):
            after = {part: sums[i] for part, sums in both.items()}
            entry = self.entry(after, seconds, {"evaluations": order * (i + 1)})
            del entry["seconds/training"]  # there is no training: inference costs more
            found[name] = entry
        return found

    def options_of(self, method: str) -> dict[str, Any]:
        """Options of ``mtt purify``: what the method knows of those that were given.

        :param method: ``full``, ``heads`` or ``readout``
        """
        hypers: Any = PurifyHypers if method == "readout" else FinetuneHypers
        given = {**(self.options.get("purify") or {}), **self.changes}
        own = {key: v for key, v in given.items() if key in hypers.__annotations__}
        options = {key: v for key, v in self.options.items() if key != "wandb"}
        return {**options, "purify": {**own, "method": method}}

    def _purified(self, method: str, folder: Path) -> tuple[Path, dict[str, Any]]:
        """What ``mtt purify`` does."""
        written, options = folder / "after.ckpt", self.options_of(method)
        found = purify_checkpoint(self.checkpoint, options, written, progress=False)
        assert found is not None
        entry: dict[str, Any] = {"settings": found.summary["settings"]}
        if isinstance(found, Finetuned):
            entry |= {"share": found.choice.after.share, "reason": found.choice.reason}
            entry |= {"epochs": found.summary["epochs"]}
            entry |= {"seconds_of": found.summary["seconds"]}
            entry["curve"] = found.curve.drop(columns="state").to_dict("records")
        else:
            entry["alpha"] = {
                f"{part.part} ({state})": None if part.chosen is None else part.chosen.alpha
                for state, parts in found.results.items()
                for part in parts
            }
        return written, entry

    def _further(self, _: str, folder: Path) -> tuple[Path, dict[str, Any]]:
        """As ``full``, without penalty, teacher and guard; metatrain's best model."""
        read = read_options(self.options_of("full"))
        default = "cuda" if torch.cuda.is_available() else "cpu"
        where = torch.device(read.device or default)
        work = Work.of(read_pet(self.checkpoint), read, where, False)
        work.model.to(where)
        hypers = {**work.hypers, "symmetry_penalty": None}
        unit = length_unit(work.model)
        own = labelled_sets(work.train_set, unit, None, 0)
        held_out = labelled_sets(work.held_out_set, unit, None, 0)
        copied, seed = copy.deepcopy(hypers), read.sections.seed
        stage = StagePlan([0.0], lambda: (), work.moments)
        epochs = train(work.model, copied, own, held_out, folder, where, seed, stage)
        written = newest_checkpoint(folder)
        assert written is not None
        best = read_pet(written).get("best_epoch")
        names = ("num_epochs", "learning_rate", "batch_size")
        settings = {name: hypers[name] for name in names}
        return written, {"settings": settings, "epochs": epochs, "best_epoch": best}


def load_model(path: Path) -> tuple[PET, frozenset[str]]:
    """Read the best model of a checkpoint, as ``mtt purify`` takes it.

    :param path: of the checkpoint
    :return: the model, and its per-structure targets that do not count per atom
    """
    checkpoint = read_pet(path)
    key, *_ = next(iter(distinct_states(checkpoint).values()))
    whole = checkpoint.get("train_hypers", {}).get("per_structure_targets") or ()
    return build_model(checkpoint, key).eval(), frozenset(whole)


def read_training(path: Path, seed: int | None) -> dict[str, Any]:
    """Read an options file of ``mtt train``.

    :param path: of the file
    :param seed: of split and training, None for that of the file
    """
    options: Any = OmegaConf.to_container(load(path), resolve=True)
    return options if seed is None else {**options, "seed": seed}


def with_absolute_paths(node: Any) -> Any:
    """Options for a training in another folder.

    :param node: options, or a part of them; left as they are
    """
    if isinstance(node, list):
        return [with_absolute_paths(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: str(Path(value).resolve())
        if key in FILES and isinstance(value, str)
        else with_absolute_paths(value)
        for key, value in node.items()
    }


def trainings(
    options: dict[str, Any],
    penalty: dict[str, Any],
    epochs: int | None,
    root: Path,
) -> tuple[Training, Training]:
    """Trainings from scratch, without and with the penalty.

    :param options: of ``mtt train``, with a seed
    :param penalty: ``architecture.training.symmetry_penalty``
    :param epochs: None for those of the options
    :param root: folder for the trainings
    :raises ValueError: if the architecture knows no penalty
    """
    name = options["architecture"]["name"]
    if name != "pet_ssh":
        raise ValueError(f"'{name}' has no symmetry_penalty: give options of pet_ssh")
    found = []
    for variant, value in (("plain", None), ("penalty", penalty)):
        own = with_absolute_paths(options)
        own = {key: v for key, v in own.items() if key not in ("wandb", "purify")}
        own["final_eval"] = False
        training = own["architecture"]["training"]
        training.pop("symmetry_penalty", None)
        if value is not None:
            training["symmetry_penalty"] = value
        if epochs is not None:
            training["num_epochs"] = epochs
        found.append(Training(variant, options["seed"], own, root))
    return found[0], found[1]


def scratch(
    options: dict[str, Any],
    penalty: dict[str, Any],
    epochs: int | None,
    root: Path,
    structures: int,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train with and without the penalty, or go on, and compare.

    :param options: of ``mtt train``, with a seed
    :param penalty: ``architecture.training.symmetry_penalty``
    :param epochs: None for those of the options
    :param root: folder for the trainings
    :param structures: at most so many of a set are evaluated
    :raises RuntimeError: if a training fails
    :return: settings, and the case
    """
    plain, penalised = trainings(options, penalty, epochs, root)
    for one in (plain, penalised):
        outcome = one.train(float("inf"))
        if outcome != "finished":
            raise RuntimeError(f"{one.name}: {outcome}")
    first, second = (
        Study(one.folder / "model.ckpt", one.options, {}, structures, one.state["wall_s"])
        for one in (plain, penalised)
    )
    count = plain.options["architecture"]["training"].get("num_epochs")
    entry = first.entry(
        second.before, penalised.state["wall_s"], {"settings": penalty, "epochs": count}
    )
    return first.settings(), {"before": first.tables(), "methods": {"scratch": entry}}
