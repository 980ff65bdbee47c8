"""From a checkpoint and an options file to a fine-tuned checkpoint and its tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..models.checkpoints import Checkpoint
from ..models.states import STATES
from ..processes import local_device
from ..purify.checkpoint import (
    read_pet,
    with_record,
    with_weights,
)
from ..versions import versions
from .guard import Choice
from .options import FinetuneOptions, read_options
from .tables import accuracy_table, curve_table
from .work import Work


ANEW = dict.fromkeys(
    (
        "optimizer_state_dict", "scheduler_state_dict", "best_optimizer_state_dict",
        "best_metric",
    )
)  # fmt: skip
"""What a trainer knows of other weights: a restart begins it anew."""


@dataclass
class Finetuned:
    """What a fine-tuning found.

    :param checkpoint: with the chosen weights and a record of what was done
    :param curve: held-out errors along the fine-tuning, see :mod:`.tables`
    :param accuracy: errors before and after, likewise
    :param characters: spectra of the outputs, columns ``state``, ``when`` and those of a
        report's ``characters``
    :param summary: settings, versions, counts, times
    :param choice: of the guard
    """

    checkpoint: Checkpoint
    curve: pd.DataFrame
    accuracy: pd.DataFrame
    characters: pd.DataFrame
    summary: dict[str, Any]
    choice: Choice

    @property
    def changed(self) -> bool:
        """Whether the weights changed."""
        return self.choice.chosen is not None


@dataclass
class Finetuning:
    """A fine-tuning that can begin: everything that can be wrong was looked at.

    :param name: of the checkpoint's file
    :param checkpoint: of a ``pet`` or ``pet_ssh``
    :param options: what is asked for
    :param work: model and data
    """

    name: str
    checkpoint: Checkpoint
    options: FinetuneOptions
    work: Work


def prepare(
    model: str | Path,
    options: str | Path | Mapping[str, Any],
    *,
    device: str | None = None,
    show: bool = True,
) -> Finetuning:
    """Read a checkpoint, options and data; nothing is written.

    :param model: checkpoint of a ``pet`` or ``pet_ssh``
    :param options: options file, or its content
    :param device: where to train, None for that of the options
    :param show: whether to show progress bars
    :raises ValueError: with one sentence, if something is wrong with the input
    :return: what :func:`finetune` takes
    """
    read = read_options(options)
    default = "cuda" if torch.cuda.is_available() else "cpu"
    where = local_device(device or read.device or default)
    checkpoint = read_pet(model)
    work = Work.of(checkpoint, read, where, show)
    return Finetuning(Path(model).name, checkpoint, read, work)


def finetune(task: Finetuning, folder: Path) -> Finetuned:
    """Fine-tune a checkpoint to symmetry.

    :param task: of :func:`prepare`
    :param folder: for checkpoints on the way, from the newest of which it goes on
    :raises ValueError: with one sentence, if structures, labels or batches are no good
    :return: what was found
    """
    checkpoint, work = task.checkpoint, task.work
    choice = work.run(folder)
    whole = work.whole
    accuracy = accuracy_table(choice, work.state, whole)
    summary = _summary(task.name, task.options, work, accuracy)
    changed = {
        key: with_weights(checkpoint[work.key], work.model, work.names)
        for key in STATES.values()
        if checkpoint.get(key) is not None
    }
    return Finetuned(
        with_record({**checkpoint, **(changed | ANEW if choice.chosen else {})}, summary),
        curve_table(choice, work.state, whole),
        accuracy,
        pd.concat(work.spectra, ignore_index=True) if work.spectra else pd.DataFrame(),
        summary,
        choice,
    )


def _summary(
    name: str, options: FinetuneOptions, work: Work, accuracy: pd.DataFrame
) -> dict[str, Any]:
    """What was done, as it stands in the checkpoint and in the report."""
    rows = accuracy.astype(object).where(accuracy.notna(), None).to_dict("records")
    own = work.hypers
    settings = {key: value for key, value in options.hypers.items() if key != "symmetry"}
    settings |= {
        "epochs": own["num_epochs"],
        "learning_rate": own["learning_rate"],
        "batch_size": own["batch_size"],
        "seed": options.sections.seed,
    }
    return {
        "model": name,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "method": options.hypers["method"],
        "settings": settings,
        "epochs": work.epochs,
        # by how much the labels of a term of the loss counted more at the end
        "emphasis": work.emphasis,
        "teacher": work.teacher_text,
        "seconds": {key: round(value, 1) for key, value in work.seconds.items()},
        "structures": {
            "training": len(work.train_set),
            "validation": len(work.held_out_set),
            "unlabelled": work.counts.get("unlabelled", 0),
        },
        "grid_degree": work.counts.get("grid_degree"),
        "units": "as the user reads them, per atom for per-structure targets but stresses",
        "versions": versions(),
        "parts": [{str(k): v for k, v in row.items()} for row in rows],
    }
