"""A and errors of one measurement, over the same structures.

Energies of structures are reported per atom, as metatrain does: A, errors and sizes of each
structure are divided by its number of atoms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch

from ..data.labelled import LabelledStructure
from ..groups import Irrep
from ..models.engine import Block, Engine
from .equivariance import Equivariance
from .errors import widening
from .labels import BlockKey


NAN = float("nan")
ENERGIES = ("ev", "mev", "hartree", "ha", "ry", "rydberg", "kcal/mol", "kj/mol")


def equivariance_rows(
    engine: Engine,
    subjects: Sequence[LabelledStructure],
    found: Sequence[Mapping[Block, Equivariance]],
    values: Sequence[dict[Block, torch.Tensor]],
) -> pd.DataFrame:
    """A and errors of the same structures; errors of all watched ones beside them.

    :param engine: whose blocks are reported
    :param subjects: the structures
    :param found: A of the blocks of the first of them
    :param values: predictions without composition in the given frame, for each structure
    :return: see :class:`~metatrain_symmetry.measure.series.Series`, without the epoch
    """
    rows = []
    for block in engine.blocks:
        parts = {i: one[block] for i, one in enumerate(found) if block in one}
        if not parts:
            continue
        about = _Errors(block, subjects, values)
        A, stderr = _root_mean([(p, about.scales[i]) for i, p in parts.items()])
        # a ratio is one of numbers about the same structures
        complete = all(i in about.known for i in parts)
        rmse, ratio = about.over(list(parts) if complete else [])
        whole, whole_ratio = about.over(about.known)
        rows.append(
            {
                **BlockKey(block.target, block.detail, block.irrep).columns,
                "sample_kind": block.sample_kind,
                "per_atom": is_energy(block),
                "unit": block.unit + "/atom" * is_energy(block),
                "A": A,
                "A_stderr": stderr,
                "rmse": rmse,
                "A_over_rmse": A / rmse if rmse > 0 else NAN,
                "norm_ratio": ratio,
                "n_structures": len(parts),
                "rmse_all": whole,
                "norm_ratio_all": whole_ratio,
                "n_all": len(about.known),
            }
        )
    return pd.DataFrame(rows)


def is_energy(block: Block) -> bool:
    """Whether a block is an energy of a structure.

    :param block: of a target
    """
    scalar = block.sample_kind == "system" and block.irrep == Irrep(0)
    return scalar and block.unit.lower() in ENERGIES


@dataclass
class _Errors:
    """Errors of one block.

    :param block: the block
    :param subjects: the structures
    :param values: predictions, for each structure
    """

    block: Block
    subjects: Sequence[LabelledStructure]
    values: Sequence[dict[Block, torch.Tensor]]

    @property
    def known(self) -> list[int]:
        """Structures with a target and a prediction."""
        pairs = enumerate(zip(self.subjects, self.values, strict=True))
        return [
            i for i, (s, v) in pairs if self.block in s.bare_targets and self.block in v
        ]

    @property
    def scales(self) -> list[float]:
        """Factor of each structure."""
        per_atom = is_energy(self.block)
        return [1 / s.structure.n_atoms if per_atom else 1.0 for s in self.subjects]

    def over(self, which: Sequence[int]) -> tuple[float, float]:
        """Root mean square error, and ratio of root mean squares; NaN without targets."""
        if not which:
            return NAN, NAN
        block, scales = self.block, self.scales
        value = torch.cat([scales[i] * self.values[i][block].flatten() for i in which])
        truth = torch.cat(
            [scales[i] * self.subjects[i].bare_targets[block].flatten() for i in which]
        )
        size = float(truth.square().mean().sqrt())
        rmse = float((value - truth).square().mean().sqrt())
        return rmse, float(value.square().mean().sqrt()) / size if size > 0 else NAN


def _root_mean(parts: Sequence[tuple[Equivariance, float]]) -> tuple[float, float]:
    """A over all samples of the structures, and its standard error.

    That of circles is their scatter, with as many degrees of freedom as there are circles
    beyond the first of each structure; that of a set is in its variance.
    """
    total = sum(part.squared.numel() for part, _ in parts)
    square, known, scatter, dof = 0.0, 0.0, 0.0, 0
    for part, scale in parts:
        weight = part.squared.numel() / total * scale**2
        square += weight * float(part.replicates.mean())
        n = len(part.replicates)
        if n > 1:
            scatter += weight**2 * float(part.replicates.var()) / n
            dof += n - 1
        else:
            known += weight**2 * part.variance
    variance = known + (scatter * widening(dof) ** 2 if dof else 0.0)
    A = max(square, 0.0) ** 0.5
    if A == 0.0:
        return A, variance**0.25 if variance > 0 else NAN
    return A, variance**0.5 / (2 * A)
