"""Whether data and model mean the same by a target."""

from collections.abc import Iterable, Mapping

import torch
from metatensor.torch import TensorMap

from ..models.engine import Block, Engine
from ..models.irrep_blocks import convert
from ..models.live_or_exported import target_info
from .datasets import Infos


def described(blocks: Iterable[Block]) -> str:
    """Say what a target is.

    :param blocks: its blocks
    :return: irreps and samples
    """
    blocks = list(blocks)
    irreps = dict.fromkeys(str(block.irrep) for block in blocks)
    kind = "atom" if blocks[0].sample_kind == "atom" else "structure"
    return f"{' and '.join(irreps)} per {kind}"


def check_sizes(engine: Engine, truth: Mapping[Block, torch.Tensor]) -> None:
    """Make sure that labels have as many properties as the model.

    :param engine: of the model
    :param truth: labels of one structure
    :raises ValueError: if one has not; exported models do not say how many they have
    """
    for block, values in truth.items():
        info = target_info(getattr(engine, "model", None), block.target)
        if info is None:
            continue
        expected = {len(part.properties) for part in info.layout.blocks()}
        if values.shape[-1] not in expected:
            raise ValueError(
                f"'{block.target}' has {values.shape[-1]} properties, and the model "
                f"predicts {max(expected)}: rename it if it is something else"
            )


def check_targets(engine: Engine, infos: Infos) -> None:
    """Make sure that data and model mean the same by a target.

    :param engine: of the model
    :param infos: for each target of the data metatrain's ``TargetInfo``
    :raises ValueError: if one is of another type
    """
    model = getattr(engine, "model", None)
    for target, info in infos.items():
        known = [b for b in engine.blocks if b.target == target]
        if not known:
            continue
        given = convert(target, info.layout, info.sample_kind, info.unit)
        of_model = None if model is None else target_info(model, target)
        expected = given
        if of_model is not None:
            expected = convert(target, of_model.layout, known[0].sample_kind, "")
        sizes = [sorted(v.shape[-1] for v in parts.values()) for parts in (given, expected)]
        labels = [{(b.irrep, b.detail) for b in parts} for parts in (given, known)]
        kind, own = info.sample_kind, known[0].sample_kind
        if of_model is None and labels[0] == labels[1] and kind != own:
            raise ValueError(
                f"an exported model does not say whether its target '{target}' is per "
                f"{kind}, as in the data: give the checkpoint of the model"
            )
        if labels[0] != labels[1] or sizes[0] != sizes[1] or kind != own:
            raise ValueError(
                f"the target '{target}' is {described(given)} with {sizes[0][-1]} "
                f"properties in the data, and {described(known)} with {sizes[1][-1]} in "
                "the model: correct its type, sample_kind and num_subtargets, or its name"
            )


def check_labels(tensors: Mapping[str, TensorMap], where: str) -> None:
    """Make sure that labels are numbers, or missing.

    :param tensors: of one structure
    :param where: how messages call it
    :raises ValueError: if one is infinite
    """
    for target, tensor in tensors.items():
        for block in tensor.blocks():
            if block.values.isinf().any():
                raise ValueError(
                    f"{where}: the target '{target}' holds an infinite number: correct it, "
                    "or write nan where a label is missing"
                )
