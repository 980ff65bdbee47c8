"""One measurement of a series: a model at one epoch, on few structures, at a known cost.

Where :func:`~metatrain_symmetry.measure.analysis.analyze` asks how much an answer takes,
this takes what a budget affords: random circles on some structures, or an exact grid.
The same structures are turned by the same rotations at every epoch, so that what changes
is the model.
"""

from collections.abc import Callable, Sequence

import pandas as pd
import torch

from ..group import irreps_up_to
from ..orbit.engine import Block, Engine
from .combine import Share, combine
from .equivariance import Equivariance
from .plan import Orbits, Plan
from .structure import Measured, Representations, Spectrum, measure_structure
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
    group_of: Callable[[str], str] = lambda probe: "",
) -> tuple[dict[str, pd.DataFrame], int]:
    """Measure a model once.

    :param engine: what evaluates it
    :param subjects: structures, the most telling first
    :param plan: how much of them is used
    :param orbits: how they are turned
    :param memory: budget of one evaluation, and of the sums, each, in bytes
    :param tolerance: residual share below which a probe counts as complete
    :param group_of: name of the group of a layer
    :raises ValueError: if a value is not finite, or if one circle is asked for
    :raises MemoryError: if not even one rotated copy fits
    :return: rows ``equivariance`` and ``characters`` of a ``Series``, without the epoch,
        and the number of evaluations
    """
    used = subjects[: plan.n_structures]
    turned = Representations(orbits.grid, engine.device)
    found, count = [], len(subjects)
    for i, one in enumerate(used):
        orbit = orbits.of(plan, i)
        measured = measure_structure(
            engine,
            one.prepared,
            orbit,
            engine.blocks,
            engine.probes,
            memory=memory,
            seed=orbits.seed + i,
            representations=turned if orbit is orbits.grid else None,
        )
        found.append(measured)
        count += len(orbit.matrices)
    # one evaluation each: errors are those of all structures, whatever the plan
    values = [raw_values(engine, one.prepared, engine.blocks) for one in subjects]
    shares = _shares(engine, found, plan, orbits.lambda_max)
    tables = {
        "equivariance": _equivariance(engine, subjects, found, values, plan),
        "characters": characters_table(shares, group_of, tolerance),
    }
    return tables, count


def _shares(
    engine: Engine, found: Sequence[Measured], plan: Plan, lambda_max: int
) -> dict[Block | str, list[Share]]:
    """Shares of every probe and output."""
    shares: dict[Block | str, list[Share]] = {}
    nothing: list[Spectrum | None] = [None] * len(found)
    keys: list[Block | str] = [*engine.probes, *engine.blocks]
    for key in keys:
        spectra = [measured.spectra.get(key) for measured in found]
        exact = spectra[: plan.n_grid] + nothing[plan.n_grid :]
        sampled = nothing[: plan.n_grid] + spectra[plan.n_grid :]
        if any(s is not None for s in spectra):
            rows = combine(exact, sampled, irreps_up_to(lambda_max))
            if rows:
                shares[key] = rows
    return shares


def _equivariance(
    engine: Engine,
    subjects: Sequence[Subject],
    found: Sequence[Measured],
    values: Sequence[dict[Block, torch.Tensor]],
    plan: Plan,
) -> pd.DataFrame:
    """A over the structures of the plan, errors and norms over all of them."""
    kinds = {0: "circles", len(found): "grid"}
    rows = []
    for block in engine.blocks:
        having = [i for i, measured in enumerate(found) if block in measured.equivariance]
        if not having:
            continue
        A, error = _root_mean([found[i].equivariance[block] for i in having])
        known = [
            i for i, one in enumerate(subjects) if block in one.truth and block in values[i]
        ]
        rmse, ratio = _errors(
            [values[i][block] for i in known], [subjects[i].truth[block] for i in known]
        )
        rows.append(
            {
                "target": block.name,
                **{f"o3_{k}": v for k, v in block.irrep.labels.items()},
                "unit": block.unit,
                "A": A,
                "A_stderr": error,
                "rmse": rmse,
                "A_over_rmse": A / rmse if rmse > 0 else float("nan"),
                "norm_ratio": ratio,
                "n_structures": len(having),
                "estimator": kinds.get(plan.n_grid, "mixed"),
            }
        )
    return pd.DataFrame(rows)


def _root_mean(parts: Sequence[Equivariance]) -> tuple[float, float]:
    """A over all samples of all structures, and the standard error that circles leave."""
    sizes = [part.squared.numel() for part in parts]
    total = sum(sizes)
    square, variance = 0.0, 0.0
    for size, part in zip(sizes, parts, strict=True):
        square += size / total * float(part.replicates.mean())
        if len(part.replicates) > 1:
            spread = float(part.replicates.var()) / len(part.replicates)
            variance += (size / total) ** 2 * spread
    A = max(square, 0.0) ** 0.5
    return A, variance**0.5 / (2 * A) if A > 0 else 0.0


def _errors(
    values: Sequence[torch.Tensor], truths: Sequence[torch.Tensor]
) -> tuple[float, float]:
    """Root mean square error, and ratio of root mean squares; NaN without targets."""
    if not values:
        return float("nan"), float("nan")
    value = torch.cat([v.flatten() for v in values])
    truth = torch.cat([t.flatten() for t in truths])
    size = float(truth.square().mean().sqrt())
    rmse = float((value - truth).square().mean().sqrt())
    return rmse, float(value.square().mean().sqrt()) / size if size > 0 else float("nan")
