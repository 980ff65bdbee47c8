"""The whole measurement: which structures get which orbit, and what comes out.

A pilot finds out how fast the model is and where its spectra end. With that and the budget
a tier is chosen (:mod:`.tiers`), and structure after structure is measured in random order,
so that whatever has been measured when the time is up speaks for all of them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..data.labelled import Truth
from ..groups import irreps_up_to
from ..models.engine import Block, Engine, Prepared
from .budget import Clock
from .combine import Share, combine
from .convergence import convergence
from .resolver import Spectrum
from .results import Report
from .rows import rows
from .run import Run
from .settings import Settings
from .structure import Measured
from .tables import atoms_table, characters_table, equivariance_table, medians


def analyze(
    engine: Engine,
    structures: Sequence[Prepared],
    settings: Settings | None = None,
    truths: Sequence[Truth] | None = None,
    group_of: Callable[[str], str] = lambda probe: "",
    progress: bool = True,
    clock: Clock | None = None,
) -> Report:
    """Measure A and B of a model on some structures.

    :param engine: what evaluates the model, with its blocks and probes
    :param structures: as prepared by the engine, perhaps when asked for
        (:class:`~metatrain_symmetry.data.lazy.LazyStructures`)
    :param settings: of the measurement
    :param truths: for each structure the targets, ``(samples, 2 λ + 1, properties)``
    :param group_of: name of the group of a probe, for the tables
    :param progress: whether to show a progress bar
    :param clock: where the budget is running already
    :raises ValueError: if there are no structures
    :return: tables and summary, without a diagnosis
    """
    if not structures:
        raise ValueError("there are no structures to measure: give one or more")
    settings = settings or Settings()
    run = Run(engine, structures, settings, clock or Clock(settings.budget), progress)
    run.measure()
    found = rows(run, truths)
    shares = characters(run)
    table = characters_table(shares, group_of, settings.tolerance)
    summary = {
        **run.summary(),
        "lambda_max": settings.lambda_max,
        "estimator": settings.estimator,
        "dtype": str(engine.dtype).removeprefix("torch."),
        "settings": settings.model_dump(),
        **convergence(table, run, settings),
    }
    report = Report(equivariance_table(found), atoms_table(found), table, summary)
    report.summary["medians"] = medians(report.equivariance)
    return report


def characters(run: Run) -> dict[Block | str, list[Share]]:
    """Combine the spectra of every output block and probe.

    :param run: what was measured
    :return: shares, residual last
    """
    irreps = irreps_up_to(run.settings.lambda_max)
    found: dict[Block | str, list[Share]] = {}
    epsilon = torch.finfo(run.engine.dtype).eps
    keys: list[Block | str] = [*run.engine.probes, *run.engine.blocks]
    for key in keys:
        sets = [_spectrum(run.sets.get(i), key) for i in run.measured]
        circles = [_spectrum(run.circles.get(i), key) for i in run.measured]
        if any(s is not None for s in [*sets, *circles]):
            shares = combine(sets, circles, irreps, len(run.structures), epsilon)
            if shares:
                found[key] = shares
    return found


def _spectrum(measured: Measured | None, key: Any) -> Spectrum | None:
    return None if measured is None else measured.spectra.get(key)
