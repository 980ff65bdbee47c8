"""One measurement of a series: a model at one epoch, on few structures, at a known cost.

Where :func:`~metatrain_symmetry.measure.analysis.analyze` asks how much an answer takes,
this takes what a budget affords. Each structure is rotated in two ways: along random
circles, which resolve the proper irreps, and by a small set of rotations and inversions in
a random frame, which gives A and the first pseudo irreps. The same structures are rotated
by the same rotations at every epoch, so that what changes is the model.
"""

from collections.abc import Callable, Sequence

import pandas as pd
import torch

from ..group import Orbit, irreps_up_to
from ..orbit.engine import Block, Engine
from .combine import Share, combine
from .plan import Orbits, Plan
from .resolver import Spectrum
from .snapshot_rows import equivariance_rows
from .structure import Measured, Representations, measure_structure
from .subject import Subject, raw_values
from .tables import characters_table


def measure_snapshot(
    engine: Engine,
    subjects: Sequence[Subject],
    plan: Plan,
    orbits: Orbits,
    *,
    memory: int = 2**30,
    tolerance: float = 1e-3,
    errors_of_all: bool = True,
    group_of: Callable[[str], str] = lambda probe: "",
) -> tuple[dict[str, pd.DataFrame], int]:
    """Measure a model once.

    :param engine: what evaluates it
    :param subjects: structures, in random order
    :param plan: how much of them is used
    :param orbits: how they are rotated
    :param memory: budget of one evaluation, and of the sums, each, in bytes
    :param tolerance: residual share below which a probe counts as complete
    :param errors_of_all: whether the errors of the structures that the plan leaves out are
        evaluated too
    :param group_of: name of the group of a layer
    :raises ValueError: if a value is not finite, or if one circle is asked for and no set
    :raises MemoryError: if not even one rotated copy fits
    :return: rows ``equivariance`` and ``characters`` of a ``Series``, without the epoch,
        and the number of evaluations
    """
    used = subjects[: plan.n_structures]
    sweep = _Sweep(engine, memory)
    sets: list[Measured | None] = []
    circles: list[Measured | None] = []
    for i, one in enumerate(used):
        small = orbits.design(plan, i)
        sets.append(sweep(one, small, orbits.seed + i))
        needed = small is None  # A from the circles
        circles.append(sweep(one, orbits.circles(plan, i), orbits.seed + i, needed))
    asked = subjects if errors_of_all else used
    values = [raw_values(engine, one.prepared, engine.blocks) for one in asked]
    best = [s or c for s, c in zip(sets, circles, strict=True)]
    rotations = max(1, orbits.size(plan.design) // 2)
    rows = equivariance_rows(engine, asked, best, values, rotations)
    rows["estimator"] = plan.estimator
    if len(asked) < len(subjects):
        rows[["rmse_all", "norm_ratio_all"]], rows["n_all"] = float("nan"), 0
    shares = _shares(engine, sets, circles, orbits.lambda_max)
    tables = {
        "equivariance": rows,
        "characters": characters_table(shares, group_of, tolerance),
    }
    return tables, len(used) * orbits.count(plan) + len(asked)


class _Sweep:
    """Measures structures; an orbit that several of them share is represented once."""

    def __init__(self, engine: Engine, memory: int) -> None:
        self.engine, self.memory = engine, memory
        self.orbit: Orbit | None = None
        self.representations: Representations | None = None

    def __call__(
        self, one: Subject, orbit: Orbit | None, seed: int, equivariance: bool = True
    ) -> Measured | None:
        if orbit is None:
            return None
        if orbit is not self.orbit:
            self.orbit = orbit
            self.representations = Representations(orbit, self.engine.device)
        return measure_structure(
            self.engine,
            one.prepared,
            orbit,
            self.engine.blocks,
            self.engine.probes,
            equivariance=equivariance,
            memory=self.memory,
            seed=seed,
            representations=self.representations,
        )


def _shares(
    engine: Engine,
    sets: Sequence[Measured | None],
    circles: Sequence[Measured | None],
    lambda_max: int,
) -> dict[Block | str, list[Share]]:
    """Shares of every probe and output."""
    shares: dict[Block | str, list[Share]] = {}
    keys: list[Block | str] = [*engine.probes, *engine.blocks]
    for key in keys:
        exact, sampled = (_spectra(found, key) for found in (sets, circles))
        if any(s is not None for s in [*exact, *sampled]):
            epsilon = torch.finfo(engine.dtype).eps
            rows = combine(exact, sampled, irreps_up_to(lambda_max), None, epsilon)
            if rows:
                shares[key] = rows
    return shares


def _spectra(found: Sequence[Measured | None], key: Block | str) -> list[Spectrum | None]:
    return [None if one is None else one.spectra.get(key) for one in found]
