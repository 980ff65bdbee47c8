"""Sudden transitions: an irrep's share that changes tenfold within a decade of epochs."""

from typing import Any

import pandas as pd

from .series import COLUMNS


FACTOR = 10.0
"""By how much a share must change, within as large a ratio of epochs."""

LEAST = 1e-3
"""The larger of the two shares must be of note."""


def transitions(characters: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """Find what has changed suddenly at the last epoch.

    Shares within two standard errors of zero are unknown and compared with nothing, nor is
    the untrained model, which is no decade away from anything; the residual is no irrep.
    What was told is not told again: a channel that goes on has to change by another factor.

    :param characters: of a series, all epochs up to the last one
    :param events: found before
    :return: new rows ``events`` of a series
    """
    if not len(characters):
        return pd.DataFrame(columns=COLUMNS["events"])
    table = characters[
        characters.chi_lambda.notna()
        & (characters.share > 2 * characters.stderr.fillna(0.0))
        & (characters.share > 0)
    ]
    last = int(characters.epoch.max())
    now = table[table.epoch == last].set_index(["probe", "channel"]).share
    told: Any = events.groupby(["probe", "channel"]).epoch.max() if len(events) else {}
    rows = []
    window = table[(table.epoch < last) & (table.epoch * FACTOR >= last)]
    key: Any
    for key, before in window.groupby(["probe", "channel"], sort=False):
        if key in now.index:
            recent = before[before.epoch >= told.get(key, 0)]
            rows += _sudden(key, recent, float(now[key]), last)
    return pd.DataFrame(rows, columns=COLUMNS["events"])


def _sudden(
    key: tuple[str, str], before: pd.DataFrame, share: float, epoch: int
) -> list[dict[str, object]]:
    """The largest change of one channel, if it is large enough."""
    if not len(before):
        return []
    shares, epochs = before.share.to_numpy(dtype=float), before.epoch.to_numpy()
    for sign, place in ((1, int(shares.argmin())), (-1, int(shares.argmax()))):
        old, first = float(shares[place]), int(epochs[place])
        factor = share / old
        if factor**sign >= FACTOR and max(share, old) >= LEAST:
            verb = "rose" if sign == 1 else "fell"
            text = (
                f"{key[0]}: the share of {key[1]} {verb} from {old:.1e} to {share:.1e} "
                f"between epochs {first} and {epoch}"
            )
            values = (epoch, first, *key, factor, text)
            return [dict(zip(COLUMNS["events"], values, strict=True))]
    return []
