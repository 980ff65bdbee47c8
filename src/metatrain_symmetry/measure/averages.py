"""Averages over structures: numbers that belong together come from the same structures."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .labels import BLOCK, BlockKey
from .statuses import VANISHING


KEYS = [*BLOCK, "sample_kind", "per_atom"]
"""What belongs to a block, not to a structure."""

FEWEST = 4
"""Structures from whose scatter an error bar can be taken."""

DRAWS = 400
"""Repetitions from which the error of a median is known to 4 %."""

AVERAGES_TEXT = (
    "averages: root mean squares over all samples (atoms or structures), energies per "
    "atom; ratios are those of root mean squares over the structures with a target"
)
MEDIANS_TEXT = (
    "medians over the structures; 'ratio' is the median of A / error of each structure, "
    "not the ratio of the two medians"
)


def averages(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Root mean squares over the structures, for each block.

    :param table: ``equivariance`` of a report
    :return: one entry per output block: its columns, ``sample_kind``, ``per_atom``,
        ``unit``, ``A`` and ``A_stderr`` over all structures; over those with a target
        ``error``, ``error_averaged``, ``oriented`` (error on randomly oriented copies),
        ``ratio`` (A / error), ``asymmetric_share`` (A² / oriented²) and
        ``asymmetric_share_stderr``, ``norm_ratio`` (of the averaged prediction to the
        target), ``relative_error`` (averaged error to the norm of the target); ``norm``,
        ``noise``, ``sampling`` (over random numbers), ``structures``, ``labelled``
        (structures with a target), ``samples``, ``forced_zero`` (samples). NaN where
        unknown
    """
    groups = table.groupby(KEYS, sort=False)
    return [_entry(dict(zip(KEYS, key, strict=True)), rows) for key, rows in groups]


def vanishes(entry: dict[str, Any]) -> bool:
    """Whether a prediction is zero up to rounding.

    :param entry: of :func:`averages`
    :return: false where it is not known what rounding gives, unless all values are zero
    """
    return entry["norm"] == 0 or entry["norm"] <= VANISHING * entry["noise"]


def _entry(labels: dict[str, Any], rows: pd.DataFrame) -> dict[str, Any]:
    """One block."""
    known = rows[rows.error.notna()]
    averaged = rows[rows.error_averaged.notna()]
    error, A = _mean(known, "error_per_atom"), _mean(known, "A_per_atom")
    rest, asymmetry = (
        _mean(averaged, column) ** 2 for column in ("error_averaged_per_atom", "A_per_atom")
    )
    oriented = (rest + asymmetry) ** 0.5
    share = _over(asymmetry, oriented**2)
    size = _mean(averaged, "target_norm")
    mean = max(_mean(averaged, "norm") ** 2 - _mean(averaged, "A") ** 2, 0.0)
    relative = _over(2 * _stderr(averaged), asymmetry**0.5)
    total = _mean(rows, "A_per_atom")
    return {
        **labels,
        "unit": str(rows.unit_per_atom.fillna("").iloc[0]),
        "A": total,
        "A_stderr": _stderr(rows),
        "error": error,
        "error_averaged": rest**0.5,
        "oriented": oriented,
        "ratio": _over(A, error),
        "asymmetric_share": share,
        "asymmetric_share_stderr": share * (1 - share) * relative,
        "norm": _mean(rows.assign(norm=rows.norm * _scale(rows)), "norm"),
        "norm_ratio": _over(mean**0.5, size) if len(averaged) else float("nan"),
        "relative_error": _over(_mean(averaged, "error_averaged"), size),
        "noise": _mean(rows.assign(noise=rows.noise * _scale(rows)), "noise"),
        "sampling": _mean(rows, "sampling") if "sampling" in rows else float("nan"),
        "structures": int(rows.structure.nunique()),
        "labelled": int(known.structure.nunique()),
        "samples": int(rows["samples"].sum()),
        "forced_zero": int(rows.forced_zero.sum()),
    }


def _mean(rows: pd.DataFrame, column: str) -> float:
    """Root mean square over the samples of all rows, NaN without rows."""
    if not len(rows):
        return float("nan")
    squares = rows[column].to_numpy(dtype=float) ** 2
    return float(np.average(squares, weights=rows["samples"])) ** 0.5


def _scale(rows: pd.DataFrame) -> np.ndarray:
    """What makes values of each row ones per atom."""
    return np.where(
        rows.per_atom.to_numpy(dtype=bool), 1 / rows.atoms.to_numpy(dtype=float), 1.0
    )


def _stderr(rows: pd.DataFrame) -> float:
    """Standard error of the root mean square of A.

    Where that of a structure is missing, the scatter over structures takes its place: it
    holds their errors, and more. NaN where there are too few of them for that.
    """
    if not len(rows):
        return float("nan")
    weights = rows["samples"].to_numpy(dtype=float) / rows["samples"].sum()
    A = rows.A_per_atom.to_numpy(dtype=float)
    errors = 2 * A * rows.A_stderr.to_numpy(dtype=float) * _scale(rows)
    if np.isnan(errors).any():
        if len(rows) < FEWEST:
            return float("nan")
        mean = float((weights * A**2).sum())
        errors = (A**2 - mean) * (len(rows) / (len(rows) - 1)) ** 0.5
    variance = float(((weights * errors) ** 2).sum())
    return _over(variance**0.5, 2 * _mean(rows, "A_per_atom"))


def _over(value: float, size: float) -> float:
    """Ratio, NaN where there is none."""
    return value / size if size > 0 else float("nan")


def medians(
    table: pd.DataFrame, shared: Mapping[BlockKey, float] | None = None
) -> list[dict[str, Any]]:
    """Medians over structures, for each block.

    :param table: ``equivariance`` of a report
    :param shared: of each block the relative standard error of A² that all structures have
        in common, none where it is missing
    :return: one entry per target and irrep; see :data:`MEDIANS_TEXT` for ``ratio``.
        ``A_stderr`` and ``A_per_atom_stderr`` are those of the medians of these structures.
        None where unknown
    """
    table = table.assign(ratio=table.A / table.error)
    keys = [*KEYS, "unit", "unit_per_atom"]
    columns = [
        "A", "A_per_atom", "error", "error_per_atom", "error_averaged",
        "error_averaged_per_atom", "ratio", "noise",
    ]  # fmt: skip
    groups = table.groupby(keys, sort=False, dropna=False)
    middle = groups[columns].median().reset_index()
    errors = [_errors(rows, shared or {}) for _, rows in groups]
    return [
        {str(key): None if pd.isna(value) else value for key, value in entry.items()}
        for entry in middle.join(pd.DataFrame(errors)).to_dict("records")
    ]


def _errors(rows: pd.DataFrame, shared: Mapping[BlockKey, float]) -> dict[str, float]:
    """Standard errors of the medians of A of one block."""
    common = shared.get(BlockKey.of({name: rows[name].iloc[0] for name in BLOCK}), 0.0) / 2
    found = {}
    for column, scale in (("A", np.ones(len(rows))), ("A_per_atom", _scale(rows))):
        A, stderr = rows[column].to_numpy(float), rows.A_stderr.to_numpy(float) * scale
        own = error_of_median(A, stderr)
        found[f"{column}_stderr"] = float(np.hypot(own, common * np.median(A)))
    return found


def error_of_median(values: np.ndarray, errors: np.ndarray) -> float:
    """Standard error of a median whose values have independent errors.

    :param values: shape ``(n,)``
    :param errors: their standard errors, same shape
    :return: scatter of the median when each value is drawn again within its error, as if
        normal; NaN where an error is not known
    """
    if not np.isfinite(errors).all():
        return float("nan")
    random = np.random.default_rng(0)
    drawn = [
        np.median(values + errors * random.normal(size=len(values))) for _ in range(DRAWS)
    ]
    return float(np.std(drawn, ddof=1))
