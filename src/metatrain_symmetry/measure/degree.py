"""Which degree the grid needs, found on one structure.

A grid of degree t holds an orthonormal system up to λ = t / 2, so what it leaves of the
squared norm, the residual of its band, bounds both what lies beyond and what folds back
into the channels below. It is raised until that is below the tolerance.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..group import O3Grid
from ..orbit.engine import Block, Engine, Prepared
from .equivariance import EquivarianceSums
from .settings import Settings
from .structure import Measured, Representations, measure_structure


STEP = 4
CLOSE = 0.01
"""Relative change of A that counts as none."""


@dataclass
class Degrees:
    """Degrees of the grids, and how they were found.

    :param spectra: degree for spectra
    :param equivariance: degree for A
    :param steps: one entry for each degree tried
    :param pilot: what the largest grid says about the pilot structure
    :param converged: whether the residual of its band is below the tolerance
    """

    spectra: int
    equivariance: int
    pilot: Measured
    converged: bool
    steps: list[dict[str, Any]] = field(default_factory=list)


def choose_degrees(
    engine: Engine,
    pilot: Prepared,
    blocks: list[Block],
    probes: list[str],
    settings: Settings,
    progress: Callable[[int], object],
) -> Degrees:
    """Raise the degree on a pilot structure until its spectrum is complete.

    :param engine: what evaluates the model
    :param pilot: the structure
    :param blocks: irrep blocks of the targets
    :param probes: layers
    :param settings: of the measurement
    :param progress: called with the number of elements done
    :return: the degrees
    """
    degree = settings.degree or 2 * settings.lambda_max
    steps: list[dict[str, Any]] = []
    while True:
        grid = O3Grid(degree)
        measured = measure_structure(
            engine,
            pilot,
            grid,
            blocks,
            probes,
            memory=settings.memory,
            seed=settings.seed,
            progress=progress,
        )
        residual, worst = worst_residual(measured)
        count = len(grid.matrices)
        steps.append(
            {"degree": degree, "evaluations": count, "residual": residual, "probe": worst}
        )
        done = residual < settings.tolerance
        if done or settings.degree is not None or degree + STEP > settings.max_degree:
            break
        degree += STEP
    smaller = degree
    if settings.degree is None and blocks:
        smaller = _degree_for_equivariance(
            engine, pilot, blocks, measured, degree, progress
        )
    return Degrees(degree, smaller, measured, done, steps)


def worst_residual(measured: Measured) -> tuple[float, str]:
    """Largest share that any probe has beyond the band of the grid.

    :param measured: from a grid
    :return: the share, and the name of the probe
    """
    worst = (0.0, "")
    for key, spectrum in measured.spectra.items():
        norm2 = float(spectrum.powers.norm2.mean())
        if norm2 > 0:
            residual = 1 - float(spectrum.powers.powers.mean(dim=0).sum()) / norm2
            name = key if isinstance(key, str) else f"{key.name} {key.irrep}"
            worst = max(worst, (residual, name))
    return worst


def _degree_for_equivariance(
    engine: Engine,
    pilot: Prepared,
    blocks: list[Block],
    measured: Measured,
    degree: int,
    progress: Callable[[int], object],
) -> int:
    """Smallest degree whose A agrees with that of the large grid."""
    largest = max((block.irrep.o3_lambda for block in blocks), default=0)
    for trial in range(max(STEP, 2 * largest + 2), degree, STEP):
        found = measure_structure(
            engine, pilot, O3Grid(trial, 0), blocks, [], spectra=False, progress=progress
        )
        floor = noise_floor(engine, pilot, list(found.equivariance))
        if all(
            abs(a.A - measured.equivariance[block].A)
            <= CLOSE * measured.equivariance[block].A + 2 * floor[block]
            for block, a in found.equivariance.items()
        ):
            return trial
    return degree


class _Tiny:
    """Rotations by a few units in the last place, about one orientation."""

    def __init__(self, orientation: Rotation, dtype: torch.dtype, seed: int) -> None:
        random = np.random.default_rng(seed)
        vectors = random.normal(size=(8, 3)) * 4 * torch.finfo(dtype).eps
        self.matrices = torch.from_numpy(
            (Rotation.from_rotvec(vectors) * orientation).as_matrix()
        )
        self.weights = torch.full((8,), 1 / 8, dtype=torch.float64)
        self.irreps = ()


def noise_floor(
    engine: Engine, structure: Prepared, blocks: list[Block], seed: int = 0
) -> dict[Block, float]:
    """Find the A that rounding alone gives, in the dtype of the model.

    The structure is evaluated again and again under rotations of a few units in the
    last place, in four orientations: what changes then is rounding.

    :param engine: what evaluates the model
    :param structure: as prepared by the engine
    :param blocks: irrep blocks of the targets
    :param seed: of the rotations
    :return: root mean square deviation of each block, in its unit
    """
    squares: dict[Block, list[float]] = {}
    for i, orientation in enumerate(Rotation.random(4, rng=np.random.default_rng(seed))):
        orbit: Any = _Tiny(orientation, engine.dtype, seed + i)
        turned = Representations(orbit, engine.device)
        values = engine.evaluate(structure, orbit.matrices, blocks, [])
        for block, tensor in values.targets.items():
            sums = EquivarianceSums()
            sums.add(tensor, turned[block.irrep], orbit.weights.to(engine.device))
            squares.setdefault(block, []).append(sums.finish().A ** 2)
    return {block: float(np.mean(found)) ** 0.5 for block, found in squares.items()}
