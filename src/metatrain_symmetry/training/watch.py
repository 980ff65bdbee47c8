"""What is done at each epoch: decide whether to measure, and how much."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..data import GivenStructure
from ..measure.plan import Plan
from ..measure.series import FOLDER
from . import log_lines
from .budget import Budget, ladder
from .continuation import begin_series
from .held_out import find_structures
from .options import SymmetryHypers
from .recorder import Recorder, summary
from .schedule import epochs_to_measure
from .snapshots import Snapshots


BESIDE = 0.1
"""Share of a measurement that the errors of structures without A may take."""


class Watch:
    """Measurements of one training; see :meth:`open`.

    :param options: complete options ``training.symmetry``
    :param snapshots: measure the model
    :param held_out: structures that are watched
    :param recorder: writes down what was measured
    :param start: epochs completed before
    :param last: epochs completed at the end
    """

    def __init__(
        self,
        options: SymmetryHypers,
        snapshots: Snapshots,
        held_out: list[GivenStructure],
        recorder: Recorder,
        start: int,
        last: int,
    ) -> None:
        self.snapshots, self.held_out, self.recorder = snapshots, held_out, recorder
        self.start, self.last = start, last
        schedule = epochs_to_measure(start, last, options["interval"], options["points"])
        self.due = [epoch for epoch in schedule if epoch not in recorder.series.epochs]
        self.credit, self.skipped = 1.0, 0
        self.plans = ladder(len(held_out), options["estimator"])
        self.plan: Plan | None = None
        self.done: Plan | None = None
        self.errors_of_all: bool | None = None
        self.budget = Budget(options["max_overhead"], options["interval"] is not None)
        self.measured, self.warned = 0, False
        self.beside = 0.0

    @classmethod
    def open(
        cls,
        options: SymmetryHypers,
        model: torch.nn.Module,
        val_datasets: Sequence[Any],
        checkpoint_dir: Path,
        start: int,
        last: int,
    ) -> "Watch":
        """Find layers and structures, and begin or continue the series.

        :param options: complete options ``training.symmetry``
        :param model: the model in training
        :param val_datasets: validation sets as given to the trainer
        :param checkpoint_dir: folder of the run
        :param start: epochs completed before
        :param last: epochs completed at the end
        :raises ValueError: if there are no structures, or no such layers
        :return: before anything is measured
        """
        snapshots = Snapshots(model, options)
        engine = snapshots.open()  # finds wrong layers before hours have passed
        held_out = find_structures(options, engine, val_datasets, checkpoint_dir)
        folder = checkpoint_dir / FOLDER
        series = begin_series(folder, start, summary(options, engine, snapshots.probes))
        return cls(options, snapshots, held_out, Recorder(series, folder), start, last)

    def begin(self) -> None:
        """Keep the model as it is before its first step; it is measured later."""
        self.snapshots.keep()
        self.budget.restart()

    def epoch_done(self, epoch: int) -> None:
        """Measure if it is time to.

        :param epoch: as in metatrain's log, where the first one is 0
        """
        try:
            self._measure_due(epoch + 1)
        finally:
            self.recorder.step(epoch)

    def _measure_due(self, completed: int) -> None:
        training = self._training(completed)
        if not self.snapshots.ready:
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
                self.snapshots.update()
                self._measure(completed, training)

    def _training(self, completed: int) -> float:
        """Expected length of the whole training without us, in seconds."""
        share = max(1, completed - self.start) / max(1, self.last - self.start)
        return self.budget.training / share

    def _prepare(self) -> None:
        """Prepare the structures, and see how fast we are."""
        seconds = self.snapshots.prepare(self.held_out)
        self.budget.learn(self.snapshots.work(Plan(1)), seconds)

    def _choose(self, training: float) -> bool:
        """Choose a plan; say whether this due epoch is measured."""
        budget, left = self.budget, len(self.due)
        costs = [budget.cost(self.snapshots.work(plan)) for plan in self.plans]
        choice = budget.choose(self.plans, costs, training, left, self.measured, self.plan)
        self.plan = choice.plan
        if self.errors_of_all is None:
            self._decide_about_errors(choice.each)
        if choice.short and not self.warned:
            self.warned = True
            cost, allowed = costs[self.plans.index(choice.plan)], budget.allowed(training)
            log_lines.warn_short(
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
        seconds = self.snapshots.seconds_of_errors()
        self.errors_of_all = self.budget.fixed_schedule or seconds <= BESIDE * each
        if self.errors_of_all:
            self.beside = self.budget.fixed = seconds

    def _measure(self, completed: int, training: float) -> None:
        """One measurement, its files, its line in the log, its place in W&B."""
        plan, before = self.plan, self.done
        assert plan is not None
        self.done = plan
        started = time.perf_counter()
        found = self.snapshots.measure(plan, bool(self.errors_of_all))
        skipped, self.skipped = self.skipped, 0
        row = {
            "evaluations": found.evaluations,
            "seconds": round(found.seconds, 3),
            "training_seconds": round(training, 3),
            "n_structures": plan.n_structures,
            "circles": plan.circles,
            "design": plan.design,
            "note": log_lines.note(plan, before, skipped, len(self.held_out)),
        }
        measurements = pd.DataFrame([row])
        self.recorder.keep({**found.tables, "measurements": measurements}, completed)
        self.measured += 1
        self.recorder.tell(completed)
        counted = max(found.seconds - self.beside, 0.1 * found.seconds)
        self.budget.learn(self.snapshots.work(plan), counted)
        # files, pictures and logs
        self.budget.apart += time.perf_counter() - started - found.seconds

    def close(self, finished: bool) -> None:
        """Measure the end, if metatrain did not log it.

        :param finished: whether the training came to its end
        """
        if (
            not finished
            or self.last <= self.start
            or self.last in self.recorder.series.epochs
        ):
            return
        if not self.snapshots.ready:
            self._prepare()
        training = self._training(self.last)
        if self.plan is None:
            self.due = [self.last]
            self._choose(training)
        self.snapshots.update()
        self._measure(self.last, training)

    def finish(self, finished: bool) -> None:
        """Draw the page, hand everything to W&B, say what it cost.

        :param finished: whether the training came to its end
        """
        drawn = finished and self.last > self.start and self.recorder.series.epochs
        self.recorder.finish(self.last, self.budget if drawn else None)
