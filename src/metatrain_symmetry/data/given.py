"""A structure as it was read, before an engine prepares it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from metatomic.torch import System

from ..models.engine import Block, Engine
from .labelled import LabelledStructure, labelled


@dataclass
class GivenStructure:
    """A structure and its targets, in the unit of length of a model.

    :param name: how messages call it
    :param system: the structure
    :param targets: for blocks that are wanted the targets that there are, composition
        included, ``(samples, 2 λ + 1, properties)``
    """

    name: str
    system: System
    targets: Callable[[list[Block]], dict[Block, torch.Tensor]]

    def labelled(self, engine: Engine) -> LabelledStructure:
        """Prepare the structure, and take composition off its targets.

        :param engine: what evaluates the model
        :return: for measurements again and again
        """
        prepared = engine.prepare(self.system, self.name)
        return labelled(engine, prepared, self.targets(engine.blocks))
