"""A and the orientation-averaged RMSE of a model on labelled structures.

Every structure is rotated by one finite group in a random frame, the same for every state
of the model, so that two states differ by what they predict. With ``ε = ρ(g)⁻¹ f(g x)`` the
oriented squared error is ``<|ε - y|²> = |<ε> - y|² + A²``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..data.labelled import LabelledStructure
from ..groups import representation
from ..groups.base import PointSet
from ..groups.frames import random_frame
from ..models.engine import Block, Engine
from ..models.irrep_blocks import grows
from ..models.sweep import sweep


@dataclass(frozen=True)
class Errors:
    """Of one block over a set of structures, per component, sample and property.

    :param A: root mean square equivariance error
    :param rmse: root mean square error over structures and orientations
    :param norm: root mean square of the predictions, without composition
    :param norm_targets: likewise of the labels
    :param samples: atoms or structures
    :param structures: that have labels
    """

    A: float
    rmse: float
    norm: float
    norm_targets: float
    samples: int
    structures: int

    @property
    def share(self) -> float:
        """Share of the squared error that is asymmetry; NaN without an error."""
        return self.A**2 / self.rmse**2 if self.rmse > 0 else float("nan")


Table = dict[Block, Errors]


def errors(
    engine: Engine,
    data: Sequence[LabelledStructure],
    points: PointSet,
    whole: frozenset[str],
    memory: int,
    progress: Callable[[], object] = lambda: None,
) -> Table:
    """Evaluate a model on labelled structures.

    :param engine: of the model
    :param data: structures and targets without composition
    :param points: finite group that rotates each structure
    :param whole: per-structure targets that do not count per atom
    :param memory: budget of one evaluation, in bytes
    :param progress: called after every structure
    :return: for each block that has labels; per atom where the target grows with the
        structure
    """
    sums: dict[Block, _Sums] = {}
    for number, one in enumerate(data):
        matrices = points.orbit(0, random_frame(number)).matrices
        blocks = [block for block in engine.blocks if block in one.bare_targets]
        parts: dict[Block, list[torch.Tensor]] = {block: [] for block in blocks}
        if blocks:
            steps = sweep(engine, one.structure, matrices, blocks, [], memory)
            for _, values in steps:
                for block, part in values.targets.items():
                    parts[block].append(part.detach().cpu().to(torch.float64))
        for block, found in parts.items():
            rho = representation(block.irrep, matrices)
            back = torch.einsum("gmn,gsmp->gsnp", rho, torch.cat(found))
            atoms = one.structure.n_atoms if per_atom(block, whole) else 1
            target = one.bare_targets[block] / atoms
            sums.setdefault(block, _Sums()).add(back / atoms, target)
        progress()
    return {block: one.finish() for block, one in sums.items()}


def not_finite(engine: Engine) -> Table:
    """What stands for the errors of weights whose predictions are not finite.

    :param engine: of the model
    :return: NaN for every block
    """
    nan = float("nan")
    return {block: Errors(nan, nan, nan, nan, 0, 0) for block in engine.blocks}


def per_atom(block: Block, whole: frozenset[str]) -> bool:
    """Whether a block is given per atom.

    :param block: of the model
    :param whole: per-structure targets that do not count per atom
    """
    return grows(block.target, block.sample_kind) and block.target not in whole


class _Sums:
    """Sums of squares of one block."""

    def __init__(self) -> None:
        self.total = torch.zeros(4, dtype=torch.float64)
        self.numbers = self.samples = self.structures = 0

    def add(self, back: torch.Tensor, target: torch.Tensor) -> None:
        """Take predictions rotated back, ``(n, samples, 2 λ + 1, properties)``."""
        known = target.isfinite()
        mean = back.mean(dim=0)
        squares = (
            (back - mean).square().mean(dim=0),
            (back - target).square().mean(dim=0),
            back.square().mean(dim=0),
            target.square(),
        )
        self.total += torch.stack([one[known].sum() for one in squares])
        self.numbers += int(known.sum())
        self.samples += int(known.flatten(1).any(dim=1).sum())
        self.structures += bool(known.any())

    def finish(self) -> Errors:
        """Root mean squares."""
        A, rmse, norm, known = (self.total / max(1, self.numbers)).sqrt().tolist()
        return Errors(A, rmse, norm, known, self.samples, self.structures)
