"""What is looked at before ``mtt train`` starts with ``pet_ssh``.

metatrain takes the architecture to restart or fine-tune from the checkpoint itself, so a
plain ``pet`` would go on as ``pet``. Here it is upgraded first, and what cannot work is
said in one sentence.
"""

import copy
import logging
import math
from pathlib import Path
from typing import Any

import torch
from metatrain.utils.pydantic import validate_base_options
from omegaconf import DictConfig, OmegaConf

from ..io import recover, replacing
from ..models.checkpoints import has_harmonics_of_a_branch, read_checkpoint
from ..training import complete
from ..training.continuation import remember
from ..training.options import check_files
from .checkpoints import Checkpoint
from .convert import convert_pet_checkpoint
from .options import AUTO, automatic_l_max
from .upgrade import upgrade_pet_checkpoint


PARTS = ("scaler", "composition")
"""What metatrain fits, and writes checkpoints of, before a training begins."""


def check(
    options: DictConfig | dict[str, Any],
    restart_from: str | Path | None,
    checkpoint_dir: str | Path,
) -> DictConfig:
    """Complete the options; check, and perhaps upgrade, what a training starts from.

    :param options: training options as given by the user, of architecture ``pet_ssh``.
    :param restart_from: checkpoint of ``mtt train --restart``, if any.
    :param checkpoint_dir: output folder of the run; an upgraded checkpoint goes there.
    :return: the options, with a number in place of ``l_max: auto``, and with
        ``finetune.read_from`` pointing to the upgraded file if one was written.
    :raises ValueError: if the checkpoint cannot be read or is of another architecture.
    """
    options = _copy(options)
    watched = _check_symmetry(options)
    _choose_l_max(options)
    if restart_from is not None:
        check_restart(restart_from)
        if watched:
            remember(checkpoint_dir, restart_from)
        return options
    source = OmegaConf.select(options, "architecture.training.finetune.read_from")
    if source is None:
        return options
    checkpoint = read_checkpoint(source)
    wanted = _section(options, "architecture.model.geometry_embedding") or {}
    if not _needs_upgrade(checkpoint, source, wanted):
        return options
    if has_harmonics_of_a_branch(checkpoint):
        upgraded = convert_pet_checkpoint(checkpoint)
    else:
        upgraded = upgrade_pet_checkpoint(checkpoint, wanted)
    # a folder of its own, or `--restart auto` could take it for a checkpoint of this run
    path = Path(checkpoint_dir) / "upgraded" / Path(source).name
    _write_atomically(upgraded, path)
    used = upgraded["model_data"]["model_hypers"]["geometry_embedding"]
    logging.info(
        f"Upgraded '{source}' from {checkpoint['architecture_name']!r} to 'pet_ssh' with "
        f"{used}, written to '{path}'"
    )
    OmegaConf.update(options, "architecture.training.finetune.read_from", str(path))
    return options


def _copy(options: DictConfig | dict[str, Any]) -> DictConfig:
    """Options that can be changed."""
    copy: Any = OmegaConf.create(OmegaConf.to_container(OmegaConf.create(options)))
    assert isinstance(copy, DictConfig)
    return copy


def _section(options: DictConfig, key: str) -> Any:
    """What stands at a place, in plain dictionaries and lists; None for nothing."""
    found = OmegaConf.select(options, key)
    return OmegaConf.to_container(found) if OmegaConf.is_config(found) else found


def _check_symmetry(options: DictConfig) -> bool:
    """Check the options of the monitor; say whether there is one."""
    symmetry = complete(_section(options, "architecture.training.symmetry"))
    if symmetry is not None:
        check_files(symmetry)
    return symmetry is not None


def _choose_l_max(options: DictConfig) -> None:
    """Put a number where the options say ``l_max: auto``."""
    key = "architecture.model.geometry_embedding.l_max"
    if OmegaConf.select(options, key) != AUTO:
        return
    # metatrain says better what is wrong with the rest
    validate_base_options(OmegaConf.to_container(options))
    irreps = target_irreps(options["training_set"])
    chosen = automatic_l_max(irreps)
    OmegaConf.update(options, key, chosen)
    names = sorted(
        {f"({o3_lambda},{'+-'[o3_sigma < 0]})" for o3_lambda, o3_sigma in irreps}
    )
    logging.info(
        f"geometry_embedding.l_max: auto is {chosen} for targets {', '.join(names)}"
    )


def target_irreps(section: Any) -> list[tuple[int, int]]:
    """Irreps of the targets of a training set.

    :param section: the section ``training_set`` of an options file, in any of its forms
    :return: the largest ``(λ, σ)`` of every block: (n,+) of a Cartesian tensor of rank n;
        gradients of energies do not count
    """
    from metatrain.utils.data.target_info import get_generic_target_info
    from metatrain.utils.omegaconf import expand_dataset_config

    found = []
    # a copy: it is completed in place
    for part in expand_dataset_config(copy.deepcopy(section)):
        for name, target in part["targets"].items():
            info = get_generic_target_info(name, target)
            for key, block in info.layout.items():
                if not info.is_spherical:
                    found.append((len(block.components), 1))
                    continue
                # a product of two irreps, kept uncoupled, reaches the sum of their degrees
                values = dict(zip(key.names, map(int, key.values), strict=True))
                degrees = [v for n, v in values.items() if n.startswith("o3_lambda")]
                signs = [v for n, v in values.items() if n.startswith("o3_sigma")]
                found.append((sum(degrees), math.prod(signs)))
    return found


def check_restart(path: str | Path, wanted: str = "pet_ssh") -> None:
    """Only a model of an architecture can be restarted as one.

    :param path: checkpoint of ``mtt train --restart``
    :param wanted: architecture in the options
    :raises ValueError: if the checkpoint cannot be read, or if it holds another one
    """
    checkpoint = read_checkpoint(path)
    name = checkpoint["architecture_name"]
    if name in PARTS and name != wanted:
        raise ValueError(
            f"The checkpoint '{path}' holds only the {name} that a training fits before "
            f"its first epoch, so there is nothing to continue: {_instead(Path(path))}."
        )
    if name != wanted:
        hint = f": write 'name: {name}' to continue it"
        if (name, wanted) == ("pet", "pet_ssh"):
            hint = ": give it as `training: finetune: read_from:` to upgrade it"
        raise ValueError(
            f"The checkpoint '{path}' holds a {name!r} model and cannot restart a "
            f"{wanted!r} training{hint}."
        )
    if wanted == "pet_ssh" and "optimizer_state_dict" not in checkpoint:
        raise ValueError(
            f"The checkpoint '{path}' holds no state of a trainer, so there is nothing to "
            "continue: give it as `training: finetune: read_from:`."
        )


def _instead(path: Path) -> str:
    """What to do where a training was stopped before its first checkpoint."""
    runs = path.resolve().parents[:3][-1]
    found = [p for p in runs.glob("*/*/*.ckpt") if p.stem not in _FILES]
    latest = max(found, key=lambda p: p.stat().st_mtime, default=None)
    return "start without --restart" + (
        "" if latest is None else f", or name an earlier one, such as --restart {latest}"
    )


_FILES = ("scaler", "composition", "composition_model")


def _needs_upgrade(checkpoint: Checkpoint, source: str, wanted: dict[str, Any]) -> bool:
    """Whether a checkpoint to fine-tune from has to become a ``pet_ssh`` first."""
    name = checkpoint["architecture_name"]
    if name == "pet":
        return True
    if name != "pet_ssh":
        raise ValueError(
            f"The checkpoint '{source}' holds a {name!r} model, but 'pet_ssh' can only "
            "be fine-tuned from 'pet' and 'pet_ssh' models."
        )
    has = checkpoint["model_data"]["model_hypers"]["geometry_embedding"]["l_max"]
    return has is None and wanted.get("l_max") is not None


def _write_atomically(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint, whole or not at all."""
    recover(path)
    with replacing(path) as new:
        torch.save(checkpoint, new)
