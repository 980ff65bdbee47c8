"""Sudden transitions: an irrep's share that changes tenfold within few epochs."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from .series import COLUMNS


FACTOR = 10.0
"""By how much a share must change."""

WINDOW = 4.0
"""Within what ratio of completed epochs."""

LEAST, LEAST_PSEUDO = 0.1, 0.01
"""The larger of the two shares must be of note: pseudo irreps are small by nature."""

PARTNER = 0.1
"""Change of another irrep's share that is named beside it."""

NAMED = 4
"""Irreps in one sentence."""

WORDS = {"(0,+)": "scalar", "(1,+)": "vector", "(0,-)": "pseudoscalar",
         "(1,-)": "pseudovector"}  # fmt: skip


@dataclass
class _Change:
    """A share at two epochs."""

    channel: str
    pseudo: bool
    first: int
    old: float
    new: float

    @property
    def sudden(self) -> bool:
        small, large = sorted((self.old, self.new))
        return large >= max(FACTOR * small, LEAST_PSEUDO if self.pseudo else LEAST)

    def words(self) -> str:
        verb = "rose" if self.new > self.old else "fell"
        name = " ".join(filter(None, (WORDS.get(self.channel, ""), self.channel)))
        return f"{name} {verb} from {_share(self.old)} to {_share(self.new)}"


def transitions(characters: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """Find what has changed suddenly at the last epoch.

    Shares within two standard errors of zero, or without an error bar, are unknown and
    compared with nothing, nor is the untrained model, which is no ratio of epochs away from
    anything; the residual is no irrep. What was reported is not reported again: a channel
    that goes on has to change by another factor.

    :param characters: of a series, all epochs up to the last one
    :param events: found before
    :return: new rows ``events`` of a series; those of one probe share a ``text``, and
        irreps whose share changed by a tenth of the whole meanwhile are among them
    """
    if not len(characters):
        return pd.DataFrame(columns=COLUMNS["events"])
    last = int(characters.epoch.max())
    near = (characters.epoch * WINDOW >= last) & (characters.epoch > 0)
    # no error bar: the comparison is false
    known = (characters.share > 2 * characters.stderr) & (characters.share > 0)
    table = characters[near & known & characters.chi_lambda.notna()]
    if not (table.epoch == last).any():
        return pd.DataFrame(columns=COLUMNS["events"])
    reported: Any = events.groupby(["probe", "channel"]).epoch.max() if len(events) else {}
    rows: list[dict[str, object]] = []
    for probe, own in table.groupby("probe", sort=False):
        rows += _of_probe(str(probe), own, last, reported)
    return pd.DataFrame(rows, columns=COLUMNS["events"])


def _of_probe(
    probe: str, table: pd.DataFrame, last: int, reported: Any
) -> list[dict[str, object]]:
    """What has changed in one probe."""
    shares = table.pivot_table(index="epoch", columns="channel", values="share", sort=True)
    if last not in shares.index:
        return []
    pseudo = set(table.channel[table.chi_sigma == -1])
    changes = []
    for channel in shares.columns:
        recent = shares[channel].loc[reported.get((probe, channel), 0) :].dropna()
        if len(recent) > 1 and recent.index[-1] == last:
            changes.append(_largest(str(channel), channel in pseudo, recent))
    sudden = [change for change in changes if change.sudden]
    if not sudden:
        return []
    sudden.sort(key=lambda change: -max(change.old, change.new))
    changes = sudden + _partners(sudden, shares, pseudo, last)
    text = _sentence(probe, changes, last)
    return [
        dict(
            zip(
                COLUMNS["events"],
                (last, c.first, probe, c.channel, c.new / c.old, text),
                strict=True,
            )
        )
        for c in changes
    ]


def _largest(channel: str, pseudo: bool, shares: pd.Series) -> _Change:
    """The largest change up to the last epoch, up or down."""
    values = shares.to_numpy(dtype=float)
    before, new = values[:-1], float(values[-1])
    low, high = int(before.argmin()), int(before.argmax())
    place = low if new / before[low] >= before[high] / new else high
    return _Change(channel, pseudo, int(shares.index[place]), float(before[place]), new)


def _partners(
    sudden: list[_Change], shares: pd.DataFrame, pseudo: set[str], last: int
) -> list[_Change]:
    """What changed places with the irreps that changed suddenly."""
    first = sudden[0].first
    named = [change.channel for change in sudden]
    table = shares.loc[[first, last], shares.columns.difference(named)].dropna(axis=1)
    pairs = table.to_numpy(dtype=float).T
    return [
        _Change(str(channel), channel in pseudo, first, float(old), float(new))
        for channel, (old, new) in zip(table.columns, pairs, strict=True)
        if abs(new - old) >= PARTNER
    ]


def _sentence(probe: str, changes: list[_Change], last: int) -> str:
    """Name what changed."""
    parts = [change.words() for change in changes[:NAMED]]
    if len(changes) > NAMED:
        others = ", ".join(change.channel for change in changes[NAMED:])
        parts.append(f"and {others} changed too")
    begin = min(change.first for change in changes[:NAMED])
    return f"{probe}: {', '.join(parts)} between epochs {begin} and {last}"


def _share(value: float) -> str:
    """A share in percent."""
    percent = 100 * value
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"
