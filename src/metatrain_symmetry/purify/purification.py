"""One model state: sweep, solve, choose, and change its readouts."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd
import torch
from metatrain.pet import PET
from tqdm import tqdm

from ..data.agreement import check_targets
from ..data.splits import StructureSet
from ..groups import O3Grid
from ..measure.kept import Kept
from ..processes import Processes
from .accumulate import Sweep
from .checks import check_memory, choose_targets, grid_degree
from .choose import Candidate, PartResult, choose, scan, score
from .features import FeatureEngine
from .gradients import Gradients
from .labels import Reader, labelled_blocks
from .moments import Moments
from .options import PurifyHypers
from .problems import Part, Problem, find_problems
from .solve import whitening
from .spectra import output_spectra
from .weights import add_to_readout, changed_parameters, readout


@dataclass
class Purification:
    """Purification of one model state; see :meth:`of`.

    :param engine: of the model, whose readouts are changed by :meth:`apply`
    :param problems: all that is solved
    :param trained: for each its readout ``(P, d K)``
    :param grid: the orbit of the sweep
    :param train: training set
    :param held_out: validation set
    :param hypers: section ``purify``
    :param whole: per-structure targets that do not count per atom
    :param processes: which share the sweep
    """

    engine: FeatureEngine
    problems: list[Problem]
    trained: list[torch.Tensor]
    grid: O3Grid
    train: StructureSet
    held_out: StructureSet
    hypers: PurifyHypers
    whole: frozenset[str]
    processes: Processes
    moments: list[Moments] = field(default_factory=list, init=False)
    held_out_moments: list[Moments] = field(default_factory=list, init=False)

    @classmethod
    def of(
        cls,
        model: PET,
        train: StructureSet,
        held_out: StructureSet,
        hypers: PurifyHypers,
        per_structure: Iterable[str] = (),
        processes: Processes | None = None,
    ) -> "Purification":
        """Find out what is to be solved, and that it can be.

        :param model: of the state
        :param train: training set
        :param held_out: validation set
        :param hypers: section ``purify``
        :param per_structure: per-structure targets that do not count per atom
        :param processes: which share the sweep
        :raises ValueError: if targets or grid do not suit the model
        :raises MemoryError: if the matrices of the solve do not fit the budget
        :return: before any work
        """
        available = train.targets & held_out.targets
        engine = FeatureEngine(model, choose_targets(model, available, hypers["targets"]))
        for infos in (*train.infos, *held_out.infos):
            check_targets(engine, infos)
        whole = frozenset(per_structure)
        problems = find_problems(engine, whole)
        # before any work: a last layer may have been replaced
        trained = [readout(model, problem) for problem in problems]
        check_memory(problems, engine.width, _bytes(hypers))
        return cls(
            engine,
            problems,
            trained,
            O3Grid(grid_degree(problems, hypers["degree"])),
            train,
            held_out,
            hypers,
            whole,
            processes or Processes(),
        )

    @property
    def model(self) -> PET:
        """The model whose readouts are changed."""
        return self.engine.model

    @cached_property
    def reader(self) -> Reader:
        """Reads structures and labels of both sets."""
        return Reader(self.engine, labelled_blocks(self.engine))

    def sweep(
        self, progress: bool = True, name: str = "", kept: Kept | None = None
    ) -> None:
        """Evaluate both sets along the grid, and keep the moments.

        :param progress: whether to show a progress bar
        :param name: of the state, for the bar
        :param kept: where the sums are kept now and then; None for nowhere
        """
        memory = _bytes(self.hypers)
        run = Sweep(
            self.engine, self.problems, self.grid, memory, self.whole, self.processes,
            kept,
        )  # fmt: skip
        counts = [len(self.processes.mine(len(s))) for s in (self.train, self.held_out)]
        total = sum(counts) * len(self.grid.matrices)
        shown = progress and self.processes.first
        with tqdm(total=total, unit="rot", desc=f"sweep {name}", disable=not shown) as bar:
            self.moments = run.run(self.train, self.reader, bar)
            self.held_out_moments = run.run(self.held_out, self.reader, bar)

    def solve(self) -> list[PartResult]:
        """Solve all problems and choose, part by part.

        :return: one result per part that has labels in both sets
        """
        parts: dict[Part, list[int]] = {}
        for i, problem in enumerate(self.problems):
            if self.moments[i].samples and self.held_out_moments[i].samples:
                parts.setdefault(problem.part, []).append(i)
            else:
                logging.warning(
                    f"{problem.part}: no labels in the training or in the validation set, "
                    "its weights stay"
                )
        if not parts:
            raise ValueError(
                "no target has labels both in the training and in the validation set"
            )
        return [self._solve(part, members) for part, members in parts.items()]

    def _solve(self, part: Part, members: list[int]) -> PartResult:
        training = [self.moments[i] for i in members]
        held_out = [self.held_out_moments[i] for i in members]
        trained = [self.trained[i] for i in members]
        problems = [self.problems[i] for i in members]
        self._warn(part, training)
        before = Candidate(
            float("nan"), float("nan"), score(held_out, trained),
            score(training, trained), trained,
        )  # fmt: skip
        candidates = scan(
            training, held_out, trained, self.hypers["alpha"], self.hypers["ridge"]
        )
        chosen, reason = choose(
            before, candidates, self.hypers["max_rmse_increase"],
            self._gradients(part, problems),
        )  # fmt: skip
        return PartResult(
            part, problems, before, candidates, chosen, reason, _counts(training),
            _counts(held_out),
        )  # fmt: skip

    def _warn(self, part: Part, moments: list[Moments]) -> None:
        """Say where the data do not determine a readout."""
        kind = "atoms" if part.kind == "atom" else "structures"
        samples, K = min(m.samples for m in moments), self.engine.width
        rank = min(whitening(m.S).shape[1] for m in moments)
        if samples < K:
            logging.warning(
                f"{part}: {samples} {kind} for {K} unknowns per component, at least {K} "
                "are needed to determine them: the ridge towards the trained weights "
                "decides the rest"
            )
        if rank < K:
            logging.info(
                f"{part}: {K - rank} of {K} features depend on the others, as far as "
                "these structures show: the weights change no more than they must"
            )

    def _gradients(
        self, part: Part, problems: list[Problem]
    ) -> Callable[[Candidate], float] | None:
        """Watch the gradients of an energy that was trained on them."""
        if not self.model.dataset_info.targets[part.target].gradients:
            return None
        guard = Gradients.of(self.model, part.target, self.held_out)
        if not guard.known:
            return None
        return lambda candidate: guard.ratio(problems, candidate)

    def spectra(self) -> pd.DataFrame:
        """Spectra of the outputs on some validation structures."""
        count = min(self.hypers["report_structures"], len(self.held_out))
        samples = [self.reader.read(self.held_out, i).structure for i in range(count)]
        wanted = labelled_blocks(self.engine)
        return output_spectra(self.engine, samples, wanted, self.grid, _bytes(self.hypers))

    def apply(self, results: list[PartResult]) -> set[str]:
        """Give the model the chosen readouts.

        :param results: of :meth:`solve`
        :return: names of the parameters that changed
        """
        names: set[str] = set()
        for result in results:
            if result.chosen is None:
                continue
            new = zip(
                result.problems, result.chosen.readouts, result.before.readouts, strict=True
            )
            for problem, after, before in new:
                add_to_readout(self.model, problem, after - before)
                names |= changed_parameters(self.model, problem)
        return names


def _counts(moments: list[Moments]) -> tuple[int, int]:
    """Samples and structures of the problem that has most."""
    return max((one.samples, one.structures) for one in moments)


def _bytes(hypers: PurifyHypers) -> int:
    """Memory that matrices and evaluations may take, each."""
    return int(hypers["memory_mib"] * 2**20)
