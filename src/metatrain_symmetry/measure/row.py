"""What was measured of one block of one structure, and what follows from it."""

from dataclasses import dataclass
from typing import Any

import torch

from ..models.engine import Block
from ..models.irrep_blocks import grows
from .equivariance import Equivariance
from .labels import BlockKey


_VANISHING = 1e-2
"""Share of the largest prediction in a structure below which a value counts as zero."""

_LEFT = 0.05
"""What the smallest set of points leaves of A in the mean over orientations, at most."""


@dataclass
class Row:
    """One block of one structure.

    :param index: number of the structure
    :param n_atoms: number of its atoms or points
    :param types: their atomic types; empty where there are none
    :param block: the block
    :param found: its equivariance error
    :param difference: prediction minus target in the given orientation, float64,
        ``(samples, 2 λ + 1, properties)``; None without a target
    :param noise: A that rounding alone gives
    :param invariant: whether a value of the irrep can be the same in all orientations
    :param averaged: the same of the prediction averaged over orientations; None where
        it is not known
    :param sampling: scatter over random numbers that are not frozen; NaN where none are
        drawn
    """

    index: int
    n_atoms: int
    types: list[int]
    block: Block
    found: Equivariance
    difference: torch.Tensor | None
    noise: float
    invariant: bool
    averaged: torch.Tensor | None = None
    sampling: float = float("nan")

    @property
    def error(self) -> float:
        """Root mean square error per component, NaN without a target."""
        return _root_mean_square(self.difference)

    @property
    def error_averaged(self) -> float:
        """The same of the prediction averaged over orientations."""
        return _root_mean_square(self.averaged)

    @property
    def target(self) -> torch.Tensor | None:
        """Target without the composition baseline, None where it is not known."""
        if self.averaged is None or self.found.mean is None:
            return None
        return self.found.mean.cpu() - self.averaged

    @property
    def target_norm(self) -> float:
        """Root mean square of the target without the composition baseline."""
        return _root_mean_square(self.target)

    @property
    def per_atom(self) -> bool:
        """Whether the target grows with the structure, and is given per atom."""
        return grows(self.block.target, self.block.sample_kind)

    @property
    def scale(self) -> float:
        """What makes a value one per atom, for targets that grow with the structure."""
        return 1 / self.n_atoms if self.per_atom else 1.0

    @property
    def unit_per_atom(self) -> str:
        """Unit of what is given per atom."""
        return f"{self.block.unit or '1'}/atom" if self.per_atom else self.block.unit

    @property
    def labels(self) -> dict[str, Any]:
        """What names the block."""
        block = self.block
        key = BlockKey(block.target, block.detail, block.irrep)
        return {**key.columns, "sample_kind": block.sample_kind, "unit": block.unit}

    @property
    def forced_zero(self) -> int:
        """Number of samples at which symmetry itself makes the target zero.

        A lone atom has no direction of its own, so a per-atom target vanishes there
        unless its irrep holds the trivial one. Elsewhere (at a centre of inversion, for the
        deviatoric stress of a cubic crystal) both the target and the prediction averaged
        over orientations vanish, while the prediction in one orientation need not.
        """
        if self.invariant:
            return 0
        if self.block.sample_kind == "atom" and self.n_atoms == 1:
            return len(self.found.squared)
        target, mean = self.target, self.found.mean
        if target is None or mean is None:
            return 0
        size = self.found.norm2.mean(dim=1).sqrt()
        small = _VANISHING * size.max().expand_as(size)
        vanishes = _per_sample(target) <= small
        # the mean of n replicates is known to A / sqrt(n), that of one set much better
        n = len(self.found.replicates)
        scatter = self.found.per_sample * (2 / n**0.5 if n > 1 else _LEFT)
        vanishes &= _per_sample(mean.cpu()) <= torch.maximum(small, scatter)
        return int(vanishes.sum())


def _per_sample(values: torch.Tensor) -> torch.Tensor:
    """Root mean square of each sample."""
    return values.square().mean(dim=(1, 2)).sqrt()


def _root_mean_square(values: torch.Tensor | None) -> float:
    """Of all values, NaN if there are none."""
    return float("nan") if values is None else float(values.square().mean().sqrt())
