"""Reads checkpoint files of metatrain, of any architecture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


Checkpoint = dict[str, Any]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint file as it is.

    :param path: a ``.ckpt`` file
    :return: its dictionary
    :raises ValueError: if there is no such file, or if it is no checkpoint
    """
    if not Path(path).is_file():
        raise ValueError(f"The checkpoint '{path}' does not exist.")
    try:
        checkpoint = torch.load(path, weights_only=False, map_location="cpu")
    except Exception as error:  # unpickling half a file can raise anything
        raise ValueError(
            f"The file '{path}' cannot be read as a checkpoint, perhaps because it is "
            "truncated: copy it again or use an earlier one."
        ) from error
    if not isinstance(checkpoint, dict) or "architecture_name" not in checkpoint:
        raise ValueError(
            f"The file '{path}' is not a checkpoint of metatrain: give the .ckpt file of a "
            "training, not an exported model."
        )
    return checkpoint


L_MAX_NAMES = ("geometry_embedding_l_max", "geometry_embedding_lmax")
"""What branches of metatrain call the largest degree of PET's harmonics, later first."""


def has_harmonics_of_a_branch(checkpoint: Any) -> bool:
    """Whether a checkpoint is that of a PET with harmonics, which no release can read.

    :param checkpoint: as read from a file
    """
    if checkpoint.get("architecture_name") != "pet":
        return False
    found: Any = checkpoint
    for key in ("model_data", "model_hypers"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return isinstance(found, Mapping) and any(
        found.get(name) is not None for name in L_MAX_NAMES
    )


def refuse_branch(path: str | Path, checkpoint: Checkpoint) -> None:
    """Refuse a PET with harmonics of a branch of metatrain, and say what to do.

    :param path: where it was read from
    :param checkpoint: its dictionary
    :raises ValueError: if it is one
    """
    if has_harmonics_of_a_branch(checkpoint):
        raise ValueError(
            f"'{path}' holds a PET with harmonics of a branch of metatrain, which no "
            "release can read: make it a pet_ssh with "
            "metatrain_symmetry.convert_pet_checkpoint"
        )
