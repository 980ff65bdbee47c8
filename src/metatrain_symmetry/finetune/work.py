"""One fine-tuning: what can be wrong, the teacher, the training, the guard."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from metatrain.pet import PET

from ..data.agreement import check_targets
from ..data.labelled import LabelledStructure
from ..data.splits import StructureSet, read_sets
from ..groups import O3Grid
from ..groups.design import GroupPoints
from ..models import PETEngine
from ..models.checkpoints import Checkpoint
from ..models.live_or_exported import length_unit
from ..models.sweep import NotFiniteValues
from ..models.units import normal_unit
from ..progress import progress
from ..purify.checkpoint import (
    build_model,
    distinct_states,
    hypers_of_training,
)
from ..purify.spectra import output_spectra
from . import weights
from .datasets import (
    check_systems,
    labelled_sets,
    lacks_labels,
    taught_set,
    unlabelled_systems,
)
from .errors import Table, errors, not_finite
from .guard import STEPS, Choice, choose, losing
from .held_out import engine_of, read_labelled, term_of_loss
from .options import FinetuneOptions
from .stages import EMPHASIS, Way, read_emphasis, read_stages
from .teacher import Teacher
from .training import StagePlan, check_batches, train, trainer_hypers


JUDGE = GroupPoints("T")
"""Rotations of each validation structure: 24, in a random frame."""

MOMENTS = {
    "best_model_state_dict": "best_optimizer_state_dict",
    "model_state_dict": "optimizer_state_dict",
}
"""State of the optimizer that belongs to each state of the model."""

PILOT = 4
"""Structures on which the teacher's orbit is chosen."""


class Work:
    """One fine-tuning; see :meth:`of`."""

    def __init__(
        self,
        model: PET,
        state: str,
        key: str,
        hypers: dict[str, Any],
        options: FinetuneOptions,
        sets: tuple[StructureSet, StructureSet],
        device: torch.device,
        show: bool,
        moments: Mapping[str, Any] | None = None,
    ) -> None:
        self.moments = moments
        self.model, self.state, self.key = model, state, key
        self.hypers, self.options, self.device = hypers, options, device
        self.train_set, self.held_out_set = sets
        self.show = show
        self.whole = frozenset(hypers.get("per_structure_targets") or ())
        self.names = {name for name, _ in model.named_parameters()}
        self.memory = int(options.hypers["memory_mib"] * 2**20)
        self.spectra: list[pd.DataFrame] = []
        self.seconds: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.teacher_text = "none"
        self.epochs = 0
        self.emphasis: dict[str, float] = {}

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        options: FinetuneOptions,
        device: torch.device,
        show: bool,
    ) -> "Work":
        """Look at everything that can be wrong before anything is done."""
        trained = hypers_of_training(checkpoint)
        if not trained:
            raise ValueError(
                "the checkpoint does not say how it was trained: give one that mtt train "
                "has written"
            )
        states = distinct_states(checkpoint)
        state, (key, *_) = next(iter(states.items()))
        hypers = trainer_hypers(trained, options.hypers)
        model = build_model(checkpoint, key)
        # without it, composition and scales would be fitted again
        model = model.restart(model.dataset_info)
        if options.base_precision is not None:
            model = model.to(getattr(torch, f"float{options.base_precision}"))
        train_set, held_out = read_sets(options.sections)
        seed, own = options.sections.seed, options.hypers
        sets = (
            train_set.limited(own["max_structures"], seed),
            held_out.limited(own["max_validation_structures"], seed),
        )
        _check(model, sets)
        moments = checkpoint.get(MOMENTS[key])
        return cls(model, state, key, hypers, options, sets, device, show, moments)

    def run(self, folder: Path) -> Choice:
        """Teach, train, choose; the model has the chosen weights afterwards."""
        self.model.to(self.device)
        engine = engine_of(self.model)
        data = read_labelled(engine, self.held_out_set)
        if not data:
            raise ValueError(
                "no validation structure has labels: the guard needs some to compare with"
            )
        train_sets = self._timed("teacher", self._train_sets)
        held_out = self._labelled(self.held_out_set)
        before = self._timed("validation", lambda: self._before(data))
        _warn_of_blocks_without_labels(engine, before)
        self._spectra(data, "before")
        start = weights.trained_state(self.model)
        if self.options.hypers["method"] == "heads":
            weights.freeze_all_but_heads(self.model)
        stages = StagePlan(
            self.options.hypers["weight"],
            lambda: self._losing(data, before),
            self.moments,
        )
        self.epochs = self._timed(
            "training", lambda: self._train(train_sets, held_out, folder, stages)
        )
        self.emphasis = read_emphasis(folder, self.hypers["num_epochs"])
        self.model.requires_grad_(True).eval()
        way = Way(start, read_stages(folder), self.hypers["num_epochs"])
        choice = self._timed("validation", lambda: self._choose(data, before, way))
        weights.set_parameters(self.model, way.at(choice.after.share))
        if choice.chosen is not None:
            self._spectra(data, "after")
        return choice

    def _train_sets(self) -> list[Any]:
        """Data sets with labels, with a teacher's labels where that is asked for."""
        unit, own = length_unit(self.model), self.options.hypers
        others = own["unlabelled"]
        systems = [] if others is None else unlabelled_systems(others, unit)
        missing = set(self.model.dataset_info.targets) - self.train_set.targets
        self.counts["unlabelled"] = len(systems)
        if systems:
            check_systems(systems, engine_of(self.model))
        sizes = self.train_set.sizes | (
            {"purify.unlabelled": len(systems)} if systems else {}
        )
        check_batches(self.hypers, sizes)
        found = self._labelled(self.train_set)
        lacking = missing or lacks_labels(found, self.model.dataset_info.targets)
        if not (own["teacher"] or systems or lacking):
            return found
        teacher = Teacher(self.model, self.device)
        first = [self.train_set.read(i, unit).system for i in range(PILOT)
                 if i < len(self.train_set)]  # fmt: skip
        left = teacher.choose_points(systems[:PILOT] or first)
        self.teacher_text = f"{teacher.points}, which leaves {100 * left:.0f} % of A"
        logging.info(f"The teacher is the model averaged over {self.teacher_text}")
        use = teacher if own["teacher"] or lacking else None
        total = len(systems) + (len(self.train_set) if use else 0)
        with progress(total, "teacher", "structure", not self.show) as bar:
            if use is not None:
                share = own["teacher"]
                found = self._labelled(self.train_set, use, share, bar.update)
            if systems:
                found.append(taught_set(systems, teacher, bar.update))
        return found

    def _labelled(
        self,
        source: StructureSet,
        teacher: Teacher | None = None,
        share: float = 0.0,
        done: Callable[[], object] = lambda: None,
    ) -> list[Any]:
        """Data sets with labels of the targets of the model."""
        unit, targets = length_unit(self.model), self.model.dataset_info.targets
        return labelled_sets(source, unit, teacher, share, done, targets)

    def _before(self, data: list[LabelledStructure]) -> Table:
        """Errors of the trained weights."""
        with progress(len(data), "validation before", "structure", not self.show) as bar:
            return self._errors(data, bar.update)

    def _losing(self, data: list[LabelledStructure], before: Table) -> list[str]:
        """Terms of the loss that have lost accuracy, at the end of a stage."""
        targets = losing(before, self._errors_of_candidate(data, lambda: None))
        if targets:
            logging.info(
                f"The RMSE of {', '.join(targets)} has risen in this stage: labels of it "
                f"count {EMPHASIS:g} times as much from now on"
            )
        terms = term_of_loss(engine_of(self.model))
        return sorted({terms[block] for block in before if block.target in targets})

    def _choose(self, data: list[LabelledStructure], before: Table, way: Way) -> Choice:
        """Let the guard decide."""
        total = len(data) * (len(way.marks) + STEPS)
        with progress(total, "validation after", "structure", not self.show) as bar:

            def measure(share: float) -> Table:
                weights.set_parameters(self.model, way.at(share))
                return self._errors_of_candidate(data, bar.update)

            most = self.options.hypers["max_rmse_increase"]
            choice = choose(before, way.marks, measure, most)
            bar.update(total - bar.n)
        return choice

    def _errors(self, data: list[LabelledStructure], done: Callable[[], object]) -> Table:
        engine = engine_of(self.model)
        return errors(engine, data, JUDGE, self.whole, self.memory, done)

    def _errors_of_candidate(
        self, data: list[LabelledStructure], done: Callable[[], object]
    ) -> Table:
        """Errors of weights that may be no good."""
        try:
            return self._errors(data, done)
        except NotFiniteValues:
            return not_finite(engine_of(self.model))

    def _spectra(self, data: list[LabelledStructure], when: str) -> None:
        """Spectra of the outputs on some validation structures."""
        engine = engine_of(self.model)
        chosen = [one.structure for one in data[: self.options.hypers["report_structures"]]]
        if not chosen:
            return
        degree = max(8, 2 * max(block.irrep.o3_lambda for block in engine.blocks))
        grid = O3Grid(degree)
        self.counts["grid_degree"] = grid.degree
        table = output_spectra(engine, chosen, engine.blocks, grid, self.memory)
        self.spectra.append(table.assign(state=self.state, when=when))

    def _train(
        self, train_sets: list[Any], held_out: list[Any], folder: Path, stages: StagePlan
    ) -> int:
        seed = self.options.sections.seed
        return train(
            self.model, self.hypers, train_sets, held_out, folder, self.device, seed,
            stages,
        )  # fmt: skip

    def _timed(self, name: str, action: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        found = action()
        spent = time.perf_counter() - started
        self.seconds[name] = self.seconds.get(name, 0.0) + spent
        return found


def _warn_of_blocks_without_labels(engine: PETEngine, known: Table) -> None:
    """The guard can say nothing about them."""
    for block in engine.blocks:
        if block not in known:
            logging.warning(
                f"no validation structure has labels of {block.name} {block.irrep}: the "
                "guard does not look at it, so measure it afterwards with mtt symmetry"
            )


def _check(model: PET, sets: tuple[StructureSet, StructureSet]) -> None:
    """Targets and units of the data are those of the model."""
    engine = engine_of(model)
    known = model.dataset_info.targets
    for source in sets:
        if not source.targets & set(known):
            raise ValueError(
                f"the {source.name} set has no target of the model: it has "
                f"{', '.join(sorted(source.targets)) or 'none'}, the model "
                f"{', '.join(known)}"
            )
        for infos in source.infos:
            check_targets(engine, infos)
            for name in set(infos) & set(known):
                missing = set(known[name].gradients) - set(infos[name].gradients)
                if missing:
                    raise ValueError(
                        f"the target '{name}' of the {source.name} set has no "
                        f"{' and no '.join(sorted(missing))} gradients, on which the model "
                        "was trained: switch forces or stress on in the options"
                    )
                more = set(infos[name].gradients) - set(known[name].gradients)
                if more:
                    raise ValueError(
                        f"the target '{name}' of the {source.name} set has "
                        f"{' and '.join(sorted(more))} gradients, on which the model was "
                        "not trained: write forces: off or stress: off in the options"
                    )
                if normal_unit(infos[name].unit) != normal_unit(known[name].unit):
                    raise ValueError(
                        f"the target '{name}' of the {source.name} set is in "
                        f"'{infos[name].unit}', and that of the model in "
                        f"'{known[name].unit}': write the unit of the model"
                    )
