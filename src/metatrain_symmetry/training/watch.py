"""What is done at each epoch: decide, measure, write down, log."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from metatrain.pet import PET
from metatrain.utils.logging import ROOT_LOGGER

from ..data.labelled import Subject, raw_values
from ..measure.plan import Orbits, Plan
from ..measure.series import FOLDER, append
from ..measure.snapshot import measure_snapshot
from ..measure.transitions import transitions
from ..models import Engine, open_engine
from ..models.pet.probes import group_of
from . import report
from .budget import Budget, ladder, work
from .continuation import begin_series
from .held_out import find_structures
from .isolation import refresh, replica
from .options import SymmetryHypers
from .schedule import epochs_to_measure
from .wandb_sink import WandbSink, find_run


BESIDE = 0.1
"""Share of a measurement that the errors of structures without A may take."""


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
        options: SymmetryHypers,
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
        self.held_out = find_structures(options, engine, val_datasets, checkpoint_dir)
        self.folder = checkpoint_dir / FOLDER
        self.series = begin_series(self.folder, start, report.summary(options, engine))
        schedule = epochs_to_measure(start, last, options["interval"], options["points"])
        self.due = [epoch for epoch in schedule if epoch not in self.series.epochs]
        self.credit, self.skipped = 1.0, 0
        self.plans = ladder(len(self.held_out), options["estimator"])
        self.plan: Plan | None = None
        self.done: Plan | None = None
        self.errors_of_all: bool | None = None
        fixed = options["interval"] is not None
        self.budget = Budget(options["max_overhead"], fixed)
        run = find_run(ROOT_LOGGER.handlers)
        self.sink = WandbSink(run) if run is not None else None
        self.engine: Engine | None = None
        self.subjects: list[Subject] = []
        self.measured, self.warned = 0, False
        self.beside = 0.0

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
        try:
            self._measure_due(completed)
        finally:
            if self.sink is not None:
                self.sink.log_next(epoch)

    def _measure_due(self, completed: int) -> None:
        training = self._training(completed)
        if self.engine is None or not self.subjects:
            self._prepare()
            if self.start in self.due:
                self._choose(training)
                self.due.remove(self.start)
                self._measure(self.start, training)
        if self.due and completed >= self.due[0]:
            worth_it = self._choose(training) or completed >= self.last
            # even if it fails: what is wrong now may be right at the next one
            self.due = [due for due in self.due if due > completed]
            if worth_it:
                self._update()
                self._measure(completed, training)

    def _training(self, completed: int) -> float:
        """Expected length of the whole training without us, in seconds."""
        share = max(1, completed - self.start) / max(1, self.last - self.start)
        return self.budget.training / share

    def _prepare(self) -> None:
        """Do once what does not change: neighbour lists, baselines, how fast we are."""
        if self.engine is None:  # the hook failed, or the model was never called
            self.engine = self._engine()
        engine = self.engine
        self.subjects = [one.labelled(engine) for one in self.held_out]
        trial = Plan(1)
        try:
            self._timed(trial, errors_of_all=False)  # what is done once only
            _, seconds = self._timed(trial, errors_of_all=False)
        except Exception:
            self.subjects = []  # nothing is prepared: to be tried again
            raise
        self.budget.learn(work(trial, self.subjects, self.orbits), seconds)

    def _timed(
        self, plan: Plan, errors_of_all: bool
    ) -> tuple[tuple[dict[str, pd.DataFrame], int], float]:
        assert self.engine is not None
        started = time.perf_counter()
        found = measure_snapshot(
            self.engine,
            self.subjects,
            plan,
            self.orbits,
            memory=int(self.options["memory_mib"] * 2**20),
            errors_of_all=errors_of_all,
            group_of=group_of,
        )
        return found, time.perf_counter() - started

    def _update(self) -> None:
        assert self.engine is not None
        twin: Any = self.engine
        refresh(twin.model, self.model)

    def _choose(self, training: float) -> bool:
        """Choose a plan; say whether this due epoch is measured."""
        budget, left = self.budget, len(self.due)
        costs = [budget.cost(p, self.subjects, self.orbits) for p in self.plans]
        choice = budget.choose(self.plans, costs, training, left, self.measured, self.plan)
        self.plan = choice.plan
        if self.errors_of_all is None:
            self._decide_about_errors(choice.each)
        if choice.short and not self.warned:
            self.warned = True
            cost, allowed = costs[self.plans.index(choice.plan)], budget.allowed(training)
            report.warn_short(
                choice, cost, budget.measuring, allowed, budget.fixed_schedule
            )
        # the measured ones are spread evenly over the due ones
        self.credit += choice.count / left
        self.skipped += 1
        if self.credit < 1 - 1e-9:
            return False
        self.credit -= 1
        self.skipped -= 1
        return True

    def _decide_about_errors(self, each: float) -> None:
        """Whether errors of the structures without A are worth their time."""
        assert self.engine is not None
        started = time.perf_counter()
        raw_values(self.engine, self.subjects[0].prepared, self.engine.blocks)
        seconds = (time.perf_counter() - started) * len(self.subjects)
        self.errors_of_all = self.budget.fixed_schedule or seconds <= BESIDE * each
        if self.errors_of_all:
            self.beside = self.budget.fixed = seconds

    def _measure(self, completed: int, training: float) -> None:
        """One measurement, its files, its line in the log, its place in W&B."""
        plan, before = self.plan, self.done
        assert plan is not None
        self.done = plan
        started = time.perf_counter()
        (tables, evaluations), seconds = self._timed(plan, bool(self.errors_of_all))
        skipped, self.skipped = self.skipped, 0
        row = {
            "evaluations": evaluations,
            "seconds": round(seconds, 3),
            "training_seconds": round(training, 3),
            "n_structures": plan.n_structures,
            "circles": plan.circles,
            "design": plan.design,
            "note": report.note(plan, before, skipped, len(self.held_out)),
        }
        tables["measurements"] = pd.DataFrame([row])
        self._keep(tables, completed)
        self.measured += 1
        logging.info(report.line(self.series, completed))
        if self.sink is not None:
            self.sink.add(self.series, completed)
        self._learn(plan, seconds, time.perf_counter() - started - seconds)

    def _learn(self, plan: Plan, seconds: float, rest: float) -> None:
        """Take note of what a measurement took, and its files, pictures and logs."""
        size = work(plan, self.subjects, self.orbits)
        self.budget.learn(size, max(seconds - self.beside, 0.1 * seconds))
        self.budget.apart += rest

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
        for text in report.headlines(tables["events"]):
            logging.info(f"Sudden transition: {text}")

    def close(self, finished: bool) -> None:
        """Measure the end, if metatrain did not log it.

        :param finished: whether the training came to its end
        """
        if not finished or self.last <= self.start or self.last in self.series.epochs:
            return
        if self.engine is None or not self.subjects:
            self._prepare()
        training = self._training(self.last)
        if self.plan is None:
            self.due = [self.last]
            self._choose(training)
        self._update()
        self._measure(self.last, training)

    def finish(self, finished: bool) -> None:
        """Draw the page, hand everything to W&B, say what it cost.

        :param finished: whether the training came to its end
        """
        page = None
        try:
            if finished and self.last > self.start and self.series.epochs:
                budget = self.budget
                started = time.perf_counter()
                page = report.draw(self.series, self.folder)
                seconds = time.perf_counter() - started
                logging.info(report.closing(self.series, page, budget, seconds))
        finally:
            if self.sink is not None:
                self.sink.close(self.last, self.series, page)


def _joined(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Rows of both, without pandas' complaint about empty tables."""
    if not len(new):
        return old
    return pd.concat([old, new], ignore_index=True) if len(old) else new.copy()
