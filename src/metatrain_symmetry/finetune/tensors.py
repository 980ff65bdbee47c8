"""What is done to the TensorMaps of targets: means over copies, mixtures, other labels."""

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap

from ..models.tensor_maps import mapped, with_values


def mean_of_copies(tensor: TensorMap, count: int, system: int) -> TensorMap:
    """Mean over the copies of one structure.

    :param tensor: of ``count`` copies, which are systems 0 to ``count - 1``, one after
        the other
    :param count: of copies
    :param system: what the structure is called in the result
    :return: of one structure
    """

    def mean(block: TensorBlock, gradient: str | None) -> TensorBlock:
        # no rows where a centre type is not there: -1 would be ambiguous
        rows = len(block.samples) // count
        values = block.values.reshape(count, rows, *block.values.shape[1:]).mean(dim=0)
        names = block.samples.names
        samples = block.samples.values.reshape(count, rows, len(names))[0].clone()
        if "system" in names:
            samples[:, names.index("system")] = system
        return TensorBlock(
            values, Labels(names, samples), block.components, block.properties
        )

    return mapped(tensor, mean)


def mixture(label: TensorMap, teacher: TensorMap, share: float) -> TensorMap:
    """Labels with a share of the teacher in them.

    :param label: of one structure, NaN where there is none
    :param teacher: of the same structure, in the same layout
    :param share: of the teacher, which is 1 where there is no label
    :raises ValueError: if the layouts differ
    :return: in the dtype of the label
    """
    blocks = []
    for key, block in label.items():
        other = teacher.block(key)
        new = _mixed(block, other, share)
        for name, gradient in block.gradients():
            new.add_gradient(name, _mixed(gradient, other.gradient(name), share))
        blocks.append(new)
    return TensorMap(label.keys, blocks)


def _mixed(block: TensorBlock, other: TensorBlock, share: float) -> TensorBlock:
    if block.values.shape != other.values.shape:
        raise ValueError(
            f"labels have the shape {tuple(block.values.shape)}, and predictions "
            f"{tuple(other.values.shape)}: give labels of all atoms, nan for none"
        )
    taught = other.values[_order(block.samples, other.samples)].to(block.values)
    mixed = (1 - share) * block.values + share * taught
    return with_values(block, torch.where(block.values.isnan(), taught, mixed))


def _order(wanted: Labels, given: Labels) -> list[int] | slice:
    """Which rows of a prediction are those of the labels, which may be in another order."""
    names = [n for n in wanted.names if n != "system" and n in given.names]
    if not names:
        return slice(None)
    rows, others = (
        torch.stack([one.column(name) for name in names], dim=1).tolist()
        for one in (wanted, given)
    )
    if rows == others:
        return slice(None)
    place = {tuple(row): i for i, row in enumerate(others)}
    if sorted(rows) != sorted(others):
        raise ValueError(
            "labels are not of the atoms of their structure: give one for each, nan "
            "where there is none"
        )
    return [place[tuple(row)] for row in rows]
