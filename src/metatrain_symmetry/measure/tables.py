"""Tidy tables of what was measured."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import torch

from ..models.engine import Block
from .averages import medians as medians
from .combine import Share
from .row import Row as Row


EQUIVARIANCE = [
    "structure", "target", "o3_lambda", "o3_sigma", "A", "A_stderr", "error",
    "error_averaged", "unit", "A_per_atom", "error_per_atom", "error_averaged_per_atom",
    "unit_per_atom", "norm", "target_norm", "noise", "atoms", "samples", "forced_zero",
]  # fmt: skip
ATOMS = [
    "structure", "atom", "atomic_type", "target", "o3_lambda", "o3_sigma",
    "A", "error", "unit",
]  # fmt: skip
CHARACTERS = [
    "probe", "chi_lambda", "chi_sigma", "B", "share", "stderr",
    "channel", "kind", "group", "estimator", "converged",
]  # fmt: skip


def equivariance_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One row per structure and block.

    :param rows: what was measured
    :return: see :class:`~metatrain_symmetry.measure.results.Report`
    """
    entries = []
    for row in rows:
        scale = row.scale
        entries.append(
            {
                "structure": row.index,
                **row.labels,
                "A": row.found.A,
                "A_stderr": row.found.A_stderr,
                "error": row.error,
                "error_averaged": row.error_averaged,
                "A_per_atom": row.found.A * scale,
                "error_per_atom": row.error * scale,
                "error_averaged_per_atom": row.error_averaged * scale,
                "unit_per_atom": row.unit_per_atom,
                "norm": row.found.norm,
                "target_norm": row.target_norm,
                "noise": row.noise,
                "atoms": row.structure.n_atoms,
                "samples": len(row.found.squared),
                "forced_zero": row.forced_zero,
            }
        )
    return pd.DataFrame(entries, columns=EQUIVARIANCE)


def atoms_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One row per atom, for per-atom targets that have all atoms as samples.

    :param rows: what was measured
    :return: see :class:`~metatrain_symmetry.measure.results.Report`
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
    :return: see :class:`~metatrain_symmetry.measure.results.Report`
    """
    entries = []
    for key, shares in found.items():
        layer = isinstance(key, str)
        rest = shares[-1]
        common = {
            "probe": key if isinstance(key, str) else f"{key.name} {key.irrep}",
            "kind": "layer" if layer else "output",
            "group": group_of(key) if isinstance(key, str) else "predictions",
            # without an error bar nothing is known: the comparison is false
            "converged": bool(max(rest.share, 0.0) + 2 * rest.stderr <= tolerance),
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
