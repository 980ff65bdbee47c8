"""Tidy tables of what was measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch

from ..orbit.engine import Block, Prepared
from ..orbit.outputs import is_stress
from .combine import Share
from .equivariance import Equivariance


EQUIVARIANCE = [
    "structure", "target", "o3_lambda", "o3_sigma", "A", "A_stderr", "error", "unit",
    "A_per_atom", "error_per_atom", "norm", "noise", "atoms",
]  # fmt: skip
ATOMS = [
    "structure", "atom", "atomic_type", "target", "o3_lambda", "o3_sigma",
    "A", "error", "unit",
]  # fmt: skip
CHARACTERS = [
    "probe", "chi_lambda", "chi_sigma", "B", "share", "stderr",
    "channel", "kind", "group", "estimator", "converged",
]  # fmt: skip


@dataclass
class Row:
    """One block of one structure.

    :param index: number of the structure
    :param structure: the structure
    :param block: the block
    :param found: its equivariance error
    :param difference: prediction minus target, ``(samples, 2 λ + 1, properties)``
    :param noise: A that rounding alone gives
    :param averaged: difference of the prediction averaged over orientations
    """

    index: int
    structure: Prepared
    block: Block
    found: Equivariance
    difference: torch.Tensor | None
    noise: float
    averaged: torch.Tensor | None = None

    @property
    def error(self) -> float:
        """Root mean square error per component, NaN without a target."""
        if self.difference is None:
            return float("nan")
        return float(self.difference.square().mean().sqrt())

    @property
    def labels(self) -> dict[str, Any]:
        """What names the block."""
        irrep = self.block.irrep
        return {
            "target": self.block.name,
            "o3_lambda": irrep.o3_lambda,
            "o3_sigma": irrep.o3_sigma,
            "unit": self.block.unit,
        }


def equivariance_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One row per structure and block.

    :param rows: what was measured
    :return: see :class:`~metatrain_symmetry.measure.report.Report`
    """
    entries = []
    for row in rows:
        n_atoms = row.structure.n_atoms
        # a stress is a property of the structure, but does not grow with it
        extensive = row.block.sample_kind == "system" and not is_stress(row.block.target)
        share = 1 / n_atoms if extensive else 1.0
        entries.append(
            {
                "structure": row.index,
                **row.labels,
                "A": row.found.A,
                "A_stderr": row.found.A_stderr,
                "error": row.error,
                "A_per_atom": row.found.A * share,
                "error_per_atom": row.error * share,
                "norm": row.found.norm,
                "noise": row.noise,
                "atoms": n_atoms,
            }
        )
    return pd.DataFrame(entries, columns=EQUIVARIANCE)


def atoms_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One row per atom, for per-atom targets that have all atoms as samples.

    :param rows: what was measured
    :return: see :class:`~metatrain_symmetry.measure.report.Report`
    """
    entries = []
    for row in rows:
        A = row.found.per_sample
        if row.block.sample_kind != "atom" or len(A) != row.structure.n_atoms:
            continue
        errors = torch.full_like(A, float("nan"))
        if row.difference is not None:
            errors = row.difference.square().mean(dim=(1, 2)).sqrt()
        types = row.structure.system.types.tolist()
        for atom, (atomic_type, a, e) in enumerate(
            zip(types, A.tolist(), errors.tolist(), strict=True)
        ):
            entry = {"structure": row.index, "atom": atom, "atomic_type": atomic_type}
            entries.append({**entry, **row.labels, "A": a, "error": e})
    return pd.DataFrame(entries, columns=ATOMS)


def characters_table(
    found: Mapping[Block | str, Sequence[Share]],
    group_of: Callable[[str], str],
    tolerance: float,
) -> pd.DataFrame:
    """One row per probe and irrep, and one for its residual.

    :param found: shares of every probe, residual last
    :param group_of: name of the group of a layer
    :param tolerance: a probe has converged if its residual, two standard errors included,
        is not larger
    :return: see :class:`~metatrain_symmetry.measure.report.Report`
    """
    entries = []
    for key, shares in found.items():
        layer = isinstance(key, str)
        rest = shares[-1]
        # an unknown error is no error of zero: nothing is established then
        most = max(rest.share, 0.0) + 2 * rest.stderr
        common = {
            "probe": key if isinstance(key, str) else f"{key.name} {key.irrep}",
            "kind": "layer" if layer else "output",
            "group": group_of(key) if isinstance(key, str) else "predictions",
            "converged": bool(most <= tolerance),
        }
        for share in shares:
            labels = {} if share.irrep is None else share.irrep.labels
            entries.append(
                {
                    **common,
                    "chi_lambda": labels.get("lambda"),
                    "chi_sigma": labels.get("sigma"),
                    "B": share.B,
                    "share": share.share,
                    "stderr": share.stderr,
                    "channel": "residual" if share.irrep is None else str(share.irrep),
                    "estimator": share.estimator,
                }
            )
    table = pd.DataFrame(entries, columns=CHARACTERS)
    return table.astype({"chi_lambda": "Int64", "chi_sigma": "Int64"})


def medians(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Medians over structures, for each block.

    :param table: as from :func:`equivariance_table`
    :return: one entry per target and irrep, ``ratio`` is the median of A / error
    """
    table = table.assign(ratio=table.A / table.error)
    keys = ["target", "o3_lambda", "o3_sigma", "unit"]
    columns = ["A", "A_per_atom", "error", "error_per_atom", "ratio", "noise"]
    middle = table.groupby(keys, sort=False)[columns].median().reset_index()
    entries = middle.astype(object).where(middle.notna(), None).to_dict("records")
    return [{str(key): value for key, value in entry.items()} for entry in entries]
