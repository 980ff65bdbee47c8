"""Checkpoints: read, taken apart into their model states, and written back."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from metatomic.torch import ModelMetadata
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers, import_architecture
from metatrain.utils.io import model_from_checkpoint
from metatrain.utils.metadata import merge_metadata

from ..models.checkpoints import Checkpoint, read_checkpoint, refuse_branch
from ..models.states import STATES


ARCHITECTURES = ("pet", "pet_ssh")
KEY = "purification"


def read_pet(path: str | Path) -> Checkpoint:
    """Read the checkpoint of a PET, of any version that metatrain can upgrade.

    :param path: a ``.ckpt`` file
    :raises ValueError: if there is none, or if it is of another architecture
    :return: its dictionary, the model's part upgraded to the installed version
    """
    checkpoint = read_checkpoint(path)
    refuse_branch(path, checkpoint)
    name = checkpoint["architecture_name"]
    if name not in ARCHITECTURES:
        raise ValueError(
            f"'{path}' holds a '{name}' model: only the readouts of pet and pet_ssh can be "
            "purified"
        )
    model = import_architecture(name).__model__
    if checkpoint.get("model_ckpt_version") != model.__checkpoint_version__:
        checkpoint.setdefault("model_ckpt_version", 1)
        checkpoint = model.upgrade_checkpoint(checkpoint)
    return checkpoint


def hypers_of_training(checkpoint: Checkpoint) -> dict[str, Any]:
    """Hyperparameters of the training, as the installed trainer takes them.

    :param checkpoint: as read; left as it is
    :raises ValueError: if metatrain cannot bring them to its version
    :return: complete, with defaults for what is not there; empty if the checkpoint has none
    """
    if not checkpoint.get("train_hypers"):
        return {}
    name = checkpoint["architecture_name"]
    trainer = import_architecture(name).__trainer__
    part = {**checkpoint, "train_hypers": copy.deepcopy(checkpoint["train_hypers"])}
    version = part.setdefault("trainer_ckpt_version", trainer.__checkpoint_version__)
    if version != trainer.__checkpoint_version__:
        part = trainer.upgrade_checkpoint(part)
    return {**get_default_hypers(name)["training"], **part["train_hypers"]}


def distinct_states(checkpoint: Checkpoint) -> dict[str, list[str]]:
    """Model states that differ, each of which needs a sweep of its own.

    :param checkpoint: as read
    :raises ValueError: if there is none
    :return: name, such as ``best`` or ``best and latest``, and keys
    """
    found = {name: key for name, key in STATES.items() if checkpoint.get(key) is not None}
    if not found:
        raise ValueError("the checkpoint holds no model: give that of a finished epoch")
    if len(found) == 2 and _equal(*(checkpoint[key] for key in found.values())):
        return {"best and latest": list(found.values())}
    return {name: [key] for name, key in found.items()}


def _equal(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two states hold the same numbers."""
    names = {k for state in (first, second) for k, v in state.items() if torch.is_tensor(v)}
    return all(
        name in first and name in second and torch.equal(first[name], second[name])
        for name in names
    )


def build_model(checkpoint: Checkpoint, key: str) -> PET:
    """Model of one state.

    :param checkpoint: as read; left as it is
    :param key: of the state
    :return: the model, in the dtype of the state
    """
    # loading takes the state apart
    part = copy.deepcopy({k: v for k, v in checkpoint.items() if "optimizer" not in k})
    part |= dict.fromkeys(STATES.values(), part[key])
    part.setdefault("best_epoch", None)
    return model_from_checkpoint(part, context="export")


def with_weights(state: Mapping[str, Any], model: PET, names: set[str]) -> dict[str, Any]:
    """State with some parameters of a model.

    :param state: of a checkpoint; left as it is
    :param model: with new parameters
    :param names: of the parameters to take, below the model
    :return: a copy
    """
    new = model.state_dict()
    found = dict(state)
    for name in names:
        found[name] = new[name].detach().to("cpu", state[name].dtype).clone()
    return found


def with_record(checkpoint: Checkpoint, record: dict[str, Any]) -> Checkpoint:
    """Checkpoint that says what was done, also in the metadata that an export keeps.

    :param checkpoint: of the purified model
    :param record: can be written as JSON
    :return: a shallow copy
    """
    history = [*checkpoint.get(KEY, []), record]
    note = ModelMetadata(extra={KEY: json.dumps(history, sort_keys=True)})
    old = checkpoint.get("metadata")
    merged = note if old is None else merge_metadata(old, note)
    return {**checkpoint, KEY: history, "metadata": merged}
