"""States of a model: between two of them, and into a checkpoint."""

import torch
from metatrain.pet import PET


State = dict[str, torch.Tensor]
"""Parameters by name."""


def trained_state(model: PET) -> State:
    """Copy of the parameters of a model.

    :param model: PET, or what inherits from it
    """
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def between(first: State, last: State, share: float) -> State:
    """Parameters on the straight line between two states.

    :param first: at share 0
    :param last: at share 1
    :param share: of the way
    """
    return {
        name: value if share == 0 else torch.lerp(value, last[name].to(value), share)
        for name, value in first.items()
    }


def set_parameters(model: PET, values: State) -> None:
    """Give a model other parameters.

    :param model: is changed
    :param values: by name
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(values[name])


def freeze_all_but_heads(model: PET) -> int:
    """Leave only heads and last layers trainable.

    :param model: is changed
    :raises ValueError: if it has none
    :return: number of parameters that are trained
    """
    count = 0
    for name, parameter in model.named_parameters():
        trained = any(part in name.split(".") for part in HEADS)
        parameter.requires_grad_(trained)
        count += parameter.numel() if trained else 0
    if not count:
        raise ValueError("the model has no heads: use purify.method: full")
    return count


HEADS = ("node_heads", "edge_heads", "node_last_layers", "edge_last_layers")
"""Modules of PET that belong to one target."""
