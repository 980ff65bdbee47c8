"""Rows of targets."""

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap

from metatrain_symmetry.finetune.tensors import mean_of_copies


def test_a_centre_type_that_is_not_there():
    """A block without rows stays one; the mean of the others is over copies."""
    keys = Labels("center_type", torch.tensor([[1], [6]]))
    values = torch.arange(12, dtype=torch.float64).reshape(6, 2)
    samples = torch.tensor([[c, a] for c in range(3) for a in range(2)])
    blocks = [
        TensorBlock(part, Labels(["system", "atom"], rows), [], Labels.range("property", 2))
        for part, rows in (
            (values, samples), (values[:0], samples[:0]),
        )
    ]  # fmt: skip
    mean = mean_of_copies(TensorMap(keys, blocks), 3, 8)
    assert mean.block(0).values.tolist() == [[4, 5], [6, 7]]
    assert mean.block(0).samples.values.tolist() == [[8, 0], [8, 1]]
    assert mean.block(1).values.shape == (0, 2)
