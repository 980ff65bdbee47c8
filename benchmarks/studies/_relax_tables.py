"""Tables of the relaxation study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.studies._relax import TOLERANCES
from benchmarks.studies._relax_calculators import BARE, CONTROLS, WRAPPERS
from metatrain_symmetry.io import write_text


TITLES = {"built": "as built", "rotated": "rotated at random"}

ORDER = [*WRAPPERS, *CONTROLS]


def tables(records: list[dict[str, Any]], output: Path) -> dict[str, Any]:
    """Write ``relaxations.csv`` and ``phonons.csv``.

    :param records: one for each relaxation
    :param output: folder that exists
    :return: the summary: shares, evaluations and splittings by calculator and orientation
    """
    flat = pd.DataFrame([_row(record) for record in records])
    rank = {name: index for index, name in enumerate(ORDER)}
    flat = flat.sort_values(
        ["orientation", "calculator", "structure"],
        key=lambda column: column.map(rank) if column.name == "calculator" else column,
    )
    write_text(output / "relaxations.csv", flat.to_csv(index=False, float_format="%.6g"))
    modes = pd.DataFrame([row for record in records for row in _modes(record)])
    if len(modes):
        modes = modes.sort_values(["orientation", "calculator", "structure", "symmetry"])
        write_text(output / "phonons.csv", modes.to_csv(index=False, float_format="%.6g"))
    found = {"relaxations": _shares(flat), "phonons": _splittings(modes)}
    write_text(output / "table.md", markdown(**found))
    return found


def markdown(relaxations: list[dict[str, Any]], phonons: list[dict[str, Any]]) -> str:
    """The summary as a table for people.

    :param relaxations: rows of the summary
    :param phonons: rows of the summary
    """
    splittings = {
        (row["orientation"], row["calculator"], row["symmetry"]): row for row in phonons
    }
    lines = [
        "| crystals | calculator | lost at 1e-5 Å | lost at 1e-2 Å | gained at 1e-2 Å | "
        "converged | evaluations, median | energy above bare (meV/atom), median | "
        "splitting at Γ (1/cm), median: without and with phonopy's symmetry |",
        "|---|---|" + "---:|" * 7,
    ]
    for row in relaxations:
        key = row["orientation"], row["calculator"]
        split = [splittings.get((*key, used), {}) for used in ("not used", "used")]
        cells = [
            TITLES[key[0]], key[1],
            *(f"{row[name]} of {row['count']}" for name in
              ("lost at 1e-05", "lost at 0.01", "gained at 0.01", "converged")),
            f"{row['median evaluations']:.0f}",
            _digits(row.get("median energy above bare (meV/atom)"), ".0f"),
            ", ".join(_digits(s.get("median splitting (1/cm)"), ".2g") for s in split),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _digits(value: float | None, digits: str) -> str:
    return "-" if value is None else format(value, digits)


def _row(record: dict[str, Any]) -> dict[str, Any]:
    names = ("structure", "group", "atoms", "orientation", "calculator", "end", "steps",
             "evaluations", "energy", "deviation", "process_s")  # fmt: skip
    row = {name: record[name] for name in names}
    for symprec in (f"{tolerance:g}" for tolerance in TOLERANCES):
        row[f"group at {symprec}"] = record["groups"][symprec]
        row[f"fate at {symprec}"] = record["fate"][symprec]
    return row


def _modes(record: dict[str, Any]) -> list[dict[str, Any]]:
    names = ("structure", "orientation", "calculator")
    return [
        {**{name: record[name] for name in names}, "symmetry": label, **record[kind]}
        for kind, label in (("reduced", "used"), ("whole", "not used"))
        if kind in record
    ]


def _shares(flat: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the table that people read; energies against the bare model."""
    bare = flat[flat.calculator == BARE].set_index(["orientation", "structure"]).energy
    rows = []
    for (orientation, calculator), own in flat.groupby(
        ["orientation", "calculator"], sort=False
    ):
        row = {"orientation": orientation, "calculator": calculator, "count": len(own)}
        row["converged"] = int((own.end == "converged").sum())
        for symprec in (f"{tolerance:g}" for tolerance in TOLERANCES):
            for what in ("lost", "gained"):
                row[f"{what} at {symprec}"] = int((own[f"fate at {symprec}"] == what).sum())
        row["median steps"] = float(own.steps.median())
        row["median evaluations"] = float(own.evaluations.median())
        row["total evaluations"] = int(own.evaluations.sum())
        row["process_s"] = round(float(own.process_s.sum()), 1)
        if len(bare) and calculator not in CONTROLS:
            key = pd.MultiIndex.from_frame(own[["orientation", "structure"]])
            above = (own.energy.to_numpy() - bare.reindex(key).to_numpy()) / own.atoms
            row["median energy above bare (meV/atom)"] = round(1e3 * above.median(), 3)
        rows.append(row)
    return rows


def _splittings(modes: pd.DataFrame) -> list[dict[str, Any]]:
    if not len(modes):
        return []
    rows = []
    for keys, own in modes.groupby(["orientation", "calculator", "symmetry"]):
        row = dict(zip(("orientation", "calculator", "symmetry"), keys, strict=True))
        row["count"] = len(own)
        row["median splitting (1/cm)"] = round(float(own.splitting.median()), 4)
        row["largest splitting (1/cm)"] = round(float(own.splitting.max()), 4)
        rows.append(row)
    return rows
