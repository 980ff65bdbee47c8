"""The whole measurement: which structures get which orbit, and what comes out.

A pilot finds out how fast the model is and where its spectra end. With that and the budget
a tier is chosen (:mod:`.tiers`), and structure after structure is measured in random order,
so that whatever has been measured when the time is up speaks for all of them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..data.labelled import LabelledStructure
from ..groups import Group
from ..messages import quoted
from ..models.engine import Engine, Prepared
from .budget import Clock
from .combine import spectra_of
from .convergence import convergence
from .results import Report
from .rotations import rotations_table
from .rows import rows
from .run import Run
from .settings import Settings, checked_group
from .tables import atoms_table, characters_table, equivariance_table, medians
from .words import worded


def analyze(
    engine: Engine,
    data: Sequence[LabelledStructure | Prepared],
    group: Group | None = None,
    settings: Settings | None = None,
    *,
    group_of: Callable[[str], str] = lambda probe: "",
    progress: bool = True,
    clock: Clock | None = None,
) -> Report:
    """Measure A and B of a model on some structures.

    :param engine: what evaluates the model, with its blocks and probes
    :param data: structures as prepared by the engine, with their targets where these are
        known; perhaps prepared when asked for
        (:class:`~metatrain_symmetry.data.lazy.LazyStructures`)
    :param group: whose symmetry is measured; None for O(3)
    :param settings: of the measurement
    :param group_of: name of the group of a probe, for the tables
    :param progress: whether to show a progress bar
    :param clock: where the budget is running already
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
    run = Run(engine, group, data, settings, clock, progress)
    run.measure()
    irreps = group.irreps(settings.lambda_max)
    shares = spectra_of(
        [*engine.probes, *engine.blocks],
        [run.sets.get(i) for i in run.measured],
        [run.circles.get(i) for i in run.measured],
        irreps,
        len(data),
        torch.finfo(engine.dtype).eps,
    )
    table = characters_table(shares, irreps, group_of, settings.tolerance)
    found = rows(run)
    summary: dict[str, Any] = {
        **run.summary(),
        "group": group.name,
        "channels": [str(irrep) for irrep in irreps],
        "lambda_max": None if group.finite else settings.lambda_max,
        "estimator": "exact" if group.finite else settings.estimator,
        "dtype": str(engine.dtype).removeprefix("torch."),
        "settings": settings.model_dump(),
        **convergence(table, run, settings),
    }
    if hasattr(engine, "thing"):
        summary["thing"] = engine.thing
        for name in ("plan", "convergence_text"):
            summary[name] = worded(summary[name], summary)
    report = Report(equivariance_table(found), atoms_table(found), table, summary)
    report.rotations = rotations_table(run, found, report.equivariance)
    report.summary["medians"] = medians(report.equivariance)
    return report


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
