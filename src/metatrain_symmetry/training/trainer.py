"""PET's trainer with what is ours: the monitor, the penalty, whole files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from metatrain.pet import Trainer as PETTrainer
from metatrain.utils.abc import ModelInterface

from ..io import clean, put, recover, scratch_beside
from ..measure.series import FOLDER
from . import penalty
from .monitor import Monitor
from .options import complete


OWN = ("symmetry", "symmetry_penalty")


class SymmetryTrainer(PETTrainer):
    """PET's trainer, which can be watched, and can penalise asymmetry.

    :param hypers: hyperparameters of PET's trainer, ``symmetry`` and ``symmetry_penalty``.
        The first of them stays out of checkpoints: watching a training does not change what
        it writes. So does the second where it is None.
    :raises ValueError: if an option of ``symmetry`` or ``symmetry_penalty`` is unknown or
        out of range, or if a batch is too small for the copies
    """

    def __init__(self, hypers: Any) -> None:
        own = {key: value for key, value in hypers.items() if key not in OWN}
        options = penalty.complete(hypers.get("symmetry_penalty"))
        if options is not None:
            penalty.check_batch(options, own)
            own["symmetry_penalty"] = dict(options)
        super().__init__(own)
        self.symmetry = complete(hypers.get("symmetry"))
        self.symmetry_penalty = options

    def train(
        self,
        model: ModelInterface,
        dtype: torch.dtype,
        devices: list[torch.device],
        train_datasets: Sequence[Any],
        val_datasets: Sequence[Any],
        checkpoint_dir: str,
    ) -> None:
        """Train as PET does; where the data are at fault, say which structure.

        :param model: model to train.
        :param dtype: float32 or float64.
        :param devices: where to train.
        :param train_datasets: data sets to train on.
        :param val_datasets: data sets to choose the best model with.
        :param checkpoint_dir: folder for the checkpoints.
        :raises ValueError: if a structure has positions that are not finite, or atomic
            types that the model does not know, or if an option of ``symmetry`` names layers
            or structures that are not there.
        """
        start = 0 if self.epoch is None else self.epoch + 1
        last = self.hypers["num_epochs"]
        _clean(Path(checkpoint_dir))
        options = self.symmetry
        try:
            with (
                Monitor(model, val_datasets, checkpoint_dir, start, last, options),
                penalty.penalised(
                    self, self.symmetry_penalty, self.make_schedule, self.epoch_begins
                ),
            ):
                super().train(
                    model, dtype, devices, train_datasets, val_datasets, checkpoint_dir
                )
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            # only now: reading a large data set once more takes minutes
            for name, datasets in [
                ("training", train_datasets),
                ("validation", val_datasets),
            ]:
                fault = _find_fault(datasets, model.dataset_info.atomic_types)
                if fault is not None:
                    raise ValueError(f"In the {name} set, {fault}.") from error
            raise

    def make_schedule(
        self, options: penalty.PenaltyHypers, num_epochs: int, epoch: int
    ) -> penalty.Schedule:
        """Say when the penalty acts, and how much; there for those who inherit.

        :param options: of the penalty
        :param num_epochs: of the whole training
        :param epoch: the first one that is trained now
        """
        return penalty.Schedule(options, num_epochs, epoch)

    def epoch_begins(self, epoch: int) -> None:
        """Told when an epoch with the penalty begins; there for those who inherit.

        :param epoch: from 0
        """

    @classmethod
    def load_checkpoint(
        cls,
        checkpoint: dict[str, Any],
        hypers: Any,
        context: Literal["restart", "finetune"],
    ) -> "SymmetryTrainer":
        """Go on with a training.

        :param checkpoint: of the trainer
        :param hypers: of the training that begins
        :param context: what for
        :return: without a best model, if that was chosen before there was a penalty
        """
        trainer = super().load_checkpoint(checkpoint, hypers, context)
        assert isinstance(trainer, SymmetryTrainer)
        before = checkpoint.get("train_hypers", {}).get("symmetry_penalty")
        if trainer.symmetry_penalty is not None and before is None:
            trainer.best_metric = float("inf")
        return trainer

    def save_checkpoint(self, model: ModelInterface, path: str | Path) -> None:
        """Write a checkpoint of model and trainer, whole or not at all.

        :param model: model to save.
        :param path: file to write, ending in ``.ckpt``.
        """
        path = Path(path)
        # what a killed training left behind
        recover(path)
        # a folder, so that no `--restart auto` can pick up an unfinished file
        with scratch_beside(path) as folder:
            super().save_checkpoint(model, folder / path.name)
            # metatrain adds a missing extension by itself
            (written,) = folder.iterdir()
            put(written, path.with_name(written.name))


def _clean(run: Path) -> None:
    """Remove what killed runs, started in the same folder, have left unfinished."""
    runs = [run]
    if run.parent.parent.name == "outputs":
        runs += run.parent.parent.glob("*/*")
    for folder in runs:
        for place in (folder, folder / FOLDER, folder / FOLDER / "figures"):
            clean(place)


def _find_fault(datasets: Sequence[Any], atomic_types: list[int]) -> str | None:
    """First structure that no model could learn from, and what is wrong with it."""
    for dataset in datasets:
        for index in range(len(dataset)):
            system = dataset[index]["system"]
            where = f"structure {_original_index(dataset, index)} (counting from 0)"
            if not torch.isfinite(system.positions).all():
                return f"{where} has positions that are not finite numbers"
            unknown = sorted(set(system.types.tolist()) - set(atomic_types))
            if unknown:
                return (
                    f"{where} has the atomic types {unknown}, but the model was made "
                    f"for {atomic_types}"
                )
    return None


def _original_index(dataset: Any, index: int) -> int:
    """Index of a structure in the file, before metatrain split it."""
    while isinstance(dataset, torch.utils.data.Subset):
        dataset, index = dataset.dataset, dataset.indices[index]
    return index
