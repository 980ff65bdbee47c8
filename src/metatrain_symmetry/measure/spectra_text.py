"""What the spectra say of an irrep, in words."""

import math
from typing import Any

import pandas as pd

from ..groups import Group, Irrep
from .labels import BlockKey
from .statuses import PRESENT


LEAST = 1e-4
"""What is smaller is only said to be so."""


class Spectra:
    """Spectra of layers and predictions.

    :param characters: as in :class:`~metatrain_symmetry.measure.results.Report`
    :param group: whose irreps they are resolved by
    """

    def __init__(self, characters: pd.DataFrame, group: Group) -> None:
        self.group = group
        self.layers = characters[characters.kind == "layer"]
        self.outputs = characters[characters.kind == "output"]

    @property
    def over(self) -> str:
        """What an average is taken over."""
        return "orientations" if self.group.orientations else self.group.name

    def _of(self, key: BlockKey) -> pd.DataFrame:
        rows = self.outputs
        for name, value in key.columns.items():
            rows = rows[rows[name] == value]
        return rows

    def _channels(self, irrep: Irrep) -> list[str]:
        """Labels of the irreps of the group that a value is made of."""
        return [str(own) for own in self.group.contained(irrep)]

    def absent(self, key: BlockKey) -> str:
        """Say that a prediction holds next to nothing of its own irrep.

        :param key: of its block
        :return: a clause; empty if it holds some, or if that is not known
        """
        rows, names = self._of(key), self._channels(key.irrep)
        own = rows[rows.channel.isin(names)]
        if own.empty or not bool(_below(own).all()):
            return ""
        verb = "makes up" if len(names) == 1 else "make up"
        return f"{_listed(names)} {verb} {at_most(_together(own))} of the prediction"

    def lacking(self, irrep: Irrep) -> str:
        """Say that no layer holds an irrep.

        :param irrep: what to look for
        :return: a clause; empty if one does, if that is not known, or if no layer was
            measured
        """
        names = self._channels(irrep)
        rows = self.layers[self.layers.channel.isin(names)]
        if rows.empty or not bool(_below(rows).all()):
            return ""
        held = self._held()
        return f"no layer holds more than {percent(PRESENT)} of {_listed(names)}: {held}"

    def sentence(self, key: BlockKey) -> str:
        """Say what a prediction is made of, and where its irrep first appears.

        :param key: of its block
        :return: a sentence
        """
        rows, irrep, names = self._of(key), key.irrep, self._channels(key.irrep)
        if rows.empty:  # not measured, or zero
            return ""
        own = rows[rows.channel.isin(names)]
        if own.empty:
            return (
                "Its spectrum was not measured up to its own λ: use --lambda-max "
                f"{irrep.o3_lambda} or more."
            )
        text = f"Of the prediction, {at_most(_together(own))} is {_listed(names)}"
        others = rows[~rows.channel.isin([*names, "residual"])]
        # what is within its error bar may be nothing
        others = others[(others.share > PRESENT) & ~(others.share <= 2 * others.stderr)]
        if len(others):
            largest: Any = others.iloc[int(others.share.argmax())]
            text += f", the largest other part is {largest.channel} ({at_most(largest)})"
        # scalars and vectors are in the input of any network
        common = irrep in (Irrep(0), Irrep(1)) or not self.group.orientations
        where = None if common else self._first(irrep)
        return (
            f"{text}; among the layers, {irrep} first appears in {where}."
            if where
            else f"{text}."
        )

    def _first(self, irrep: Irrep) -> str | None:
        """Name of the first layer, in network order, that holds an irrep."""
        found = _present(self.layers[self.layers.channel == str(irrep)])
        if found.empty:
            return None
        first: Any = found.iloc[0]
        group = f" [{first.group}]" if first.group else ""
        return f"{first.probe}{group} ({percent(first.share)})"

    def _held(self) -> str:
        """What the geometry embedding holds, or the last layer where it was not probed."""
        embedding = self.layers[self.layers.group == "GE"]
        name = "the geometry embedding"
        if embedding.empty:
            last = self.layers.probe.iloc[-1]
            embedding, name = self.layers[self.layers.probe == last], str(last)
        found = _present(embedding[embedding.channel != "residual"])
        return f"{name} holds only {','.join(dict.fromkeys(found.channel))}"


def _listed(names: list[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _together(rows: pd.DataFrame) -> Any:
    """Share of several channels of one probe, and its error bar."""
    if len(rows) == 1:
        return rows.iloc[0]
    stderr = float((rows.stderr.to_numpy(dtype=float) ** 2).sum() ** 0.5)
    return pd.Series({"share": float(rows.share.sum()), "stderr": stderr})


def _present(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose share is there beyond doubt."""
    # without an error bar the comparison is false
    return rows[(rows.share > PRESENT) & (rows.share > 2 * rows.stderr)]


def _below(rows: pd.DataFrame) -> pd.Series:
    """Whether a share is small beyond doubt, row by row."""
    return rows.share.clip(lower=0) + 2 * rows.stderr < PRESENT


def at_most(row: Any) -> str:
    """A share in words: where it is not above two error bars, what it is below.

    :param row: with ``share`` and ``stderr``
    :return: such as ``12 ± 2 %``, ``less than 0.1 %`` or ``12 % (no error bar)``
    """
    if math.isnan(row.stderr):
        return f"{percent(row.share)} (no error bar)"
    bound = max(row.share, 0) + 2 * row.stderr
    if bound < LEAST:
        return percent(LEAST / 2)
    if row.share > 2 * row.stderr:
        if row.stderr > 0.005 * row.share:
            # one digit of the error bar, never as a power of ten
            error = float(f"{100 * row.stderr:.1g}")
            return f"{100 * row.share:.{2 if row.share < 0.995 else 3}g} ± {error:g} %"
        return percent(row.share)
    if bound >= 1:
        return "an unknown part (the error bar is too large)"
    return f"less than {percent(bound)}"


def percent(share: float) -> str:
    """Per cent, with digits that say something.

    :param share: 1 is everything
    :return: such as ``2.3 %``
    """
    value = 100 * share
    if 99.9 < value < 99.9995:
        return f"{value:.3f} %"
    if 0 < share < LEAST:
        return f"less than {100 * LEAST:g} %"
    return f"{value:.2g} %" if abs(value) < 99.5 else f"{value:.0f} %"
