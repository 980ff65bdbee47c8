"""All that is found on one structure, on whichever process: it can be sent and kept."""

from dataclasses import dataclass, field

import torch

from ..data.labelled import LabelledStructure, raw_values
from ..models.engine import Block, Engine, Prepared
from .noise import noise_floor, sampling_noise
from .structure import Measured
from .tiers import Tier


@dataclass
class Given:
    """One structure in the orientation in which it was given, and what noise there is.

    :param n_atoms: number of atoms
    :param types: atomic types; empty where they mean nothing
    :param noise: of each block the A that rounding gives; NaN where it is not known
    :param sampling: of each block its scatter over random numbers, likewise
    :param differences: of each block with a target the prediction minus the target,
        float64, ``(samples, 2 λ + 1, properties)``
    :param raw: of the same blocks the prediction without composition, likewise
    """

    n_atoms: int
    types: list[int] = field(default_factory=list)
    noise: dict[Block, float] = field(default_factory=dict)
    sampling: dict[Block, float] = field(default_factory=dict)
    differences: dict[Block, torch.Tensor] = field(default_factory=dict)
    raw: dict[Block, torch.Tensor] = field(default_factory=dict)


@dataclass
class Found:
    """One structure.

    :param index: number of the structure
    :param tier: what was done with it
    :param on_set: what its point set says, if it has one
    :param on_circles: what its circles say, if it has any
    :param given: what is known without rotating it
    :param seconds: that this took
    :param evaluations: of the model, along the orbits
    :param earlier: whether an earlier run has found it
    """

    index: int
    tier: Tier
    on_set: Measured | None
    on_circles: Measured | None
    given: Given
    seconds: float
    evaluations: int
    earlier: bool = False


def look_at_given(
    engine: Engine,
    one: LabelledStructure,
    measured: list[Measured | None],
    copies: int,
    seeds: tuple[int, int],
) -> Given:
    """Evaluate a structure as it was given.

    :param engine: what evaluates the model
    :param one: the structure with its targets
    :param measured: along orbits; only blocks that are in one of them are looked at
    :param copies: evaluations for the floor of rounding, none if less than two
    :param seeds: of rotations by next to nothing, and of random numbers
    :raises ValueError: if a target has another shape than the prediction
    :return: what is found
    """
    structure, targets = one.structure, one.targets
    known = [m.equivariance for m in measured if m is not None]
    blocks = [b for b in engine.blocks if any(b in several for several in known)]
    types = getattr(structure.system, "types", None)
    found = Given(structure.n_atoms, [] if types is None else types.tolist())
    if not blocks:  # there are no outputs
        return found
    found.noise = dict.fromkeys(blocks, float("nan"))
    if copies > 1:
        orientations = 4 if copies >= 32 else 1
        each = copies // orientations
        found.noise = noise_floor(engine, structure, blocks, seeds[0], orientations, each)
    found.sampling = sampling_noise(engine, structure, blocks, seeds[1])
    if not targets:
        return found
    predicted, raw = engine.predict(structure), raw_values(engine, structure, blocks)
    for block in blocks:
        if block in targets and block in predicted:
            reference = targets[block].to(torch.float64)
            value = predicted[block].cpu().to(torch.float64)
            _check_shapes(structure, block, value, reference)
            found.differences[block], found.raw[block] = value - reference, raw[block]
    return found


def _check_shapes(
    structure: Prepared, block: Block, value: torch.Tensor, reference: torch.Tensor
) -> None:
    """Refuse what would broadcast without a word."""
    if value.shape != reference.shape:
        raise ValueError(
            f"{structure.name}: target '{block.name}' has the shape "
            f"{tuple(reference.shape)}, the prediction {tuple(value.shape)}: give targets "
            "of the kind that the model was made for"
        )
