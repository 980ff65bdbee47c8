"""Measurements of a model in training: of a copy, on structures that are prepared once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from ..data import GivenStructure
from ..data.labelled import LabelledStructure, raw_values
from ..measure.plan import Orbits, Plan
from ..measure.snapshot import measure_snapshot
from ..models import Engine, open_engine, usual_probes
from ..models.pet.probes import group_of
from .budget import work
from .isolation import refresh, replica
from .options import PROBES_OF_PET, SymmetryHypers


@dataclass
class Snapshot:
    """One measurement.

    :param tables: ``equivariance`` and ``characters``
    :param evaluations: how many it took
    :param seconds: how long it took
    """

    tables: dict[str, pd.DataFrame]
    evaluations: int
    seconds: float


class Snapshots:
    """Measures a copy of a model.

    :param model: the model in training, which is only read
    :param options: complete options ``training.symmetry``
    """

    def __init__(self, model: torch.nn.Module, options: SymmetryHypers) -> None:
        self.model, self.options = model, options
        asked = options["probes"]
        self.probes = list(asked) if asked != "auto" else []
        self.orbits = Orbits(options["lambda_max"], options["seed"])
        self.subjects: list[LabelledStructure] = []
        self._engine: Engine | None = None

    def open(self) -> Engine:
        """Copy the model as it is now.

        :raises ValueError: if it has no such layers
        :return: evaluates the copy
        """
        twin = replica(self.model)
        weight = next(twin.parameters())
        if self.options["probes"] == "auto":
            engine = open_engine(twin, None, (), device=weight.device)
            self.probes = usual_probes(engine, PROBES_OF_PET)
        return open_engine(twin, None, self.probes, device=weight.device)

    def keep(self) -> None:
        """Keep the model as it is now, to be measured later."""
        self._engine = self.open()

    def update(self) -> None:
        """Bring the copy up to date."""
        twin: Any = self.engine
        refresh(twin.model, self.model)

    @property
    def engine(self) -> Engine:
        """Evaluates the copy; of now, if the model was never called before."""
        if self._engine is None:
            self._engine = self.open()
        return self._engine

    @property
    def ready(self) -> bool:
        """Whether everything is prepared."""
        return self._engine is not None and bool(self.subjects)

    def prepare(self, structures: Sequence[GivenStructure]) -> float:
        """Do once what does not change: neighbour lists and baselines.

        :param structures: that are watched
        :return: seconds that a measurement on one circle of one structure takes
        """
        self.subjects = [one.labelled(self.engine) for one in structures]
        try:
            self.measure(Plan(1), errors_of_all=False)  # what is done once only
            return self.measure(Plan(1), errors_of_all=False).seconds
        except Exception:
            self.subjects = []  # nothing is prepared: to be tried again
            raise

    def measure(self, plan: Plan, errors_of_all: bool) -> Snapshot:
        """Measure the copy.

        :param plan: which structures, and how they are rotated
        :param errors_of_all: whether errors are taken from all structures
        :return: what was found
        """
        started = time.perf_counter()
        tables, evaluations = measure_snapshot(
            self.engine,
            self.subjects,
            plan,
            self.orbits,
            memory=int(self.options["memory_mib"] * 2**20),
            errors_of_all=errors_of_all,
            group_of=group_of,
        )
        return Snapshot(tables, evaluations, time.perf_counter() - started)

    def seconds_of_errors(self) -> float:
        """How long the errors of all structures take, from those of the first."""
        started = time.perf_counter()
        raw_values(self.engine, self.subjects[0].structure, self.engine.blocks)
        return (time.perf_counter() - started) * len(self.subjects)

    def work(self, plan: Plan) -> float:
        """Evaluations times edges and atoms.

        :param plan: of a measurement
        :return: see :func:`~metatrain_symmetry.training.budget.work`
        """
        return work(plan, self.subjects, self.orbits)
