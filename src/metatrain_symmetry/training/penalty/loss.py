"""The loss with the penalty: L = L_err + weight Var, of predictions rotated back."""

from collections.abc import Mapping
from typing import Any

import torch
from metatensor.torch import TensorMap
from metatomic.torch.o3 import O3Transformations
from metatrain.utils.augmentation import _max_angular_momentum
from metatrain.utils.loss import LossAggregator

from ...models.tensor_maps import detached, with_values
from .copies import Tensors, rotations_of
from .errors import NotFinite
from .schedule import Schedule


class PenalisedLoss(LossAggregator):
    """metatrain's loss, and the same loss between the copies of a structure and their mean.

    With K copies and ``ε_k`` the prediction for copy k, rotated back, the squared loss
    between predictions and means is ``(K - 1) / K`` of the unbiased variance of ``ε_k``.

    :param schedule: says how much
    :param targets: metatrain's ``TargetInfo`` of each target
    :param config: of metatrain's loss
    """

    def __init__(self, schedule: Schedule, targets: Any, config: Any) -> None:
        super().__init__(targets, config)
        self.schedule = schedule
        self.o3_lambda = _max_angular_momentum(targets, {})

    def compute(
        self, predictions: Tensors, targets: Tensors, extra_data: Tensors | None = None
    ) -> torch.Tensor:
        """Compute the loss of a batch.

        :param predictions: of each target
        :param targets: likewise
        :param extra_data: with the rotations, if the batch has copies
        :raises NotFinite: if it is no number
        :return: the loss
        """
        loss = super().compute(predictions, targets, extra_data)
        if not torch.isfinite(loss):
            raise NotFinite("the loss is not finite: take a smaller learning_rate")
        rotations = rotations_of(extra_data, self.o3_lambda)
        if rotations is None:
            return loss
        count, weight = self.schedule.options["copies"], self.schedule.weight
        centres = {name: centre(one, rotations, count) for name, one in predictions.items()}
        variance = super().compute(predictions, centres, extra_data) * count / (count - 1)
        more = {name: factor - 1 for name, factor in self.schedule.emphasis.items()}
        return loss + self._terms(more, predictions, targets) + weight * variance

    def _terms(
        self, factors: Mapping[str, float], predictions: Tensors, targets: Tensors
    ) -> torch.Tensor | float:
        """Some terms of metatrain's loss, times a factor each."""
        return sum(
            factor
            * self.losses[name].weight
            * self.losses[name].compute(predictions, targets)
            for name, factor in factors.items()
            if self.losses[name].target in predictions
        )


def centre(tensor: TensorMap, rotations: O3Transformations, count: int) -> TensorMap:
    """Mean of a structure's copies, rotated as each of them.

    :param tensor: predictions, copies of a structure next to each other
    :param rotations: of each copy
    :param count: copies of each structure
    :return: of the same shape, without a graph: a mean does not change the squared
        deviation from it to first order
    """
    back = rotations.inverse_transform_tensormap(detached(tensor))
    blocks = []
    for block in back.blocks():
        system = block.samples.column("system")
        new = with_values(block, _means(block.values, system, count))
        for name, gradient in block.gradients():
            parents = system[gradient.samples.column("sample").to(torch.long)]
            means = _means(gradient.values, parents, count)
            new.add_gradient(name, with_values(gradient, means))
        blocks.append(new)
    return rotations.transform_tensormap(TensorMap(back.keys, blocks))


def _means(values: torch.Tensor, system: torch.Tensor, count: int) -> torch.Tensor:
    """Mean over copies, whose rows are sorted by system and alike in every copy."""
    system = system.to(torch.long)
    sizes = torch.bincount(system)
    starts = sizes.cumsum(0) - sizes
    rows = torch.arange(len(system), device=system.device)
    # the same row of the first copy
    first = rows - starts[system] + starts[system - system % count]
    sums = torch.zeros_like(values).index_add_(0, first, values)
    return sums[first] / count
