"""What the table of equivariance errors says of each block, over the structures."""

from dataclasses import dataclass

import numpy as np

from ..groups.irreps import Irrep
from ..measure.results import Report


COLUMNS = ("A", "A_per_atom", "error", "error_per_atom", "norm", "noise", "atoms")
# reports of earlier versions lack them
NEWER = ("A_stderr", "error_averaged")


@dataclass(frozen=True)
class Block:
    """One irrep block of one target; one value per structure.

    :param target: its name
    :param irrep: of the block
    :param unit: of all values
    :param A: equivariance errors
    :param stderr: standard errors of A, NaN where unknown
    :param error: errors of the model in the given frame, NaN where unknown
    :param averaged: errors of its average over orientations, NaN where unknown
    :param norm: size of the prediction
    :param noise: what rounding alone makes of A
    """

    target: str
    irrep: Irrep
    unit: str
    A: np.ndarray
    stderr: np.ndarray
    error: np.ndarray
    averaged: np.ndarray
    norm: np.ndarray
    noise: np.ndarray

    @property
    def has_errors(self) -> bool:
        """Whether the error of the model is known anywhere."""
        return bool(np.isfinite(self.error).any())

    @property
    def ratio(self) -> np.ndarray:
        """A over the error, or over the norm without errors; may hold 0 and infinity."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.A / (self.error if self.has_errors else self.norm)
        return ratio[~np.isnan(ratio)]


def read_blocks(report: Report) -> list[Block]:
    """Collect the structures of each block; extensive targets per atom.

    :param report: what was measured
    :return: blocks in the order of the table
    """
    blocks = []
    keys = ["target", "o3_lambda", "o3_sigma"]
    for key, rows in report.equivariance.groupby(keys, sort=False):
        target, degree, sigma = map(str, key)
        columns = {name: rows[name].to_numpy(dtype=float) for name in COLUMNS}
        unknown = np.full(len(rows), np.nan)
        newer = {
            name: rows[name].to_numpy(dtype=float) if name in rows else unknown
            for name in NEWER
        }
        # a target per structure is one whose values were divided by the number of atoms
        shared = any(_divided(columns[n], columns[f"{n}_per_atom"]) for n in ("A", "error"))
        scale = columns["atoms"] if shared else 1.0
        units = rows["unit"].dropna()
        unit = str(units.iloc[0]) if len(units) else ""
        blocks.append(
            Block(
                target=target,
                irrep=Irrep(int(float(degree)), int(float(sigma))),
                unit=f"{unit or '1'}/atom" if shared else unit,
                A=columns["A_per_atom"],
                stderr=newer["A_stderr"] / scale,
                error=np.abs(columns["error_per_atom"]),
                averaged=np.abs(newer["error_averaged"]) / scale,
                norm=columns["norm"] / scale,
                noise=columns["noise"] / scale,
            )
        )
    return blocks


def _divided(whole: np.ndarray, part: np.ndarray) -> bool:
    """Whether some value was divided; zeros and unknown values cannot show it."""
    known = np.isfinite(whole) & (whole != 0)
    return bool((known & ~np.isclose(whole, part, rtol=1e-6, atol=0)).any())
