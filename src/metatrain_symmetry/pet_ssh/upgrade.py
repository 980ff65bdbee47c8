"""From a trained ``pet`` to a ``pet_ssh`` that makes the same predictions.

PET's linear map of ``[x, y, z, r]`` is kept as it is; the harmonics are added to it,
silent at first (their gain, or their weights where there is no norm, are zero).
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from metatrain.pet import PET
from metatrain.pet import Trainer as PETTrainer

from ..messages import quoted
from ..models.checkpoints import has_harmonics_of_a_branch
from . import checkpoints
from .checkpoints import Checkpoint
from .documentation import complete_options
from .modules.geometry_embedding import GeometryEmbedding
from .options import check_range


def upgrade_pet_checkpoint(
    checkpoint: Checkpoint, geometry_embedding: Mapping[str, Any]
) -> Checkpoint:
    """Turn the checkpoint of a ``pet`` into one of a ``pet_ssh`` of higher l_max.

    The new model makes the same predictions, to rounding. The state of the optimizer is
    dropped where there are new parameters: train on by fine-tuning.

    :param checkpoint: what ``torch.load`` reads from a ``.ckpt`` file of a ``pet``, of
        any version that metatrain can upgrade, or of a ``pet_ssh`` with ``l_max`` null.
        It is not changed.
    :param geometry_embedding: options of the new embedding; defaults for the others.
    :return: checkpoint of a ``pet_ssh``, to be given to ``torch.save``.
    :raises ValueError: if the checkpoint is of another architecture, has harmonics
        already or misses a part, or if an option is out of range.

    >>> import torch
    >>> from metatrain_symmetry import upgrade_pet_checkpoint
    >>> checkpoint = torch.load("model.ckpt", weights_only=False)
    >>> upgrade_pet_checkpoint(checkpoint, {"l_max": 4})["architecture_name"]
    'pet_ssh'
    """
    options = complete_options(geometry_embedding)
    checkpoint = _as_plain_pet(checkpoint)
    hypers = checkpoint["model_data"]["model_hypers"]
    hypers["geometry_embedding"] = options
    checkpoint["architecture_name"] = "pet_ssh"
    if options["l_max"] is None:
        return checkpoint
    if not options["keep_distance"]:
        raise ValueError(
            "a 'pet' model can only be upgraded with geometry_embedding.keep_distance: "
            "true, because its weights act on the distance"
        )
    check_range(options, float(hypers["cutoff"]))
    new = _silent_parameters(hypers["d_pet"], options)
    for key in ("model_state_dict", "best_model_state_dict"):
        if checkpoint.get(key) is not None:
            checkpoint[key] = _with_harmonics(checkpoint[key], new)
    for key in ("optimizer", "scheduler", "best_optimizer"):
        if f"{key}_state_dict" in checkpoint:
            checkpoint[f"{key}_state_dict"] = None
    return checkpoint


def _as_plain_pet(checkpoint: Checkpoint) -> Checkpoint:
    """Copy a checkpoint and bring PET's part to the installed versions."""
    check_content(checkpoint)
    if has_harmonics_of_a_branch(checkpoint):
        raise ValueError(
            "this 'pet' model has harmonics of a branch of metatrain already: "
            "convert_pet_checkpoint makes it a 'pet_ssh'"
        )
    name = checkpoint["architecture_name"]
    hypers = checkpoint["model_data"]["model_hypers"]
    embedding = hypers.get("geometry_embedding", {"l_max": None})
    if name not in ("pet", "pet_ssh") or embedding["l_max"] is not None:
        l_max = embedding["l_max"]
        which = "" if l_max is None else f" with l_max {l_max}"
        raise ValueError(
            f"only 'pet' models and 'pet_ssh' models with l_max null can be upgraded, "
            f"but this is a {name!r} model{which}"
        )
    checkpoint = checkpoints.upgrade(
        copy.deepcopy(checkpoint),
        "model_ckpt_version",
        checkpoints.MODEL_VERSION,
        PET.upgrade_checkpoint,
    )
    if "trainer_ckpt_version" in checkpoint:
        checkpoint = checkpoints.upgrade(
            checkpoint,
            "trainer_ckpt_version",
            checkpoints.TRAINER_VERSION,
            PETTrainer.upgrade_checkpoint,
        )
    return checkpoint


def check_content(checkpoint: Any) -> None:
    """Make sure that a checkpoint is one, and whole.

    :raises ValueError: if it is not.
    """
    if not isinstance(checkpoint, Mapping):
        raise ValueError(
            f"a checkpoint is what torch.load reads from a .ckpt file, not "
            f"{quoted(checkpoint)}: give that"
        )
    for path in _NEEDED:
        known: Any = checkpoint
        for key in path.split("."):
            known = known.get(key) if isinstance(known, Mapping) else None
        if known is None:
            raise ValueError(
                f"the checkpoint holds no '{path}': give the .ckpt file of a training of "
                "metatrain, whole"
            )


_NEEDED = (
    "architecture_name", "model_data.model_hypers", "model_data.model_hypers.d_pet",
    "model_data.model_hypers.cutoff", "model_data.dataset_info", "model_state_dict",
)  # fmt: skip


def _silent_parameters(d_pet: int, options: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Parameters of the harmonic part of a new embedding that returns zero."""
    # the same upgrade twice gives the same file, and leaves the caller's RNG alone
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        embedding = GeometryEmbedding(d_pet, **options)
    embedding.silence_harmonics()
    state = embedding.state_dict()
    return {k: v for k, v in state.items() if not k.startswith("cartesian.")}


def _with_harmonics(state: dict[str, Any], new: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Move PET's edge embedders into place and add the new parameters after them.

    :raises ValueError: if an edge embedder is not PET's linear map (LoRA, say).
    """
    upgraded: dict[str, Any] = {}
    for key, value in state.items():
        prefix, found, name = key.partition(".edge_embedder.")
        if not (found and prefix.startswith("backend.gnn_layers.")):
            upgraded[key] = value
            continue
        if name not in ("weight", "bias"):
            raise ValueError(
                "this model's edge embedder has been replaced (by LoRA fine-tuning?) and "
                "cannot be upgraded: fine-tune with other target modules"
            )
        upgraded[f"{prefix}{found}cartesian.{name}"] = value
        if name == "bias":
            for new_name, tensor in new.items():
                upgraded[f"{prefix}{found}{new_name}"] = tensor.to(value.dtype).clone()
    return upgraded
