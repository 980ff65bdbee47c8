"""A structure as PET evaluates it: preprocessed once, its edge vectors rotated later."""

from dataclasses import dataclass, field

import torch

from ..metatomic import MetatomicStructure
from .dense_blocks import Place


Batch = dict[str, torch.Tensor]
"""What PET's ``preprocess`` returns, and what its layers take."""


@dataclass
class PETStructure(MetatomicStructure):
    """A structure, preprocessed by PET.

    :param arrays: what ``preprocess`` was given, and the samples, as
        ``concatenate_structures`` returns them
    :param batch: what ``preprocess`` returned
    :param scales: for each target and dense block the factors of the raw predictions,
        ``(atoms, *components, properties)``
    :param places: for each target where its returned blocks stand among the dense ones
    :param tiles: batches of several unrotated copies, by their number
    """

    arrays: tuple[torch.Tensor, ...]
    batch: Batch
    scales: dict[str, list[torch.Tensor]]
    places: dict[str, list[Place]]
    tiles: dict[int, Batch] = field(default_factory=dict)
