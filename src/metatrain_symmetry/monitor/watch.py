"""What is done at each epoch: decide, measure, write down, tell."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from metatrain.pet import PET
from metatrain.utils.logging import ROOT_LOGGER

from ..measure.plan import Orbits, Plan
from ..measure.series import FOLDER, append
from ..measure.snapshot import measure_snapshot
from ..measure.subject import Subject, subject
from ..measure.transitions import transitions
from ..orbit import Engine, open_engine
from ..orbit.probes import group_of
from . import report
from .budget import Budget, ladder, work
from .continuation import begin_series
from .held_out import HeldOut, find_structures
from .isolation import refresh, replica
from .schedule import epochs_to_measure
from .wandb_sink import WandbSink, find_run


PAGE, FIGURE = 1.5, 0.6
"""Seconds set aside for the page, and for each figure, at the end."""


class Watch:
    """Measurements of one training.

    :param options: complete options ``training.symmetry``
    :param model: the model in training
    :param val_datasets: validation sets as given to the trainer
    :param checkpoint_dir: folder of the run
    :param start: epochs completed before
    :param last: epochs completed at the end
    :raises ValueError: if there are no structures, or no such layers
    """

    def __init__(
        self,
        options: dict[str, Any],
        model: torch.nn.Module,
        val_datasets: Sequence[Any],
        checkpoint_dir: Path,
        start: int,
        last: int,
    ) -> None:
        self.options, self.model = options, model
        self.start, self.last = start, last
        self.orbits = Orbits(options["lambda_max"], options["seed"])
        engine = self._engine()  # finds wrong layers before hours have passed
        self.held_out: list[HeldOut] = find_structures(
            options, engine, val_datasets, checkpoint_dir
        )
        self.folder = checkpoint_dir / FOLDER
        self.series = begin_series(self.folder, start, report.summary(options, engine))
        schedule = epochs_to_measure(start, last, options["interval"], options["points"])
        self.due = [epoch for epoch in schedule if epoch not in self.series.epochs]
        self.plans = ladder(len(self.held_out), options["estimator"])
        self.plan: Plan | None = None
        self.done: Plan | None = None
        groups = {group_of(probe) for probe in engine.probes}
        figures = len(engine.blocks) + len(groups)
        self.budget = Budget(options["max_overhead"], PAGE + FIGURE * figures)
        run = find_run(ROOT_LOGGER.handlers)
        self.sink = WandbSink(run) if run is not None else None
        self.engine: Engine | None = None
        self.subjects: list[Subject] = []
        self.stride, self.passed, self.closed = 1.0, 0, False

    def _engine(self) -> Engine:
        twin = replica(self.model)
        weight = next(twin.parameters())
        probes = self.options["probes"] if isinstance(twin, PET) else []
        return open_engine(twin, None, probes, device=weight.device)

    def begin(self) -> None:
        """Keep the model as it is before its first step; it is measured later."""
        self.engine = self._engine()
        self.budget.restart()

    def epoch_done(self, epoch: int) -> None:
        """Measure if it is time to.

        :param epoch: as in metatrain's log, where the first one is 0
        """
        completed = epoch + 1
        training = self._training(completed)
        if self.engine is None or not self.subjects:
            self._prepare()
            if self.start in self.due:
                self._measure(self.start, epoch, training, "initial ")
        if completed >= self.last or (self.due and completed >= self.due[0]):
            worth_it = self._affordable(training) or completed >= self.last
            # even if it fails: what is wrong now may be right at the next one
            self.due = [due for due in self.due if due > completed]
            if worth_it:
                self._update()
                self._measure(completed, epoch, training)
        if completed >= self.last:
            self._finish(epoch, commit=False)

    def _training(self, completed: int) -> float:
        """Expected length of the whole training without us, in seconds."""
        share = max(1, completed - self.start) / max(1, self.last - self.start)
        return self.budget.training / share

    def _prepare(self) -> None:
        """Do once what does not change: neighbour lists, baselines, how fast we are."""
        if self.engine is None:  # the hook failed, or the model was never called
            self.engine = self._engine()
        engine = self.engine
        self.subjects = [
            subject(engine, engine.prepare(one.system, one.name), one.truth(engine.blocks))
            for one in self.held_out
        ]
        trial = Plan(1)
        started = time.perf_counter()
        measure_snapshot(engine, self.subjects, trial, self.orbits, memory=self._memory)
        seconds = time.perf_counter() - started
        self.budget.learn(work(trial, self.subjects, self.orbits), seconds, 1.5 * seconds)

    @property
    def _memory(self) -> int:
        return int(self.options["memory_mib"] * 2**20)

    def _update(self) -> None:
        assert self.engine is not None
        twin: Any = self.engine
        refresh(twin.model, self.model)

    def _affordable(self, training: float) -> bool:
        """Choose a plan; say whether this epoch gets a measurement."""
        costs = [self.budget.cost(p, self.subjects, self.orbits) for p in self.plans]
        left = max(1, len(self.due))
        self.plan, self.stride = self.budget.choose(
            self.plans, costs, training, left, self.plan
        )
        self.passed += 1
        return self.passed >= self.stride

    def _measure(
        self, completed: int, step: int, training: float, prefix: str = ""
    ) -> None:
        """One measurement, its files, its line in the log, its place in W&B."""
        assert self.engine is not None
        if self.plan is None:
            self._affordable(training)
        plan, before, skipped = self.plan, self.done, max(0, self.passed - 1)
        assert plan is not None
        self.passed, self.done = 0, plan
        started = time.perf_counter()
        tables, evaluations = measure_snapshot(
            self.engine,
            self.subjects,
            plan,
            self.orbits,
            memory=self._memory,
            group_of=group_of,
        )
        seconds = time.perf_counter() - started
        row = {
            "evaluations": evaluations,
            "seconds": round(seconds, 3),
            "training_seconds": round(training, 3),
            "n_structures": plan.n_structures,
            "circles": plan.circles,
            "n_grid": plan.n_grid,
            "note": report.note(plan, before, skipped, len(self.held_out)),
        }
        tables["measurements"] = pd.DataFrame([row])
        self._keep(tables, completed)
        logging.info(report.line(self.series, completed))
        if self.sink is not None:
            self.sink.log(step, self.series, completed, prefix)
        whole = time.perf_counter() - started
        self.budget.learn(work(plan, self.subjects, self.orbits), seconds, whole)

    def _keep(self, tables: dict[str, pd.DataFrame], completed: int) -> None:
        """Append to the series in memory and in the files."""
        for table in tables.values():
            table.insert(0, "epoch", completed)
        series = self.series
        series.characters = _joined(series.characters, tables["characters"])
        tables["events"] = transitions(series.characters, series.events)
        for name in ("equivariance", "measurements", "events"):
            setattr(series, name, _joined(getattr(series, name), tables[name]))
        append(self.folder, tables)
        for text in tables["events"].text:
            logging.info(f"Sudden transition: {text}")

    def close(self, finished: bool) -> None:
        """Measure the end, if metatrain did not log it, and draw.

        :param finished: whether the training came to its end
        """
        if not finished or self.closed or self.last <= self.start:
            return
        try:
            if self.last not in self.series.epochs:
                if self.engine is None or not self.subjects:
                    self._prepare()
                self._update()
                self._measure(self.last, self.last - 1, self._training(self.last))
        finally:
            if self.series.epochs:
                self._finish(self.last - 1, commit=True)

    def _finish(self, step: int, commit: bool) -> None:
        self.closed = True
        page = report.draw(self.series, self.folder)
        if self.sink is not None:
            self.sink.close(step, self.series, page, commit)
        spent, training = self.budget.spent, self.budget.training
        logging.info(
            f"Symmetry: {len(self.series.epochs)} measurements in '{self.folder}', page "
            f"'{page}', {spent:.1f} s, {spent / max(training, 1e-9):.1%} of the training"
        )


def _joined(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Rows of both, without pandas' complaint about empty tables."""
    if not len(new):
        return old
    return pd.concat([old, new], ignore_index=True) if len(old) else new.copy()
