"""The fine-tuning itself: metatrain's trainer of PET, with the penalty all along."""

import copy
import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from metatrain.pet import PET
from metatrain.utils.io import model_from_checkpoint

from ..models.checkpoints import Checkpoint, read_checkpoint
from ..training.penalty.errors import NotFinite
from .options import FinetuneHypers
from .stages import StagedTrainer, keep, read_stages
from .weights import trained_state


SNAPSHOTS = 10
"""Checkpoints that are written while it is fine-tuned, evenly spaced."""


@dataclass(frozen=True)
class StagePlan:
    """What is done in which order.

    :param weights: of the penalty, one for each stage
    :param losing: looks at the model at the end of a stage; terms of the loss whose labels
        are to count more from then on
    :param moments: state of the optimizer at the end of the training, None for a new one
    """

    weights: Sequence[float]
    losing: Callable[[], Collection[str]]
    moments: Mapping[str, Any] | None = None


def trainer_hypers(trained: Mapping[str, Any], options: FinetuneHypers) -> dict[str, Any]:
    """Hyperparameters of the trainer: those of the training, with what is asked for.

    :param trained: hyperparameters of the training, from its checkpoint
    :param options: section ``purify``
    :return: of :class:`~metatrain_symmetry.training.trainer.SymmetryTrainer`
    """
    epochs = options["epochs"] or max(1, math.ceil(0.8 * trained["num_epochs"]))
    rate = options["learning_rate"] or trained["learning_rate"] / 2
    batch = options["batch_size"] or trained["batch_size"]
    atoms = None if options["batch_size"] else trained.get("max_atoms_per_batch")
    own = {
        "num_epochs": epochs,
        "learning_rate": rate,
        "batch_size": batch,
        "max_atoms_per_batch": atoms,
        "checkpoint_interval": max(1, epochs // SNAPSHOTS),
        "log_interval": 1,
        # data are in memory, and starting processes takes longer than reading them
        "num_workers": 0,
        "distributed": False,
        # both are in the model already
        "atomic_baseline": {},
        "fixed_scaling_weights": {},
        "finetune": {"read_from": None},
        "symmetry": options["symmetry"],
        "symmetry_penalty": {
            "weight": options["weight"][-1],
            "copies": options["copies"],
            "start": 0.0,
            "ramp": 0.0,
        },
    }
    return {**trained, **own}


def check_batches(hypers: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    """Make sure, before anything is evaluated, that batches can be filled.

    :param hypers: of :func:`trainer_hypers`
    :param sizes: for each data set the number of its structures
    :raises ValueError: if one is smaller than a batch, or a batch than the copies
    """
    if hypers.get("max_atoms_per_batch") is not None:
        return
    size, copies = hypers["batch_size"], hypers["symmetry_penalty"]["copies"]
    if size < copies:
        raise ValueError(
            f"purify.copies is {copies}, and a batch has {size} evaluations: raise "
            "purify.batch_size, or take fewer copies"
        )
    for name, count in sizes.items():
        if count < copies:
            raise ValueError(
                f"{name} has {count} structures, which fill no batch of {copies} or more "
                "evaluations: give more structures"
            )
        if count < size:
            raise ValueError(
                f"{name} has {count} structures, and a batch {size} evaluations: set "
                f"purify.batch_size to at most {count}"
            )


def train(
    model: PET,
    hypers: dict[str, Any],
    train_sets: Sequence[Any],
    held_out_sets: Sequence[Any],
    folder: Path,
    device: torch.device,
    seed: int,
    stages: StagePlan,
) -> int:
    """Fine-tune a model, from the newest checkpoint in the folder if there is one.

    Should the loss stop being finite, the training ends and the newest checkpoint is taken.

    :param model: is changed
    :param hypers: of :func:`trainer_hypers`
    :param train_sets: of metatrain
    :param held_out_sets: likewise
    :param folder: for checkpoints
    :param device: where to train
    :param seed: of batches and rotations
    :param stages: what is done in which order
    :return: epochs that were completed at the end of the last stage
    """
    sets = (list(train_sets), list(held_out_sets))
    newest = newest_checkpoint(folder)
    # what goes on does not repeat the rotations of its beginning
    done = 0 if newest is None else _epochs(newest)
    with _seeded(seed + done):
        return _train(model, hypers, sets, folder, device, stages)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The random state of a training, for a while: the caller keeps its own."""
    state = np.random.get_state()  # noqa: NPY002 (metatrain's)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


def _train(
    model: PET,
    hypers: dict[str, Any],
    sets: tuple[list[Any], list[Any]],
    folder: Path,
    device: torch.device,
    stages: StagePlan,
) -> int:
    """See :func:`train`."""
    newest, last = newest_checkpoint(folder), hypers["num_epochs"]
    trainer = StagedTrainer(hypers)
    trainer.optimizer_state_dict = _restarted(stages.moments, hypers["learning_rate"])
    done = 0
    if newest is not None:
        checkpoint = read_checkpoint(newest)
        _load(model, checkpoint)
        trainer = StagedTrainer.load_checkpoint(checkpoint, hypers, "restart")
        done = int(trainer.epoch or 0) + 1
        logging.info(f"Fine-tuning goes on after {done} epochs")
    trainer.stage(stages.weights, model, folder, stages.losing)
    dtype = next(model.backend.parameters()).dtype
    model.train()
    try:
        if done < last:
            with trainer.rates():
                trainer.train(model, dtype, [device], *sets, str(folder))
            trainer.save_checkpoint(model, folder / f"model_{last - 1}.ckpt")
        keep(folder, last, trained_state(model))
    except NotFinite as error:
        _keep_what_there_is(model, folder, error)
    return max(read_stages(folder))


def _restarted(moments: Mapping[str, Any] | None, rate: float) -> dict[str, Any] | None:
    """State of an optimizer that begins with another learning rate.

    Without the moments of the training, Adam's first steps are of full size in every
    parameter.
    """
    if moments is None:
        return None
    groups = [{**g, "lr": rate, "initial_lr": rate} for g in moments["param_groups"]]
    return {**copy.deepcopy(dict(moments)), "param_groups": groups}


def _keep_what_there_is(model: PET, folder: Path, error: Exception) -> None:
    """Take the newest weights that are fine for the end of a stage.

    The end of the last stage may be newer than the newest checkpoint.
    """
    newest = newest_checkpoint(folder)
    if newest is None:
        raise ValueError(
            "the loss was not finite before any checkpoint: take a smaller "
            "purify.learning_rate"
        ) from error
    checkpoint = read_checkpoint(newest)
    _load(model, checkpoint)
    done = int(checkpoint["epoch"]) + 1
    last = max(read_stages(folder), default=0)
    if last < done:
        keep(folder, done, trained_state(model))
    done = max(last, done)
    logging.warning(
        f"the loss is not finite: fine-tuning ends here, and the weights after {done} "
        "epochs are taken"
    )


def _load(model: PET, checkpoint: Checkpoint) -> None:
    """Give a model the weights of a checkpoint of this fine-tuning."""
    model.load_state_dict(
        model_from_checkpoint(dict(checkpoint), context="restart").state_dict()
    )


def newest_checkpoint(folder: Path) -> Path | None:
    """Checkpoint of the latest epoch.

    :param folder: of a fine-tuning
    :return: None if there is none
    """
    found = {_epochs(path): path for path in folder.glob("model_*.ckpt")}
    return found[max(found)] if found else None


def _epochs(path: Path) -> int:
    """Epochs that were completed when a checkpoint was written."""
    return int(path.stem.split("_")[1]) + 1
