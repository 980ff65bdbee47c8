"""One model state: sweep, solve, choose, and change its readouts."""

import logging
from collections.abc import Iterable
from typing import Any

import pandas as pd
from metatrain.pet import PET
from tqdm import tqdm

from ..data.agreement import check_targets
from ..data.splits import StructureSet
from ..groups import O3Grid
from ..messages import did_you_mean
from .accumulate import Sweep
from .choose import Candidate, PartResult, choose, scan, score
from .features import FeatureEngine
from .gradients import Gradients
from .moments import Moments
from .processes import Processes
from .samples import Reader, labelled_blocks
from .solve import whitening
from .spectra import output_spectra
from .unknowns import Part, Problem, find_problems
from .weights import add_to_readout, changed_parameters, readout


def choose_targets(
    model: PET, available: Iterable[str], asked: list[str] | None
) -> list[str]:
    """Targets to purify.

    :param model: PET, or what inherits from it
    :param available: those in the data
    :param asked: for by the user, None for all
    :raises ValueError: if one is not in the model or not in the data, or if none is left
    :return: their names
    """
    known, given = list(model.dataset_info.targets), sorted(available)
    for name in asked or []:
        for names, where in ((known, "the model has"), (given, "the data set has")):
            if name not in names:
                raise ValueError(f"{where} no target '{name}': {did_you_mean(name, names)}")
    found = [name for name in known if name in (asked or given)]
    if not found:
        raise ValueError(
            f"the data set has no target of the model: it has {', '.join(given)}, the "
            f"model {', '.join(known)}"
        )
    return found


def grid_degree(problems: list[Problem], degree: int | None) -> int:
    """Degree of the grid.

    :param problems: of the model
    :param degree: asked for by the user, if any
    :raises ValueError: if it cannot integrate the equivariance error of a target
    :return: at least twice the largest λ
    """
    needed = 2 * max(p.part.irrep.o3_lambda for p in problems)
    if degree is None:
        return max(8, needed)
    if degree < needed:
        raise ValueError(
            f"purify.degree: a target of λ = {needed // 2} needs a grid of degree {needed} "
            f"or more, not {degree}"
        )
    return degree


def check_memory(problems: list[Problem], width: int, budget: int) -> None:
    """Make sure, before the sweep, that the matrices of all problems fit.

    :param problems: of the model
    :param width: number of features
    :param budget: in bytes
    :raises MemoryError: if they do not
    """
    sizes = [p.part.irrep.dimension * width for p in problems]
    # two sets at once, then the working space of the largest solve, as measured
    total = sum(2 * 8 * size**2 for size in sizes) + 8 * 8 * max(sizes) ** 2
    if total > budget:
        largest = max(zip(sizes, map(str, (p.part for p in problems)), strict=True))
        raise MemoryError(
            f"{len(sizes)} systems of equations, the largest with {largest[0]} unknowns "
            f"for {largest[1]}, take {total / 2**20:.0f} MiB: raise purify.memory_mib "
            "above that, or name fewer purify.targets"
        )


class StateRun:
    """Purification of one model state.

    :param model: of the state; its readouts are changed by :meth:`apply`
    :param train: training set
    :param held_out: validation set
    :param options: section ``purify``, complete
    :param per_structure: per-structure targets that do not count per atom
    :param processes: which share the sweep
    """

    def __init__(
        self,
        model: PET,
        train: StructureSet,
        held_out: StructureSet,
        options: dict[str, Any],
        per_structure: Iterable[str] = (),
        processes: Processes | None = None,
    ) -> None:
        self.model, self.options = model, options
        self.train, self.held_out = train, held_out
        self.whole = frozenset(per_structure)
        self.processes = processes or Processes()
        available = train.targets & held_out.targets
        targets = choose_targets(model, available, options["targets"])
        self.engine = FeatureEngine(model, targets)
        for infos in (*train.infos, *held_out.infos):
            check_targets(self.engine, infos)
        self.problems = find_problems(self.engine, self.whole)
        # before any work: a last layer may have been replaced
        self.trained = [readout(model, problem) for problem in self.problems]
        self.memory = int(options["memory_mib"] * 2**20)
        check_memory(self.problems, self.engine.width, self.memory)
        self.grid = O3Grid(grid_degree(self.problems, options["degree"]))
        self.reader = Reader(self.engine, labelled_blocks(self.engine))

    def sweep(self, progress: bool = True, name: str = "") -> None:
        """Evaluate both sets along the grid, and keep the moments.

        :param progress: whether to show a progress bar
        :param name: of the state, for the bar
        """
        run = Sweep(
            self.engine, self.problems, self.grid, self.memory, self.whole, self.processes
        )
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
            training, held_out, trained, self.options["alpha"], self.options["ridge"]
        )
        chosen, reason = choose(
            before, candidates, self.options["max_rmse_increase"],
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

    def _gradients(self, part: Part, problems: list[Problem]) -> Any:
        """Watch the gradients of an energy that was trained on them."""
        if not self.model.dataset_info.targets[part.target].gradients:
            return None
        guard = Gradients(self.model, part.target, self.held_out)
        if not guard.known:
            return None
        return lambda candidate: guard.ratio(problems, candidate)

    def spectra(self) -> pd.DataFrame:
        """Spectra of the outputs on some validation structures."""
        count = min(self.options["report_structures"], len(self.held_out))
        samples = [self.reader.read(self.held_out, i).prepared for i in range(count)]
        wanted = labelled_blocks(self.engine)
        return output_spectra(self.engine, samples, wanted, self.grid, self.memory)

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
