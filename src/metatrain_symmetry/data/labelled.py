"""A structure that is measured again and again, with its targets."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ..models.engine import Block, Engine, Prepared


Truth = Mapping[Block, torch.Tensor]


@dataclass
class Subject:
    """A structure that is measured again and again.

    :param prepared: by the engine
    :param truth: its targets without composition, ``(samples, 2 λ + 1, properties)``,
        float64, where they are known
    """

    prepared: Prepared
    truth: dict[Block, torch.Tensor] = field(default_factory=dict)


def subject(engine: Engine, structure: Prepared, truth: Truth) -> Subject:
    """Take composition, and whatever else the engine leaves out, off the targets once.

    :param engine: what evaluates the model
    :param structure: as prepared by it
    :param truth: targets with composition, ``(samples, 2 λ + 1, properties)``
    :return: the structure with its targets
    """
    blocks = [block for block in engine.blocks if block in truth]
    if not blocks:
        return Subject(structure)
    full = engine.predict(structure)
    raw = raw_values(engine, structure, blocks)
    known = {}
    for block in blocks:
        if block in full and block in raw:
            baseline = full[block].detach().cpu().to(torch.float64) - raw[block]
            known[block] = truth[block].cpu().to(torch.float64) - baseline
    return Subject(structure, known)


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
