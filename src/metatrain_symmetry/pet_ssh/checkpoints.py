"""Checkpoint versions of ``pet_ssh``: ours and PET's in one number.

A model version such as 116 is version 1 of our part and 16 of PET's, so a metatrain that
changes PET's format upgrades our checkpoints with its own functions. Versions below 100
are plain PET checkpoints.
"""

from collections.abc import Callable

from metatrain.pet import PET, Trainer

from ..models.checkpoints import Checkpoint


_OWN = 100
MODEL_VERSION = 1 * _OWN + PET.__checkpoint_version__
TRAINER_VERSION = 1 * _OWN + Trainer.__checkpoint_version__


def upgrade(
    checkpoint: Checkpoint,
    key: str,
    current: int,
    upgrade_pet: Callable[[Checkpoint], Checkpoint],
) -> Checkpoint:
    """Bring PET's part of a checkpoint to the installed version.

    :param checkpoint: checkpoint of ``pet_ssh``, or of ``pet`` (versions below 100).
    :param key: ``"model_ckpt_version"`` or ``"trainer_ckpt_version"``.
    :param current: version that the installed code writes.
    :param upgrade_pet: metatrain's own function for PET checkpoints.
    :return: the checkpoint, with ``current`` as its version.
    :raises RuntimeError: if the version is unknown.
    """
    version = checkpoint[key]
    own, pet = divmod(version, _OWN)
    if own > current // _OWN or pet > current % _OWN:
        part = key.split("_")[0]
        raise RuntimeError(
            f"Unable to upgrade the checkpoint: the checkpoint is using {part} version "
            f"{version}, while the current {part} version is {current}."
        )
    checkpoint[key] = pet
    checkpoint = upgrade_pet(checkpoint)
    checkpoint[key] = current
    return checkpoint
