"""The stages of a fine-tuning: one weight of the penalty after the other.

With every weight, accuracy and symmetry balance elsewhere. Each stage begins with a warm-up
and ends at a learning rate of zero, so that its end is a model like that of a training.
Labels of targets that have lost accuracy there count more in the stages that follow. The
guard chooses among the ends and the straight lines between them.
"""

import json
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import metatrain.pet.trainer as pet
import torch
from metatrain.pet import PET
from torch.optim.lr_scheduler import LambdaLR

from ..io import recover, replacing, write_json
from ..training.penalty import PenaltyHypers, Schedule
from ..training.trainer import SymmetryTrainer
from .weights import State, between, trained_state


WARMUP = 0.05
"""Share of a stage in which the learning rate rises."""

EMPHASIS = 2.0
"""Factor by which the labels of what has lost accuracy count more in the next stage."""


def ends(num_epochs: int, count: int) -> list[int]:
    """Epochs that are completed at the end of each stage.

    :param num_epochs: of the fine-tuning
    :param count: of stages
    :return: at most ``count`` numbers, the last one ``num_epochs``
    """
    count = min(count, num_epochs)
    return [round(num_epochs * (i + 1) / count) for i in range(count)]


@dataclass
class Stages(Schedule):
    """Copies all along, and a weight for each stage.

    :param weights: of the stages
    """

    weights: Sequence[float] = field(default=(1.0,))

    @property
    def first(self) -> int:
        """The first epoch has copies."""
        return 0

    @property
    def weight(self) -> float:
        """Weight of the current stage."""
        for end, weight in zip(self._ends, self.weights, strict=False):
            if self.epoch < end:
                return weight
        return self.weights[-1]

    def describe(self) -> str:
        """Say in one line what will happen."""
        stages = ", ".join(
            f"{weight:g} until epoch {end - 1}"
            for end, weight in zip(self._ends, self.weights, strict=False)
        )
        return (
            f"Symmetry penalty: {self.options['copies']} copies of each structure in a "
            f"batch, weight {stages}, as many evaluations as without it"
        )

    @property
    def _ends(self) -> list[int]:
        return ends(self.num_epochs, len(self.weights))


class StagedTrainer(SymmetryTrainer):
    """A trainer that passes through stages and keeps the end of each in a file.

    :meth:`stage` has to be called before ``train``.

    :param hypers: of :class:`~metatrain_symmetry.training.trainer.SymmetryTrainer`
    """

    def stage(
        self,
        weights: Sequence[float],
        model: PET,
        folder: Path,
        losing: Callable[[], Collection[str]],
    ) -> "StagedTrainer":
        """Say what the stages are.

        :param weights: of the penalty, one for each stage
        :param model: that is trained
        :param folder: for the files
        :param losing: looks at the model at the end of a stage; terms of the loss whose
            labels are to count more from then on
        :return: the trainer itself
        """
        self.weights, self.model, self.folder = weights, model, folder
        self.losing = losing
        self.emphasis: dict[str, float] = {}
        return self

    def make_schedule(
        self, options: PenaltyHypers, num_epochs: int, epoch: int
    ) -> Schedule:
        """Weights of the stages."""
        self.emphasis.update(read_emphasis(self.folder, epoch))
        return Stages(options, num_epochs, epoch, self.emphasis, self.weights)

    def epoch_begins(self, epoch: int) -> None:
        """Keep the end of a stage, and have it looked at.

        :param epoch: that begins, which is the number of those that are completed
        """
        last = self.hypers["num_epochs"]
        if epoch == last or epoch not in ends(last, len(self.weights)):
            return
        keep(self.folder, epoch, trained_state(self.model))
        place = self.folder / f"emphasis_{epoch}.json"
        if place.is_file():  # looked at before an interruption
            self.emphasis.update(read_emphasis(self.folder, epoch))
            return
        training = self.model.training
        self.model.eval()
        for term in self.losing():
            self.emphasis[term] = EMPHASIS * self.emphasis.get(term, 1.0)
        self.model.train(training)
        write_json(place, self.emphasis)

    @contextmanager
    def rates(self) -> Iterator[None]:
        """Let the learning rate start anew in each stage, inside of this context."""
        count = len(self.weights)

        def scheduler(
            optimizer: torch.optim.Optimizer, hypers: Any, steps_per_epoch: int
        ) -> LambdaLR:
            marks = [end * steps_per_epoch for end in ends(hypers["num_epochs"], count)]
            return LambdaLR(optimizer, lambda step: rate(step, marks))

        with mock.patch.object(pet, "get_scheduler", scheduler):
            yield


def rate(step: int, marks: Sequence[int]) -> float:
    """Learning rate as a share of its peak: in each stage a warm-up and a cosine.

    :param step: of the optimizer, from 0
    :param marks: steps at which the stages end
    """
    start = 0
    for end in marks:
        if step < end:
            warm = int(WARMUP * (end - start))
            if step - start < warm:
                return (step - start) / warm
            along = (step - start - warm) / (end - start - warm)
            return 0.5 * (1 + math.cos(math.pi * along))
        start = end
    return 0.0


def keep(folder: Path, epochs: int, state: State) -> None:
    """Write the end of a stage, whole or not at all.

    :param folder: of a fine-tuning
    :param epochs: that are completed
    :param state: parameters
    """
    place = folder / f"stage_{epochs}.pt"
    recover(place)
    with replacing(place) as new:
        torch.save({name: value.cpu() for name, value in state.items()}, new)


def read_stages(folder: Path) -> dict[int, State]:
    """Ends of stages that a fine-tuning has left.

    :param folder: of a fine-tuning
    :return: by the number of completed epochs, in their order
    """
    found = {int(p.stem.split("_")[1]): p for p in folder.glob("stage_*.pt")}
    return {n: torch.load(found[n], map_location="cpu") for n in sorted(found)}


def read_emphasis(folder: Path, epoch: int) -> dict[str, float]:
    """Factors that hold in an epoch, from the end of the last stage before it.

    :param folder: of a fine-tuning
    :param epoch: from 0
    :return: by term of the loss, none in the first stage
    """
    found = {int(p.stem.split("_")[1]): p for p in folder.glob("emphasis_*.json")}
    passed = [end for end in found if end <= epoch]
    return json.loads(found[max(passed)].read_text()) if passed else {}


class Way:
    """Weights along a fine-tuning: from the trained ones through the ends of all stages.

    :param start: the trained parameters
    :param stages: by the number of completed epochs
    :param num_epochs: of the fine-tuning
    """

    def __init__(self, start: State, stages: dict[int, State], num_epochs: int) -> None:
        self.states = [start, *stages.values()]
        self.shares = [0.0, *(epochs / num_epochs for epochs in stages)]

    @property
    def marks(self) -> list[float]:
        """Shares that are looked at in any case: ends, and the middle before each."""
        pairs = zip(self.shares, self.shares[1:], strict=False)
        return [mark for a, b in pairs for mark in ((a + b) / 2, b)]

    def at(self, share: float) -> State:
        """Parameters at a share of the fine-tuning.

        :param share: between two ends, the straight line between them
        """
        for i, mark in enumerate(self.shares[1:], start=1):
            if share <= mark + 1e-9:
                before = self.shares[i - 1]
                along = (share - before) / (mark - before)
                return between(self.states[i - 1], self.states[i], along)
        return self.states[-1]
