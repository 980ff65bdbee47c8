"""The whole measurement: which structures get which orbit, and what comes out.

A pilot finds out how fast the model is and where its spectra end. With that and the budget
a tier is chosen (:mod:`.tiers`), and structure after structure is measured in random order,
so that whatever has been measured when the time is up speaks for all of them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import torch

from ..data.labelled import LabelledStructure
from ..groups import Group
from ..messages import quoted
from ..models.engine import Block, Engine, Prepared
from ..processes import Processes
from .averages import averages, vanishes
from .budget import Clock
from .combine import spectra_of
from .convergence import convergence
from .kept import Kept
from .labels import BlockKey
from .results import Report
from .rotations import rotations_table
from .row import Row
from .rows import rows
from .run import Run
from .settings import Settings, checked_group
from .tables import atoms_table, characters_table, equivariance_table, medians
from .words import worded


def analyze(
    engine: Engine,
    data: Sequence[LabelledStructure | Prepared],
    group: Group | str | None = None,
    settings: Settings | None = None,
    *,
    group_of: Callable[[str], str] = lambda probe: "",
    progress: bool = True,
    clock: Clock | None = None,
    processes: Processes | None = None,
    kept: Kept | None = None,
) -> Report:
    """Measure A and B of a model on some structures.

    :param engine: what evaluates the model, with its blocks and probes
    :param data: structures as prepared by the engine, with their targets where these are
        known; perhaps prepared when asked for
        (:class:`~metatrain_symmetry.data.lazy.LazyStructures`)
    :param group: whose symmetry is measured, or its name, such as ``C3v`` or ``SO(2):x``
        (:func:`~metatrain_symmetry.groups.named.group_by_name`); None for O(3)
    :param settings: of the measurement
    :param group_of: name of the group of a probe, for the tables
    :param progress: whether to show a progress bar
    :param clock: where the budget is running already
    :param processes: which share the structures, and all get the report
    :param kept: where what is found on each structure is kept; None for nowhere
    :raises ValueError: if there are no structures, or if a setting means nothing for the
        group
    :return: tables and summary, without a diagnosis

    >>> import torch
    >>> from metatrain_symmetry import Block, FunctionEngine, Irrep, analyze
    >>> from metatrain_symmetry import octahedral_group
    >>> square = Block("square", Irrep(0))
    >>> engine = FunctionEngine({square: lambda x: x[:, :1, :1, None].square()})
    >>> data = [engine.prepare(torch.tensor([[1.0, 2.0, 3.0]]))]
    >>> report = analyze(engine, data, octahedral_group(), progress=False)
    >>> report.characters.query("share > 1e-9").channel.tolist()
    ['A1g', 'Eg']
    """
    _check(engine, data, settings)
    settings = Settings() if settings is None else settings
    group = checked_group(group, settings)
    clock = clock or Clock(settings.budget)
    processes = processes or Processes()
    run = Run(engine, group, data, settings, clock, progress, processes, kept)
    run.measure()
    report: Report = processes.from_first(lambda: _report(run, group_of))
    return report


def _report(run: Run, group_of: Callable[[str], str]) -> Report:
    """Tables of all that was measured."""
    engine, group, settings = run.engine, run.group, run.settings
    irreps = group.irreps(settings.lambda_max)
    found = rows(run)
    equivariance = equivariance_table(found)
    zero = _zero(equivariance, engine)
    shares = spectra_of(
        [*engine.probes, *(block for block in engine.blocks if block not in zero)],
        [run.sets.get(i) for i in run.measured],
        [run.circles.get(i) for i in run.measured],
        irreps,
        len(run.data),
        torch.finfo(engine.dtype).eps,
    )
    table = characters_table(shares, irreps, group_of, settings.tolerance)
    summary: dict[str, Any] = {
        **run.summary(),
        "group": group.name,
        "channels": [str(irrep) for irrep in irreps],
        "lambda_max": None if group.finite else settings.lambda_max,
        "estimator": _estimator(group, settings),
        "dtype": str(engine.dtype).removeprefix("torch."),
        "settings": settings.model_dump(),
        **convergence(table, run, settings, zero),
    }
    if hasattr(engine, "thing"):
        summary["thing"] = engine.thing
        for name in ("plan", "convergence_text"):
            summary[name] = worded(summary[name], summary)
    report = Report(equivariance, atoms_table(found), table, summary)
    report.rotations = rotations_table(run, found, equivariance)
    report.summary["medians"] = medians(equivariance, _shared(found))
    return report


def _zero(equivariance: pd.DataFrame, engine: Engine) -> list[Block]:
    """Outputs that are zero up to rounding on these structures, and have no spectrum."""
    keys = [BlockKey.of(e) for e in averages(equivariance) if vanishes(e)]
    return [b for b in engine.blocks if BlockKey(b.target, b.detail, b.irrep) in keys]


def _shared(found: Sequence[Row]) -> dict[BlockKey, float]:
    """Relative error of A² that the structures have in common, of each block."""
    shared: dict[BlockKey, float] = {}
    for row in found:
        key = BlockKey.of(row.labels)
        shared[key] = max(shared.get(key, 0.0), row.found.shared)
    return shared


def _estimator(group: Group, settings: Settings) -> str:
    """What the numbers come from, for the summary."""
    if group.finite:
        return "exact"
    return settings.estimator if group.has_circles else "grid"


def _check(engine: object, data: object, settings: object) -> None:
    """Refuse what is no engine, no structures or no settings."""
    if isinstance(engine, type) or not hasattr(engine, "evaluate"):
        raise ValueError(f"engine is {quoted(engine)}: give an engine that was made")
    if settings is not None and not isinstance(settings, Settings):
        raise ValueError(f"settings are {quoted(settings)}: give Settings(...)")
    if not isinstance(data, Sequence):
        raise ValueError(f"data is {quoted(data)}: give a list of prepared structures")
    if not len(data):
        raise ValueError("there are no structures to measure: give one or more")
