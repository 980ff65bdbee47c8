"""Copies of modules, those included that hold compiled functions."""

import copy
import copyreg
from itertools import chain
from typing import Any

import torch


def first_weight(model: torch.nn.Module) -> torch.Tensor | None:
    """First real parameter of a module, or else its first real buffer.

    :param model: any module
    :return: None if it has neither
    """
    tensors = chain(model.parameters(), model.buffers())
    return next((one for one in tensors if one.is_floating_point()), None)


def copied(model: Any) -> Any:
    """Copy a model.

    :param model: any module
    :return: with parameters and buffers of its own; functions that TorchScript has
        compiled, which Python refuses to copy, are shared: they hold no state
    """
    known = torch.jit.ScriptFunction in copyreg.dispatch_table
    if not known:
        # a text in place of a recipe means: the object itself
        copyreg.pickle(torch.jit.ScriptFunction, lambda function: "itself")
    try:
        return copy.deepcopy(model)
    finally:
        if not known:
            del copyreg.dispatch_table[torch.jit.ScriptFunction]


def sharing_weights(module: torch.nn.Module) -> torch.nn.Module:
    """Copy of a module that looks at the same parameters and buffers.

    :param module: is left as it is
    :return: the copy; its parameters need no gradients
    """
    shared: dict[int, Any] = {id(one): one for one in module.buffers()}
    for one in module.parameters():
        shared[id(one)] = torch.nn.Parameter(one.detach(), requires_grad=False)
    return copy.deepcopy(module, shared)
