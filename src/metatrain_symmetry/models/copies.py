"""Copies of modules, those included that hold compiled functions."""

import copy
import copyreg
from typing import Any

import torch


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
