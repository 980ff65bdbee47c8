"""A structure with its targets: the one type that every measurement and remedy takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ..models.engine import Block, Engine, Prepared


Targets = Mapping[Block, torch.Tensor]
"""For each block ``(samples, 2 λ + 1, properties)``, float64, in the unit of the block."""


@dataclass
class LabelledStructure:
    """A structure, ready for an engine, with what is known of its targets.

    :param structure: as the engine has prepared it
    :param targets: as they were given, composition included; empty where none are known
    :param bare_targets: without composition, and whatever else the engine leaves out;
        empty until :func:`labelled` or :meth:`subtract_baseline` has filled it

    >>> import torch
    >>> from ase.build import molecule
    >>> from metatrain_symmetry import LabelledStructure, open_engine, read_systems
    >>> engine = open_engine("model.ckpt")
    >>> ((_, system),) = read_systems(molecule("H2O"), engine)
    >>> energy = torch.full((1, 1, 1), -14.2, dtype=torch.float64)
    >>> known = LabelledStructure(engine.prepare(system), {engine.blocks[0]: energy})
    >>> known.subtract_baseline(engine)
    >>> known.bare_targets[engine.blocks[0]].shape
    torch.Size([1, 1, 1])
    """

    structure: Prepared
    targets: Targets = field(default_factory=dict)
    bare_targets: dict[Block, torch.Tensor] = field(default_factory=dict)

    def subtract_baseline(self, engine: Engine) -> None:
        """Take composition, and whatever else an engine leaves out, off the targets.

        :param engine: that has prepared the structure
        """
        blocks = [block for block in engine.blocks if block in self.targets]
        if not blocks:
            return
        full = engine.predict(self.structure)
        raw = raw_values(engine, self.structure, blocks)
        for block in blocks:
            if block in full and block in raw:
                baseline = full[block].detach().cpu().to(torch.float64) - raw[block]
                given = self.targets[block].cpu().to(torch.float64)
                self.bare_targets[block] = given - baseline


def labelled(engine: Engine, structure: Prepared, targets: Targets) -> LabelledStructure:
    """Put a structure and its targets together, with the composition taken off.

    :param engine: what evaluates the model
    :param structure: as prepared by it
    :param targets: with composition
    :return: the structure with its targets
    """
    found = LabelledStructure(structure, targets)
    found.subtract_baseline(engine)
    return found


def raw_values(
    engine: Engine, structure: Prepared, blocks: list[Block]
) -> dict[Block, torch.Tensor]:
    """Evaluate a structure in the given frame, without composition.

    :param engine: what evaluates the model
    :param structure: as prepared by it
    :param blocks: which outputs
    :return: values of each block, on the CPU, float64
    """
    one = torch.eye(3, dtype=torch.float64)[None]
    values = engine.evaluate(structure, one, blocks, [])
    return {b: v[0].detach().cpu().to(torch.float64) for b, v in values.targets.items()}
