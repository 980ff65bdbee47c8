r"""First derivatives of an average without its graph. TorchScript compiles these functions.

With :math:`\bar E` the average of an energy and :math:`G` that of its gradient with respect
to positions and cell :math:`x`, both summed up without keeping any graph,

.. math::

    \bar E + G \cdot (x - x_0), \qquad x_0 = x \text{ detached},

has the right value and the right first derivative. What it does not know has an infinite
derivative rather than a wrong one: the second derivative, that of one atomic energy
beside the others, and that of outputs which are no energies.
"""

from typing import Dict, List

import torch
from metatensor.torch import TensorBlock, TensorMap
from metatomic.torch import System


def inputs_of(system: System) -> List[torch.Tensor]:
    """Positions and cell, as far as an engine will differentiate with respect to them.

    :param system: as given by the engine
    :return: none, one or both
    """
    inputs: List[torch.Tensor] = []
    if torch.is_grad_enabled():
        if system.positions.requires_grad:
            inputs.append(system.positions)
        if system.cell.requires_grad:
            inputs.append(system.cell)
    return inputs


def restarted(system: System, differentiate: bool) -> System:
    """Copy of a system that begins a graph of its own.

    :param system: as given by the engine
    :param differentiate: whether the copy will be differentiated
    :return: the copy; its positions and cell require gradients where those of the system
        did, and neighbour lists do not: they get them anew when they are rotated
    """
    positions, cell = system.positions.detach(), system.cell.detach()
    copy = System(system.types, positions, cell, system.pbc)
    for options in system.known_neighbor_lists():
        neighbors = system.get_neighbor_list(options)
        detached = TensorBlock(
            neighbors.values.detach(),
            neighbors.samples,
            neighbors.components,
            neighbors.properties,
        )
        copy.add_neighbor_list(options, detached)
    for name in system.known_data():
        copy.add_data(name, system.get_data(name))
    if differentiate:
        positions.requires_grad_(system.positions.requires_grad)
        cell.requires_grad_(system.cell.requires_grad)
    return copy


def leaves_of(system: System) -> List[torch.Tensor]:
    """Positions and cell of a copy, in the order of :func:`inputs_of`.

    :param system: of :func:`restarted`
    :return: those that require gradients
    """
    leaves: List[torch.Tensor] = []
    if system.positions.requires_grad:
        leaves.append(system.positions)
    if system.cell.requires_grad:
        leaves.append(system.cell)
    return leaves


def one_column(answers: Dict[str, TensorMap], names: List[str]) -> List[str]:
    """Outputs that are one scalar for each sample: only these are differentiated.

    :param answers: outputs of the model
    :param names: of the outputs to choose from
    :return: names
    """
    found: List[str] = []
    for name in names:
        if name in answers and len(answers[name].keys) == 1:
            block = answers[name].block(0)
            if len(block.components) == 0 and len(block.properties) == 1:
                found.append(name)
    return found


def add_gradients(
    answers: Dict[str, TensorMap],
    names: List[str],
    leaves: List[torch.Tensor],
    n_elements: int,
    gradients: Dict[str, List[torch.Tensor]],
) -> None:
    """Add what some copies contribute to the mean gradients. Their graph is freed.

    :param answers: outputs for the copies
    :param names: of :func:`one_column`
    :param leaves: with respect to these
    :param n_elements: number of all copies that there will be
    :param gradients: by name, one for each leaf; changed
    """
    for i, name in enumerate(names):
        total = answers[name].block(0).values.sum() / float(n_elements)
        if name not in gradients:
            gradients[name] = [torch.zeros_like(leaf) for leaf in leaves]
        if not total.requires_grad:  # a model that knows no positions
            continue
        found = torch.autograd.grad(
            [total], leaves, retain_graph=i + 1 < len(names), allow_unused=True
        )
        for k, part in enumerate(found):
            if part is not None:
                gradients[name][k] += part


def with_derivative(
    tensor: TensorMap, inputs: List[torch.Tensor], gradients: List[torch.Tensor]
) -> TensorMap:
    """Give an average its first derivative.

    :param tensor: the average, one column
    :param inputs: with respect to these
    :param gradients: of the sum over the samples, one for each input
    :return: the same values; the sum over the samples has the right derivative, and any
        other combination of them an infinite one
    """
    block = tensor.block(0)
    n_samples = len(block.samples)
    if n_samples == 0:
        return tensor
    zero = _zero(inputs)
    linear = torch.zeros_like(zero)
    for i, given in enumerate(inputs):
        step = given - given.detach()
        linear = linear + (gradients[i] * step).sum()
        # zero with its first derivative; the second one is infinite
        steep = step * _huge(step.dtype)
        linear = linear + (steep * steep).sum()
    apart = _infinitely_steep(zero.expand(n_samples - 1, 1))
    nothing = torch.zeros_like(block.values[:1]).detach()
    values = block.values + linear / float(n_samples)
    values = values + torch.cat([apart, nothing]) - torch.cat([nothing, apart])
    return _with_values(tensor, [values])


def forbidden(tensor: TensorMap, inputs: List[torch.Tensor]) -> TensorMap:
    """Give an average an infinite derivative, since the right one is not known.

    :param tensor: the average
    :param inputs: with respect to these
    :return: the same values
    """
    values: List[torch.Tensor] = []
    for block in tensor.blocks():
        zero = _zero(inputs).expand(block.values.shape)
        values.append(block.values + _infinitely_steep(zero))
    return _with_values(tensor, values)


def _zero(inputs: List[torch.Tensor]) -> torch.Tensor:
    """Zero, with a derivative of one."""
    zero = torch.zeros([], dtype=inputs[0].dtype, device=inputs[0].device)
    for given in inputs:
        zero = zero + (given - given.detach()).sum()
    return zero


def _infinitely_steep(zero: torch.Tensor) -> torch.Tensor:
    """Zero, with an infinite derivative, unless what comes back is exactly zero."""
    return zero * _huge(zero.dtype) * _huge(zero.dtype)


def _huge(dtype: torch.dtype) -> float:
    """Finite, and infinite when squared; TorchScript has no ``torch.finfo``."""
    return 1e200 if dtype == torch.float64 else 1e30


def _with_values(tensor: TensorMap, values: List[torch.Tensor]) -> TensorMap:
    blocks: List[TensorBlock] = []
    for i, block in enumerate(tensor.blocks()):
        blocks.append(
            TensorBlock(values[i], block.samples, block.components, block.properties)
        )
    return TensorMap(tensor.keys, blocks)
