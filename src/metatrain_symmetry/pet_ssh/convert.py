r"""From a PET with harmonics, as branches of metatrain have it, to a ``pet_ssh``.

No release of metatrain has it, as of 2026.4. Two forms are known, both with a LayerNorm
named ``rmsnorm`` after the edge embedder:

* ``geometry_embedding_l_max`` (since August 2026, versions 18 and 19 of PET's
  checkpoints): the harmonics of each degree have the norm r. This is our normalization
  ``distance``.
* ``geometry_embedding_lmax`` (before): solid harmonics with a bias, which here is part of
  the column of :math:`R_{00} = 1 / \sqrt{4 \pi}`. This is our ``LayerNorm``, with a
  length scale of one. Last layers had a leading axis of species then.
"""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers

from ..messages import quoted
from ..models.checkpoints import L_MAX_NAMES, has_harmonics_of_a_branch
from . import checkpoints
from .checkpoints import Checkpoint
from .documentation import complete_options
from .upgrade import check_content


NEW_VERSIONS = {18, 19}
"""Of checkpoints of the first form: what they added to version 16 is neutral."""

OLD_VERSIONS = set(range(11, 17))
"""Of checkpoints of the second form."""

OLD_BRANCH, ITS_RELEASE = {14, 15, 16}, 13
"""Versions of the latest branch with the second form, and of the release before them. Its
weights are not those of a backend, which releases have from 16 on."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "head_type": ("per_target",),
    "num_head_layers": (2,),
    "shallow_ensemble": (None,),
    "atomic_basis_z_readout": (False, None),
    "num_experts": (None,),
    "num_routed_experts": (None,),
    "num_topk_experts": (None,),
    "moe_embedding_dim": (16,),
}
"""Options of these branches, and values with which the model is that of a release."""

TRAINER = (
    "trainer_ckpt_version", "train_hypers", "optimizer_state_dict", "scheduler_state_dict",
    "best_optimizer_state_dict",
)  # fmt: skip


def convert_pet_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """Turn the checkpoint of a PET that has harmonics already into one of a ``pet_ssh``.

    Such models are trained with branches of metatrain, not with releases. The new model
    makes the same predictions, to rounding. The state of the trainer is dropped: train on
    by fine-tuning.

    :param checkpoint: what ``torch.load`` reads from a ``.ckpt`` file of a ``pet`` that was
        trained with ``geometry_embedding_l_max`` or ``geometry_embedding_lmax``. It is not
        changed.
    :return: checkpoint of a ``pet_ssh``, to be given to ``torch.save``.
    :raises ValueError: if the checkpoint is none of such a model, is of an unknown version,
        or uses other options that releases of metatrain do not have.

    >>> import torch
    >>> from metatrain_symmetry import convert_pet_checkpoint
    >>> checkpoint = torch.load("branch.ckpt", weights_only=False)
    >>> convert_pet_checkpoint(checkpoint)["architecture_name"]
    'pet_ssh'
    """
    check_content(checkpoint)
    if not has_harmonics_of_a_branch(checkpoint):
        raise ValueError(
            f"this {checkpoint['architecture_name']!r} model is not a 'pet' model with "
            "harmonics of a branch of metatrain: upgrade_pet_checkpoint gives some to a "
            "'pet' model that has none"
        )
    checkpoint = copy.deepcopy(checkpoint)
    for key in TRAINER:
        checkpoint.pop(key, None)
    hypers = checkpoint["model_data"]["model_hypers"]
    found = {name: hypers.pop(name, None) for name in L_MAX_NAMES}
    per_degree = found[L_MAX_NAMES[0]] is not None
    l_max = next(value for value in found.values() if value is not None)
    options = complete_options(
        {
            "l_max": l_max,
            "length_scale": 1.0,
            "normalization": "distance" if per_degree else "LayerNorm",
            "keep_distance": False,
        }
    )
    _drop_neutral(hypers)
    checkpoint = _as_release(checkpoint, per_degree)
    _check_options(hypers)
    for key in ("model_state_dict", "best_model_state_dict"):
        if checkpoint.get(key) is not None:
            checkpoint[key] = _converted(checkpoint[key], hypers, l_max, per_degree)
    hypers["geometry_embedding"] = options
    checkpoint["architecture_name"] = "pet_ssh"
    return checkpoint


def _drop_neutral(hypers: dict[str, Any]) -> None:
    """Drop options that change nothing."""
    for name, values in NEUTRAL.items():
        if hypers.get(name, ...) in values:
            del hypers[name]
    readout = hypers.get("readout_type", ...)
    gated = (
        readout.get("atom_type_gating", ...) if isinstance(readout, Mapping) else readout
    )
    if gated in (False, None):
        del hypers["readout_type"]


def _check_options(hypers: Mapping[str, Any]) -> None:
    """Refuse what releases of PET do not have.

    :raises ValueError: if there is any.
    """
    known = get_default_hypers("pet")["model"]
    wrong = [name for name in hypers if name not in known]
    numbers = ("d_head", "num_gnn_layers")
    wrong += [name for name in numbers if not isinstance(hypers.get(name), int)]
    if wrong:
        raise ValueError(
            f"this model uses the option {wrong[0]}: {quoted(hypers.get(wrong[0]))} of a "
            "branch of metatrain, which no release has, so that 'pet_ssh' cannot have it "
            "either"
        )


def _as_release(checkpoint: Checkpoint, per_degree: bool) -> Checkpoint:
    """Bring all but the harmonics to the installed version of PET.

    :raises ValueError: if that is not known to work.
    """
    version = checkpoint.get("model_ckpt_version")
    if version not in (NEW_VERSIONS if per_degree else OLD_VERSIONS):
        raise ValueError(
            f"version {version} of this checkpoint is not one that can be converted: known "
            "are 18 and 19 with geometry_embedding_l_max, and 11 to 16 with "
            "geometry_embedding_lmax"
        )
    if per_degree:
        checkpoint["model_ckpt_version"] = 16
    elif version in OLD_BRANCH and _before_backend(checkpoint):
        checkpoint["model_ckpt_version"] = ITS_RELEASE
    return checkpoints.upgrade(
        checkpoint,
        "model_ckpt_version",
        checkpoints.MODEL_VERSION,
        PET.upgrade_checkpoint,
    )


def _before_backend(checkpoint: Checkpoint) -> bool:
    return not any(key.startswith("backend.") for key in checkpoint["model_state_dict"])


def _converted(
    state: Mapping[str, Any], hypers: Mapping[str, Any], l_max: int, per_degree: bool
) -> dict[str, Any]:
    """Move linear maps and norms into the embeddings; harmonics have no weights.

    :raises ValueError: if they are not where they should be.
    """
    layers = [f"backend.gnn_layers.{i}" for i in range(hypers["num_gnn_layers"])]
    for layer in layers:
        _check_layer(state, layer, (hypers["d_pet"], (l_max + 1) ** 2))
    found: dict[str, Any] = {}
    for key, value in state.items():
        layer, _, name = key.partition(".edge_embedder.")
        if layer in layers:
            if name == "bias" and not per_degree:
                continue
            if name == "weight" and not per_degree:
                value = _with_bias(value, state[f"{layer}.edge_embedder.bias"])
            found[f"{layer}.edge_embedder.linear.{name}"] = value
            found |= {
                f"{layer}.edge_embedder.norm.{own}": state[f"{layer}.rmsnorm.{own}"]
                for own in ("weight", "bias")
            }
        elif not _belongs_to_harmonics(key, layers):
            name, value = _last_layer(key, value)
            found[name] = value
    return found


def _check_layer(state: Mapping[str, Any], layer: str, shape: tuple[int, int]) -> None:
    """Make sure that the embedding of a layer is a linear map and a norm.

    :raises ValueError: if it is not.
    """
    wanted = {
        f"{layer}.edge_embedder.weight": shape,
        f"{layer}.edge_embedder.bias": shape[:1],
        f"{layer}.rmsnorm.weight": shape[:1],
        f"{layer}.rmsnorm.bias": shape[:1],
    }
    for name, size in wanted.items():
        if name not in state or tuple(state[name].shape) != size:
            raise ValueError(
                f"'{name}' of shape {size} is not among the weights of this checkpoint: it "
                "is of a branch of metatrain that we do not know, or has been fine-tuned "
                "with LoRA"
            )
    for name in state:
        if name.startswith(f"{layer}.edge_embedder.") and name not in wanted:
            raise ValueError(
                "this model's edge embedder has been replaced (by LoRA fine-tuning?) and "
                "cannot be converted"
            )


def _last_layer(key: str, value: Any) -> tuple[str, Any]:
    """A weight without the axis of species, where there is one for all of them."""
    for theirs, ours in ((".weights.0", ".weight"), (".biases.0", ".bias")):
        if "_last_layers." in key and key.endswith(theirs) and len(value) == 1:
            return key.removesuffix(theirs) + ours, value[0].clone()
    return key, value


def _belongs_to_harmonics(key: str, layers: list[str]) -> bool:
    names = ("rmsnorm.", "spherical_harmonics.", "geometry_norm_factors")
    return any(key.startswith(f"{layer}.{name}") for layer in layers for name in names)


def _with_bias(weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Weights with the bias in the column of the constant harmonic."""
    weight = weight.clone()
    weight[:, 0] += bias * math.sqrt(4 * math.pi)
    return weight
