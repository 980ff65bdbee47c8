"""Tidy tables of what was measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..groups import AnyIrrep
from ..models.engine import Block
from .averages import medians as medians
from .combine import Share
from .labels import BLOCK, BlockKey, block_label
from .row import Row as Row


EQUIVARIANCE = [
    "structure", *BLOCK, "sample_kind", "A", "A_stderr", "error", "error_averaged",
    "unit", "per_atom", "A_per_atom", "error_per_atom", "error_averaged_per_atom",
    "unit_per_atom", "norm", "target_norm", "noise", "atoms", "samples", "forced_zero",
]  # fmt: skip
SAMPLING = "sampling"
"""One more column, where a model draws random numbers."""
ATOMS = [
    "structure", "atom", "atomic_type", *BLOCK, "A", "error", "unit",
]  # fmt: skip
POINTS = ["structure", "point", *ATOMS[3:]]
"""Columns of the same table for clouds of points."""
AFTER_CHANNEL = [
    "B", "share", "stderr", "channel", "kind", "group", "estimator", "converged", *BLOCK,
]  # fmt: skip
CHARACTERS = ["probe", "chi_lambda", "chi_sigma", *AFTER_CHANNEL]
"""Columns for O(3); another group has the labels of its irreps in place of λ and σ."""

INTEGERS = ("chi_lambda", "chi_sigma", "chi_m", "o3_lambda", "o3_sigma")
"""Columns of integers some of which are not there: residuals, layers."""


def equivariance_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One row per structure and block.

    :param rows: what was measured
    :return: see :class:`~metatrain_symmetry.measure.results.Report`
    """
    drawn = [SAMPLING] if any(row.sampling >= 0 for row in rows) else []
    columns: dict[str, list[object]] = {name: [] for name in EQUIVARIANCE + drawn}
    for row in rows:
        entry = _entry(row)
        for name, column in columns.items():
            column.append(entry[name])
    return pd.DataFrame(columns)


def _entry(row: Row) -> dict[str, object]:
    """One row of the table, and perhaps more than it has columns."""
    scale = row.scale
    return {
        "structure": row.index,
        **row.labels,
        "A": row.found.A,
        "A_stderr": row.found.A_stderr,
        "error": row.error,
        "error_averaged": row.error_averaged,
        "per_atom": row.per_atom,
        "A_per_atom": row.found.A * scale,
        "error_per_atom": row.error * scale,
        "error_averaged_per_atom": row.error_averaged * scale,
        "unit_per_atom": row.unit_per_atom,
        "norm": row.found.norm,
        "target_norm": row.target_norm,
        "noise": row.noise,
        SAMPLING: row.sampling,
        "atoms": row.n_atoms,
        "samples": len(row.found.squared),
        "forced_zero": row.forced_zero,
    }


def atoms_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One row per atom or point, for targets that have all of them as samples.

    :param rows: what was measured
    :return: see :class:`~metatrain_symmetry.measure.results.Report`
    """
    points = any(row.block.sample_kind == "point" for row in rows)
    columns = POINTS if points else ATOMS
    parts: dict[str, list[np.ndarray]] = {name: [] for name in columns}
    for row in rows:
        if row.block.sample_kind in ("atom", "point") and (
            len(row.found.per_sample) == row.n_atoms
        ):
            entries = _entries_of_atoms(row)
            for name, several in parts.items():
                several.append(entries[name])
    if not parts["A"]:
        return pd.DataFrame(columns=columns)
    # column by column: what has been joined is let go
    return pd.DataFrame({name: np.concatenate(parts.pop(name)) for name in columns})


def _entries_of_atoms(row: Row) -> dict[str, np.ndarray]:
    """All atoms of one row, column by column."""
    A = row.found.per_sample
    errors = torch.full_like(A, float("nan"))
    if row.difference is not None:
        errors = row.difference.square().mean(dim=(1, 2)).sqrt()
    constant: dict[str, Any] = {"structure": row.index, **row.labels}
    found = {name: _repeated(value, len(A)) for name, value in constant.items()}
    found |= {"A": A.cpu().numpy(), "error": errors.cpu().numpy()}
    found |= dict.fromkeys(("atom", "point"), np.arange(len(A)))
    if row.types:
        found["atomic_type"] = np.array(row.types, dtype=np.int64)
    return found


def _repeated(value: Any, count: int) -> np.ndarray:
    """A column of one value, which text does not copy."""
    return np.full(count, value, dtype=object if isinstance(value, str) else None)


def characters_table(
    found: Mapping[Block | str, Sequence[Share]],
    irreps: Sequence[AnyIrrep],
    group_of: Callable[[str], str],
    tolerance: float,
) -> pd.DataFrame:
    """One row per probe and irrep, and one for its residual.

    :param found: shares of every probe, residual last
    :param irreps: all that were asked for, of which one or more
    :param group_of: name of the group of a layer
    :param tolerance: a probe has converged if its residual, two standard errors included,
        is not larger
    :return: see :class:`~metatrain_symmetry.measure.results.Report`
    """
    names = [f"chi_{name}" for name in irreps[0].labels]
    entries = []
    for key, shares in found.items():
        rest = shares[-1]
        common = {
            **(_of_layer(key, group_of) if isinstance(key, str) else _of_output(key)),
            # without an error bar nothing is known: the comparison is false
            "converged": bool(max(rest.share, 0.0) + 2 * rest.stderr <= tolerance),
        }
        for share in shares:
            labels = {} if share.irrep is None else share.irrep.labels
            entries.append(
                {
                    **common,
                    **{f"chi_{name}": value for name, value in labels.items()},
                    "B": share.B,
                    "share": share.share,
                    "stderr": share.stderr,
                    "channel": "residual" if share.irrep is None else str(share.irrep),
                    "estimator": share.estimator,
                }
            )
    return with_types(pd.DataFrame(entries, columns=["probe", *names, *AFTER_CHANNEL]))


def _of_layer(path: str, group_of: Callable[[str], str]) -> dict[str, object]:
    return {"probe": path, "kind": "layer", "group": group_of(path), "target": "",
            "detail": ""}  # fmt: skip


def _of_output(block: Block) -> dict[str, object]:
    label = block_label(block.target, block.detail, str(block.irrep))
    columns = BlockKey(block.target, block.detail, block.irrep).columns
    return {"probe": label, "kind": "output", "group": "predictions", **columns}


def with_types(table: pd.DataFrame) -> pd.DataFrame:
    """Give the columns of a table their types, as a CSV file does not know them.

    :param table: as read or made
    :return: integers that may be missing, texts that may be empty
    """
    integers = {name: "Int64" for name in INTEGERS if name in table}
    texts = {name: _text(table[name]) for name in ("target", "detail") if name in table}
    return table.assign(**texts).astype(integers)


def _text(column: pd.Series) -> pd.Series:
    """Texts, of which an empty one reads as missing."""
    return column.astype(object).where(column.notna(), "")
