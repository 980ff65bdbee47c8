"""Tables of version 0.1, brought to the columns of today.

They named an output in one text, ``target[detail] (λ,σ)``, and told that something is given
per atom by its unit. This is the only place that still reads such names.
"""

import pandas as pd

from .labels import BLOCK


ADDED = {"detail", "sample_kind", "per_atom"}
"""Columns of a table of errors that version 0.1 did not have."""

TARGET = r"^(?P<target>[^\[]*)(?:\[(?P<detail>.*)\])?$"
PROBE = (
    r"^(?P<target>[^\[]*)(?:\[(?P<detail>.*)\])? "
    r"\((?P<o3_lambda>\d+),(?P<o3_sigma>[+-])\)$"
)


def with_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Add the columns that are missing from a table of version 0.1.

    :param table: as read; one of today's is returned as it is
    :return: with ``detail``, and whatever else belongs to a block
    """
    if "detail" in table or not len(table):
        return table
    if "channel" in table and "kind" in table:
        return _with_blocks(table)
    if "target" not in table:
        return table
    names = table.target.str.extract(TARGET)
    if "A" in table and "unit" in table:
        per_atom = table.unit.fillna("").str.endswith("/atom")
        if "unit_per_atom" in table:
            per_atom = table.unit_per_atom.fillna("").ne(table.unit.fillna(""))
        kind = per_atom.map({True: "system", False: ""})
        table = table.assign(per_atom=per_atom, sample_kind=kind)
    return table.assign(target=names.target, detail=names.detail.fillna(""))


def _with_blocks(characters: pd.DataFrame) -> pd.DataFrame:
    """The columns of the block of each output."""
    output = characters.kind == "output"
    found = characters.probe.where(output, "").str.extract(PROBE)
    found["o3_sigma"] = found.o3_sigma.map({"+": 1, "-": -1})
    found["o3_lambda"] = pd.to_numeric(found.o3_lambda)
    return characters.assign(**{name: found[name] for name in BLOCK})
