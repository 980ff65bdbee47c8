"""The trainer of the architecture: that of PET with what is ours, and its versions."""

from typing import Any

from metatrain.pet import Trainer as PETTrainer

from ..training.trainer import SymmetryTrainer
from . import checkpoints


class Trainer(SymmetryTrainer):
    """PET's trainer, which can be watched, and can penalise asymmetry.

    :param hypers: hyperparameters of PET's trainer, ``symmetry`` and ``symmetry_penalty``
    :raises ValueError: if an option of ours is unknown or out of range
    """

    __checkpoint_version__ = checkpoints.TRAINER_VERSION

    @classmethod
    def upgrade_checkpoint(cls, checkpoint: dict[str, Any]) -> dict[str, Any]:
        """Bring the trainer's part of a checkpoint to the current version.

        :param checkpoint: checkpoint of an older version, or of a plain PET.
        :return: the upgraded checkpoint.
        :raises RuntimeError: if its version is unknown.
        """
        return checkpoints.upgrade(
            checkpoint,
            "trainer_ckpt_version",
            cls.__checkpoint_version__,
            PETTrainer.upgrade_checkpoint,
        )
