"""One measurement for :func:`symmetry_report`, by one process or by several of them."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io import SUMMARY
from ..report.folder import check_folder, write
from ..versions import versions


if TYPE_CHECKING:
    from ..data import LazyStructures
    from ..groups import Group
    from ..measure.budget import Clock
    from ..measure.kept import Kept
    from ..measure.results import Report
    from ..measure.settings import Settings
    from ..models.engine import Engine
    from ..models.pet.engine import PETEngine
    from ..processes import Processes


@dataclass
class Measurement:
    """What is measured, with everything opened.

    :param engine: that evaluates the model
    :param data: structures with what is known of their targets
    :param group: whose symmetry is measured
    :param settings: of the measurement
    :param fmax: of relaxations, in eV/Å
    :param processes: which share the structures
    :param kept: pieces of it; None where none are kept
    :param compiled: the engine once more if it is to be compiled first
    """

    engine: "Engine"
    data: "LazyStructures"
    group: "Group"
    settings: "Settings"
    fmax: float | None
    processes: "Processes"
    kept: "Kept | None"
    compiled: "PETEngine | None" = None

    def report(
        self,
        place: Path | None,
        overwrite: bool,
        clock: "Clock",
        group_of: Callable[[str], str],
        finish: Callable[["Report"], None],
        progress: bool,
    ) -> "Report":
        """Measure and write, or go on from what was kept.

        :param place: folder for the results; None writes nothing
        :param overwrite: whether it may be replaced
        :param clock: where the budget is running
        :param group_of: group of a probe, for the tables
        :param finish: adds to a report what the tables do not say
        :param progress: whether to show a progress bar
        :return: the report, the same in all processes
        """
        from ..measure.analysis import analyze
        from ..measure.kept import say_goodbye

        first = self.processes.first
        known: Report | None = self.processes.from_first(
            lambda: self._complete(place, overwrite)
        )
        if known is not None:
            return known
        if self.compiled is not None:
            self.compiled.compile()
        try:
            report = analyze(
                self.engine, self.data, self.group, self.settings, group_of=group_of,
                progress=progress, clock=clock, processes=self.processes, kept=self.kept,
            )  # fmt: skip
        except ValueError:
            if first and self.kept is not None:
                self.kept.remove_if_little()
            raise
        except BaseException:
            if first and self.kept is not None:
                say_goodbye(self.kept.folder)
            raise

        def finished() -> "Report":
            finish(report)
            if place is not None:
                report.summary["measurement"] = self._digest(report)
                write(report, place)
            if self.kept is not None:
                self.kept.remove()
            return report

        found: Report = self.processes.from_first(finished)
        return found

    def _complete(self, place: Path | None, overwrite: bool) -> "Report | None":
        """The report of an earlier run that was killed when all was done."""
        from ..measure.results import Report

        if self.kept is None or place is None:
            return None
        if self.kept.resume and (place / SUMMARY).is_file():
            try:
                report = Report.load(place)
                if report.summary.get("measurement") == self._digest(report):
                    logging.info(f"'{place}' is complete: nothing is left to do")
                    self.kept.remove()
                    return report
            except (OSError, ValueError, KeyError, AttributeError):
                pass  # not one of ours, or an older one
            check_folder(place, overwrite)
        self.kept.say()
        return None

    def _digest(self, report: "Report") -> str | None:
        """What a report depends on: equal for the same measurement only."""
        from ..measure.kept import digest, digest_of_structure

        if self.kept is None:
            return None
        indices = sorted({int(index) for index in report.equivariance.structure})
        structures = [(i, digest_of_structure(self.data, i)) for i in indices]
        settings = self.settings.model_dump()
        return digest(self.kept.digest, settings, self.fmax, len(self.data), structures)


def check_resume(resume: bool, model: Any, output: Any) -> None:
    """Refuse to go on where nothing can have been kept.

    :param resume: whether that is asked for
    :param model: as given
    :param output: folder for the results, if any
    :raises ValueError: if there is nothing to go on from
    """
    if not resume:
        return
    if not isinstance(model, str | Path):
        raise ValueError(
            "results are kept only for models that are files: leave out --continue "
            "(resume), or give the path of a model"
        )
    if output is None:
        raise ValueError("--continue (resume) needs the folder of the results: name it")


def pieces_of(
    model: Any,
    place: Path | None,
    resume: bool,
    engine: "Engine",
    group: "Group",
    options: Sequence[object],
) -> "Kept | None":
    """Where the pieces of a measurement are kept.

    :param model: as given
    :param place: folder of the results, if any
    :param resume: whether those of an earlier run are taken
    :param engine: that evaluates the model
    :param group: whose symmetry is measured
    :param options: whatever else a piece depends on
    :return: None where there is no folder beside which, or where a model is no file, so
        that nobody can say whether it is the same
    """
    from ..measure.kept import Kept, digest_of_file, digest_of_tensor, kept_folder

    if place is None or not isinstance(model, str | Path):
        return None
    about = (
        digest_of_file(Path(model)), [str(option) for option in options], engine.blocks,
        engine.probes, str(engine.dtype), group.name, digest_of_tensor(group.elements(0)),
        versions(),
    )  # fmt: skip
    return Kept(kept_folder(place), about, resume)
