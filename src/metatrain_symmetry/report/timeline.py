"""Where epochs stand on a time axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Timeline:
    """A time axis: linear or as log(1 + epoch), which has room for epoch 0.

    :param epochs: measured epochs, ascending, ``(epochs,)``
    :param logarithmic: whether positions are ``log(1 + epoch)``
    """

    epochs: np.ndarray
    logarithmic: bool

    @classmethod
    def of(cls, epochs: Sequence[int]) -> "Timeline":
        """Choose the axis on which the narrowest cell is widest.

        :param epochs: measured epochs, ascending
        """
        found = np.asarray(epochs, dtype=float)
        if len(found) < 3:
            return cls(found, False)
        narrowest = [
            np.diff(places).min() / np.ptp(places) for places in (found, np.log1p(found))
        ]
        return cls(found, bool(narrowest[1] > narrowest[0]))

    @property
    def title(self) -> str:
        """Label of the axis."""
        return "completed epochs" + " (log scale)" * self.logarithmic

    def place(self, epochs: object) -> np.ndarray:
        """Positions on the axis.

        :param epochs: one or many
        :return: of the same shape
        """
        found = np.asarray(epochs, dtype=float)
        return np.log1p(found) if self.logarithmic else found

    @property
    def edges(self) -> np.ndarray:
        """Borders of the cells, halfway between neighbours, ``(epochs + 1,)``."""
        places = self.place(self.epochs)
        if len(places) < 2:
            return np.array([places[0] - 0.5, places[0] + 0.5])
        middles = (places[1:] + places[:-1]) / 2
        first, last = 2 * places[0] - middles[0], 2 * places[-1] - middles[-1]
        return np.array([first, *middles, last])

    def ticks(self, letter: float) -> list[int]:
        """Epochs to be labelled: round ones, or the first, the last and what fits.

        :param letter: width of a letter, as a fraction of the axis
        :return: measured epochs, ascending
        """
        epochs = [int(epoch) for epoch in self.epochs]
        # round numbers where there are enough of them
        for step in () if self.logarithmic else (1, 2, 5, 10, 20, 50, 100, 200, 500):
            chosen = [epoch for epoch in epochs if epoch % step == 0]
            if len(chosen) > 2 and all(self._apart(*p, letter) for p in pairwise(chosen)):
                return chosen
        kept, last = epochs[:1], epochs[1:][-1:]
        for epoch in epochs[1:-1]:
            if all(self._apart(a, epoch, letter) for a in (kept[-1], *last)):
                kept.append(epoch)
        return kept + last

    def _apart(self, a: int, b: int, letter: float) -> bool:
        """Whether there is room for two labels beside each other."""
        needed = letter * ((len(str(a)) + len(str(b))) / 2 + 1) * np.ptp(self.edges)
        return bool(abs(self.place(b) - self.place(a)) >= needed)
