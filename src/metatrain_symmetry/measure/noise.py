"""What no rotation explains: rounding in the dtype of the model, and random numbers."""

from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..groups import O3, Irrep
from ..models.engine import Block, Engine, Prepared
from .equivariance import EquivarianceSums
from .structure import Representations


class _Tiny:
    """Rotations by a few units in the last place, about one orientation."""

    def __init__(
        self, orientation: Rotation, dtype: torch.dtype, seed: int, copies: int
    ) -> None:
        random = np.random.default_rng(seed)
        vectors = random.normal(size=(copies, 3)) * 4 * torch.finfo(dtype).eps
        self.matrices = torch.from_numpy(
            (Rotation.from_rotvec(vectors) * orientation).as_matrix()
        )
        self.weights = torch.full((copies,), 1 / copies, dtype=torch.float64)
        self.irreps = ()


def noise_floor(
    engine: Engine,
    structure: Prepared,
    blocks: list[Block],
    seed: int = 0,
    orientations: int = 4,
    copies: int = 8,
) -> dict[Block, float]:
    """Find the A that rounding alone gives, in the dtype of the model.

    The structure is evaluated again and again under rotations of a few units in the
    last place, in some orientations: what changes then is rounding. Such rotations belong
    to O(3) alone: for irreps of another group the floor is not known.

    :param engine: what evaluates the model
    :param structure: as prepared by the engine
    :param blocks: irrep blocks of the targets
    :param seed: of the rotations
    :param orientations: how many
    :param copies: evaluations in each, two or more
    :return: root mean square deviation of each block, in its unit; NaN where not known
    """
    squares: dict[Block, list[float]] = {}
    known = [block for block in blocks if isinstance(block.irrep, Irrep)]
    for i, orientation in enumerate(
        Rotation.random(orientations, rng=np.random.default_rng(seed))
    ):
        orbit: Any = _Tiny(orientation, engine.dtype, seed + i, copies)
        rotated = Representations(O3(), orbit, engine.device)
        values = engine.evaluate(structure, orbit.matrices, known, [])
        for block, tensor in values.targets.items():
            sums = EquivarianceSums()
            sums.add(tensor, rotated[block.irrep], orbit.weights.to(engine.device))
            squares.setdefault(block, []).append(sums.finish().A ** 2)
    floors = dict.fromkeys(blocks, float("nan"))
    return floors | {b: float(np.mean(s)) ** 0.5 for b, s in squares.items()}


def sampling_noise(
    engine: Engine,
    structure: Prepared,
    blocks: list[Block],
    seed: int = 0,
    orientations: int = 4,
    copies: int = 4,
) -> dict[Block, float]:
    """Find how far predictions scatter where random numbers are not frozen.

    A structure is evaluated in some orientations, in each with other random numbers and
    with nothing frozen.

    :param engine: what evaluates the model
    :param structure: as prepared by the engine
    :param blocks: irrep blocks of the targets
    :param seed: of the rotations and random numbers
    :param orientations: how many
    :param copies: evaluations in each, two or more
    :return: root mean square deviation from the mean over random numbers, per component,
        in the unit of the block; NaN for engines that draw none
    """
    resampled: Any = getattr(engine, "resampled", None)
    if resampled is None or not getattr(engine, "draws", False):
        return dict.fromkeys(blocks, float("nan"))
    squares: dict[Block, list[float]] = {block: [] for block in blocks}
    for i, turn in enumerate(
        Rotation.random(orientations, rng=np.random.default_rng(seed))
    ):
        matrix = torch.from_numpy(turn.as_matrix())
        first = copies * (orientations * seed + i)
        found = [resampled(structure, matrix, first + k) for k in range(copies)]
        for block in blocks:
            values = torch.stack([one[block] for one in found]).to(torch.float64)
            squares[block].append(float(values.var(dim=0).mean()))
    return {block: float(np.mean(s)) ** 0.5 for block, s in squares.items()}
