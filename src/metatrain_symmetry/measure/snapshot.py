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

from ..data.labelled import LabelledStructure, raw_values
from ..groups import O3, Orbit
from ..models.engine import Block, Engine
from .combine import spectra_of
from .deviation import refine
from .equivariance import Equivariance
from .plan import Orbits, Plan
from .snapshot_rows import equivariance_rows
from .structure import Measured, Representations, measure_structure
from .tables import characters_table


def measure_snapshot(
    engine: Engine,
    subjects: Sequence[LabelledStructure],
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
        sets.append(sweep(one, orbits.design(plan, i), orbits.seed + i))
        along = orbits.circles(plan, i)
        circles.append(sweep(one, along, orbits.seed + i, sets[-1]))
    designs = [orbits.design(plan, i) for i in range(len(used))]
    asked = subjects if errors_of_all else used
    values = [raw_values(engine, one.structure, engine.blocks) for one in asked]
    rows = equivariance_rows(engine, asked, _refined(sets, circles, designs), values)
    rows["estimator"] = plan.estimator
    if len(asked) < len(subjects):
        rows[["rmse_all", "norm_ratio_all"]], rows["n_all"] = float("nan"), 0
    irreps = O3().irreps(orbits.lambda_max)
    shares = spectra_of(
        [*engine.probes, *engine.blocks],
        sets,
        circles,
        irreps,
        epsilon=torch.finfo(engine.dtype).eps,
    )
    tables = {
        "equivariance": rows,
        "characters": characters_table(shares, irreps, group_of, tolerance),
    }
    return tables, len(used) * orbits.count(plan) + len(asked)


class _Sweep:
    """Measures structures; an orbit that several of them share is represented once."""

    def __init__(self, engine: Engine, memory: int) -> None:
        self.engine, self.memory = engine, memory
        self.orbit: Orbit | None = None
        self.representations: Representations | None = None

    def __call__(
        self,
        one: LabelledStructure,
        orbit: Orbit | None,
        seed: int,
        known: Measured | None = None,
    ) -> Measured | None:
        """Measure a structure; how far it deviates from means that are known already."""
        if orbit is None:
            return None
        if orbit is not self.orbit:
            self.orbit = orbit
            self.representations = Representations(O3(), orbit, self.engine.device)
        return measure_structure(
            self.engine,
            one.structure,
            orbit,
            self.engine.blocks,
            self.engine.probes,
            equivariance=known is None,
            centres=None
            if known is None
            else {block: found.mean for block, found in known.equivariance.items()},
            memory=self.memory,
            seed=seed,
            representations=self.representations,
        )


def _refined(
    sets: Sequence[Measured | None],
    circles: Sequence[Measured | None],
    designs: Sequence[Orbit | None],
) -> list[dict[Block, Equivariance]]:
    """A of each structure: of its set, with what the circles say of its error."""
    best = [s or c for s, c in zip(sets, circles, strict=True)]
    found = [dict(one.equivariance) if one is not None else {} for one in best]
    for block in {block: None for one in found for block in one}:
        having = [
            (i, s, c, d)
            for i, (s, c, d) in enumerate(zip(sets, circles, designs, strict=True))
            if s is not None and d is not None and block in s.equivariance
        ]
        refined = refine(
            [s.equivariance[block] for _, s, _, _ in having],
            [None if c is None else c.deviations.get(block) for _, _, c, _ in having],
            [d for _, _, _, d in having],
        )
        for (i, _, _, _), better in zip(having, refined, strict=True):
            found[i][block] = better
    return found
