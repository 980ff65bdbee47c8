"""A series as arrays over epochs, and where the epochs stand on a time axis."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from ..groups.irreps import Irrep
from ..measure.series import Series
from .spectrum import GROUPS, LAST, RESIDUAL


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
        # round numbers where there are enough of them
        for step in () if self.logarithmic else (1, 2, 5, 10, 20, 50, 100, 200, 500):
            chosen = [int(epoch) for epoch in self.epochs if epoch % step == 0]
            if len(chosen) > 2 and all(
                self._apart(a, b, letter) for a, b in pairwise(chosen)
            ):
                return chosen
        first, *others = [int(epoch) for epoch in self.epochs]
        kept, last = [first], others[-1:]
        for epoch in others[:-1]:
            if all(self._apart(a, epoch, letter) for a in (kept[-1], *last)):
                kept.append(epoch)
        return kept + last

    def _apart(self, a: int, b: int, letter: float) -> bool:
        """Whether there is room for two labels beside each other."""
        needed = letter * ((len(str(a)) + len(str(b))) / 2 + 1) * np.ptp(self.edges)
        return bool(abs(self.place(b) - self.place(a)) >= needed)


@dataclass(frozen=True)
class History:
    """Shares of one probe along a training.

    :param probe: its name
    :param kind: ``output`` or ``layer``
    :param group: where in the network
    :param channels: proper irreps, pseudo irreps, and the residual if it was measured
    :param shares: ``(channels, epochs)``, NaN where not measured
    :param stderr: of the shares, NaN where unknown, ``(channels, epochs)``
    :param strength: ``B`` in squared units of the probe, ``(channels, epochs)``
    """

    probe: str
    kind: str
    group: str
    channels: tuple[str, ...]
    shares: np.ndarray
    stderr: np.ndarray
    strength: np.ndarray

    @property
    def below(self) -> np.ndarray:
        """Whether only an upper bound of a share is known, ``(channels, epochs)``."""
        return self.shares <= 2 * self.stderr

    @property
    def bare(self) -> np.ndarray:
        """Whether a share was measured but has no error bar, ``(channels, epochs)``."""
        return np.isfinite(self.shares) & ~np.isfinite(self.stderr)

    @property
    def bounds(self) -> np.ndarray:
        """Shares, or what they are below, ``(channels, epochs)``."""
        upper = np.maximum(self.shares, 0.0) + 2 * self.stderr
        return np.where(self.below, upper, self.shares)

    @property
    def degree(self) -> int:
        """The largest λ."""
        return sum(name.endswith("+)") for name in self.channels) - 1

    @property
    def needed(self) -> str:
        """Channel that a symmetric prediction would be made of; empty for a layer."""
        found = re.search(r"\(\d+,[+-]\)$", self.probe)
        return found[0] if found and self.kind == "output" else ""


@dataclass(frozen=True)
class Curve:
    """Errors of one block of a target along a training; all arrays are ``(epochs,)``.

    :param target: its name
    :param irrep: of the block
    :param unit: of A and RMSE
    :param epochs: measured
    :param A: equivariance error
    :param stderr: of A, NaN if unknown
    :param rmse: error of the model over the same structures, NaN without true values
    :param ratio: A over RMSE
    :param norm_ratio: size of the prediction over that of the target
    :param structures: over which A, RMSE and their ratio are taken
    :param rmse_all: error over all watched structures, NaN where it is not known
    :param n_all: how many these are
    """

    target: str
    irrep: Irrep
    unit: str
    epochs: np.ndarray
    A: np.ndarray
    stderr: np.ndarray
    rmse: np.ndarray
    ratio: np.ndarray
    norm_ratio: np.ndarray
    structures: np.ndarray
    rmse_all: np.ndarray
    n_all: np.ndarray

    @property
    def bound(self) -> np.ndarray:
        """Upper bound of A where it is within two standard errors of zero, else NaN."""
        return np.where(2 * self.stderr >= self.A, self.A + 2 * self.stderr, np.nan)

    @property
    def probe(self) -> str:
        """Name of the block among the probes."""
        return f"{self.target} {self.irrep}"

    @property
    def has_errors(self) -> bool:
        """Whether the error of the model is known anywhere."""
        return bool(np.isfinite(self.rmse).any())


def read_histories(series: Series, probe: str | None = None) -> list[History]:
    """Collect the shares of each probe, in the order of the network.

    :param series: what was measured
    :param probe: the only probe wanted
    :return: one history per probe; all have the same channels
    """
    table = series.characters
    if probe is not None:
        table = table[table["probe"] == probe]
    table = table.fillna({"kind": "", "group": ""})
    degrees = table["chi_lambda"].dropna()
    degree = int(degrees.max()) if len(degrees) else 0
    channels = [str(Irrep(d, sigma)) for sigma in (1, -1) for d in range(degree + 1)]
    channels += [RESIDUAL] if (table["channel"] == RESIDUAL).any() else []
    histories = []
    # a head may share its name with the output it makes
    for key, rows in table.groupby(["probe", "kind", "group"], sort=False):
        name, kind, group = map(str, key)
        arrays = [
            _arrange(rows, column, channels, series.epochs)
            for column in ("share", "stderr", "B")
        ]
        histories.append(History(name, kind, group or "other", tuple(channels), *arrays))
    found = list(dict.fromkeys(h.group for h in histories))
    order = [*GROUPS, *(g for g in found if g not in GROUPS and g != LAST), LAST]
    return sorted(histories, key=lambda h: order.index(h.group))


def _arrange(
    rows: pd.DataFrame, column: str, channels: list[str], epochs: list[int]
) -> np.ndarray:
    """A column of a tidy table as ``(channels, epochs)``."""
    array = np.full((len(channels), len(epochs)), math.nan)
    x = pd.Index(epochs).get_indexer(pd.Index(rows["epoch"].astype(int)))
    y = pd.Index(channels).get_indexer(pd.Index(rows["channel"]))
    known = (x >= 0) & (y >= 0)
    array[y[known], x[known]] = rows[column].to_numpy(dtype=float)[known]
    return array


def read_curves(series: Series) -> list[Curve]:
    """Collect the errors of each block of a target.

    :param series: what was measured
    :return: in the order of the table
    """
    curves = []
    columns = (
        "epoch", "A", "A_stderr", "rmse", "A_over_rmse", "norm_ratio", "n_structures",
        "rmse_all", "n_all",
    )  # fmt: skip
    keys = ["target", "o3_lambda", "o3_sigma"]
    for key, rows in series.equivariance.groupby(keys, sort=False):
        target, degree, sigma = map(str, key)
        ordered = rows.drop_duplicates("epoch", keep="last").sort_values("epoch")
        units = ordered["unit"].dropna()
        curves.append(
            Curve(
                target,
                Irrep(int(float(degree)), int(float(sigma))),
                str(units.iloc[0]) if len(units) else "",
                *(ordered[name].to_numpy(dtype=float) for name in columns),
            )
        )
    return curves


def curve_of(series: Series, history: History) -> Curve | None:
    """Find the errors that belong to an output.

    :param series: what was measured
    :param history: of a probe
    :return: nothing for a layer, or if no block goes by its name
    """
    if history.kind != "output":
        return None
    curves = read_curves(series)
    named = [c for c in curves if history.probe in (c.probe, c.target)]
    return named[0] if named else None
