"""The path of a fine-tuning: the penalty rises, and means are kept on the way.

With every weight of the penalty, accuracy and symmetry balance elsewhere. So the weight
rises geometrically, and one fine-tuning passes all balances in turn. The mean of the
parameters over each part of it (stochastic weight averaging, arXiv:1803.05407) is about
what would be reached at a small learning rate. The guard chooses among these means.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from metatrain.pet import PET
from torch.optim.optimizer import register_optimizer_step_post_hook

from ..io import recover, replacing
from ..training.penalty import Schedule
from .weights import State, between


PARTS = 10
"""Parts of a fine-tuning, each of which leaves a mean."""

RISE = 32.0
"""The last weight of the penalty over the first."""


class RisingWeight(Schedule):
    """The penalty of a fine-tuning: copies all along, a weight that rises."""

    @property
    def first(self) -> int:
        """The first epoch has copies."""
        return 0

    @property
    def weight(self) -> float:
        """Weight in the current epoch; the last one has that of the options."""
        share = (self.epoch + 1) / self.num_epochs
        return self.options["weight"] * RISE ** (share - 1)

    def describe(self) -> str:
        """Say in one line what will happen."""
        last = self.options["weight"]
        return (
            f"Symmetry penalty: {self.options['copies']} copies of each structure in a "
            f"batch, a weight that rises from {last / RISE:.2g} to {last:g}, as many "
            "evaluations as without it"
        )


def ends(num_epochs: int) -> list[int]:
    """Epochs that are completed at the end of each part.

    :param num_epochs: of the fine-tuning
    :return: at most :data:`PARTS` of them, the last one ``num_epochs``
    """
    count = min(PARTS, num_epochs)
    return [round(num_epochs * (i + 1) / count) for i in range(count)]


class Means:
    """Means of the parameters over the parts of a fine-tuning, in files.

    :param model: that is trained
    :param folder: for the files
    :param num_epochs: of the fine-tuning
    """

    def __init__(self, model: PET, folder: Path, num_epochs: int) -> None:
        self.folder, self.ends = folder, set(ends(num_epochs))
        self.parameters = dict(model.named_parameters())
        self.mean: State = {}
        self.count = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Look at the parameters after every step inside of this context."""
        handle = register_optimizer_step_post_hook(self._stepped)
        try:
            yield
        finally:
            handle.remove()

    def _stepped(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        known = {id(value) for value in self.parameters.values()}
        if id(optimizer.param_groups[0]["params"][0]) not in known:
            return
        self.count += 1
        with torch.no_grad():
            if self.count == 1:
                self.mean = {n: p.detach().clone() for n, p in self.parameters.items()}
            else:
                values = [p.detach() for p in self.parameters.values()]
                torch._foreach_lerp_([*self.mean.values()], values, 1 / self.count)

    def completed(self, epochs: int) -> None:
        """Write the mean if a part ends here.

        :param epochs: that are completed
        """
        if epochs not in self.ends or not self.count:
            return
        place = self.folder / f"mean_{epochs}.pt"
        recover(place)
        with replacing(place) as new:
            torch.save({n: v.cpu() for n, v in self.mean.items()}, new)
        self.mean, self.count = {}, 0


def read_means(folder: Path) -> dict[int, State]:
    """Means that a fine-tuning has left.

    :param folder: with the files
    :return: by the number of completed epochs, in their order
    """
    found = {int(p.stem.split("_")[1]): p for p in folder.glob("mean_*.pt")}
    return {
        epochs: torch.load(found[epochs], map_location="cpu") for epochs in sorted(found)
    }


class Way:
    """Weights along a fine-tuning: from the trained ones through all means.

    :param start: the trained parameters
    :param means: by the number of completed epochs
    :param num_epochs: of the fine-tuning
    """

    def __init__(self, start: State, means: dict[int, State], num_epochs: int) -> None:
        self.states = [start, *means.values()]
        self.shares = [0.0, *(epochs / num_epochs for epochs in means)]

    @property
    def marks(self) -> Sequence[float]:
        """Shares of the fine-tuning at which there is a mean."""
        return self.shares[1:]

    def at(self, share: float) -> State:
        """Parameters at a share of the fine-tuning.

        :param share: between two means, the straight line between them
        """
        for i, mark in enumerate(self.shares[1:], start=1):
            if share <= mark + 1e-9:
                before = self.shares[i - 1]
                along = (share - before) / (mark - before)
                return between(self.states[i - 1], self.states[i], along)
        return self.states[-1]
