"""TensorMaps, block by block, gradients included."""

from collections.abc import Callable

import torch
from metatensor.torch import TensorBlock, TensorMap


def mapped(
    tensor: TensorMap, change: Callable[[TensorBlock, str | None], TensorBlock]
) -> TensorMap:
    """Change every block and every gradient.

    :param tensor: as it is
    :param change: takes a block and None, or a gradient and its name; returns the new one
    :return: with the same keys
    """
    blocks = []
    for block in tensor.blocks():
        new = change(block, None)
        for name, gradient in block.gradients():
            new.add_gradient(name, change(gradient, name))
        blocks.append(new)
    return TensorMap(tensor.keys, blocks)


def with_values(block: TensorBlock, values: torch.Tensor) -> TensorBlock:
    """A block with other values of the same shape.

    :param block: whose labels are kept
    :param values: new values
    """
    return TensorBlock(values, block.samples, block.components, block.properties)


def detached(tensor: TensorMap) -> TensorMap:
    """Without the graph that has led to it.

    :param tensor: as predicted
    """
    return mapped(tensor, lambda block, _: with_values(block, block.values.detach()))
