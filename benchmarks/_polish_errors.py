"""A and RMSE of two models on the same structures, and how sure their ratios are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from metatrain_symmetry.data.labelled import LabelledStructure
from metatrain_symmetry.finetune.errors import errors, per_atom
from metatrain_symmetry.finetune.tables import labels
from metatrain_symmetry.groups import representation
from metatrain_symmetry.groups.design import GroupOrbit, GroupPoints, Name
from metatrain_symmetry.groups.frames import Frame, random_frame
from metatrain_symmetry.models.engine import Block, Engine
from metatrain_symmetry.models.sweep import sweep


MEMORY = 2**31
FRAMES = 3
"""Random orientations from which the averaged model is looked at, each with its inverse."""

RESAMPLES = 2000

Sums = dict[Block, np.ndarray]
"""For each block ``(structures, 3)``: sums of A², of the squared error, and of numbers."""


@dataclass(frozen=True)
class _Framed(GroupPoints):
    """A finite group in the frame of one structure, the same for all models."""

    number: int = 0

    def orbit(self, limit: int, frame: Frame | None = None) -> GroupOrbit:
        """Make the orbit; the frame that is given is not used."""
        return super().orbit(limit, random_frame(self.number))


def measured(
    engine: Engine, data: Sequence[LabelledStructure], whole: frozenset[str]
) -> Sums:
    """Evaluate a model over 120 rotations and inversions of every structure.

    :param engine: of the model
    :param data: structures with targets
    :param whole: per-structure targets that do not count per atom
    :return: structure by structure
    """
    found: Sums = {}
    for number, one in enumerate(data):
        points = _Framed("I", True, number)
        for block, error in errors(engine, [one], points, whole, MEMORY).items():
            known = int(one.bare_targets[block].isfinite().sum())
            rows = found.setdefault(block, np.zeros((len(data), 3)))
            rows[number] = known * np.array([error.A**2, error.rmse**2, 1])
    return found


def averaged(
    engine: Engine,
    data: Sequence[LabelledStructure],
    whole: frozenset[str],
    group: Name = "I",
) -> tuple[Sums, Sums]:
    """Evaluate a model that is averaged at inference over a finite group.

    The average over its rotations, seen from orientation h, is the mean over the orbit
    ``g h x``. It knows nothing of inversions, so that the average over them too is given.

    :param engine: of the model
    :param data: structures with targets
    :param whole: per-structure targets that do not count per atom
    :param group: of rotations, such as ``I`` or ``O``
    :return: sums without and with inversions
    """
    found: tuple[Sums, Sums] = {}, {}
    for number, one in enumerate(data):
        for block, values in _averages(engine, one, number, group).items():
            atoms = one.structure.n_atoms if per_atom(block, whole) else 1
            squares = squares_of(values / atoms, one.bare_targets[block] / atoms)
            for sums, row in zip(found, squares, strict=True):
                sums.setdefault(block, np.zeros((len(data), 3)))[number] = row
    return found


def _averages(
    engine: Engine, one: LabelledStructure, number: int, name: Name
) -> dict[Block, torch.Tensor]:
    """Means over orbits, rotated back, ``(frames, 2, samples, components, properties)``."""
    blocks = [block for block in engine.blocks if block in one.bare_targets]
    group = GroupPoints(name, False).orbit(0).matrices
    draws = Rotation.random(FRAMES, rng=np.random.default_rng(number)).as_matrix()
    means: dict[Block, list[torch.Tensor]] = {block: [] for block in blocks}
    for h in (s * torch.from_numpy(draw) for draw in draws for s in (1, -1)):
        matrices = group @ h
        parts: dict[Block, list[torch.Tensor]] = {block: [] for block in blocks}
        for _, values in sweep(engine, one.structure, matrices, blocks, [], MEMORY):
            for block, part in values.targets.items():
                parts[block].append(part.detach().cpu().to(torch.float64))
        for block, found in parts.items():
            rho = representation(block.irrep, matrices)
            back = torch.einsum("gmn,gsmp->gsnp", rho, torch.cat(found))
            means[block].append(back.mean(dim=0))
    return {
        block: torch.stack(found).unflatten(0, (FRAMES, 2))
        for block, found in means.items()
    }


def squares_of(values: torch.Tensor, target: torch.Tensor) -> list[np.ndarray]:
    """A² and squared error of an averaged model from a few orientations of it.

    What is even under inversion scatters over frames, by its unbiased variance. What is odd
    is an error in itself, unless inversions are averaged over too.

    :param values: predictions rotated back, ``(frames, 2, ...)``, the second of the pairs
        for the inverted structure
    :param target: ``(...)``, NaN where there is none
    :return: sums of A², of the squared error and of numbers: of the average over rotations,
        and of that over rotations and inversions
    """
    known = target.isfinite()
    even, odd = values.mean(dim=1), (values[:, 0] - values[:, 1]) / 2
    scatter = even.var(dim=0)
    cases = (
        (scatter + odd.square().mean(dim=0), (values - target).square().mean(dim=(0, 1))),
        (scatter, (even - target).square().mean(dim=0)),
    )
    count = float(known.sum())
    return [
        np.array([float(A2[known].sum()), float(error2[known].sum()), count])
        for A2, error2 in cases
    ]


def table(sums: Sums, whole: frozenset[str]) -> list[dict[str, Any]]:
    """A, RMSE and A²/RMSE² of every target, irrep and gradient.

    :param sums: of a model
    :param whole: per-structure targets that do not count per atom
    :return: rows for the results file
    """
    rows = []
    for block, values in sums.items():
        A2, error2, count = values.sum(axis=0)
        names = labels(block, "", whole)
        del names["state"]
        found = {"A": (A2 / count) ** 0.5, "rmse": (error2 / count) ** 0.5}
        found["asymmetric"] = A2 / error2 if error2 > 0 else float("nan")
        found["structures"] = int((values[:, 2] > 0).sum())
        rows.append({**names, **found})
    return rows


def compared(before: Sums, after: Sums, whole: frozenset[str]) -> list[dict[str, Any]]:
    """Changes of A and RMSE, with 95 % intervals.

    :param before: of one model
    :param after: of another, on the same structures
    :param whole: per-structure targets that do not count per atom
    :return: rows of :func:`table` of both, ``A_ratio`` (before over after) and
        ``rmse_change`` (a share), each with an interval
    """
    rows = []
    for old, new, block in zip(
        table(before, whole), table(after, whole), before, strict=True
    ):
        row = {key: value for key, value in old.items() if key not in VALUES}
        for key in VALUES:
            row |= {f"{key}_before": old[key], f"{key}_after": new[key]}
        rows.append({**row, **ratios(before[block], after[block])})
    return rows


VALUES = ("A", "rmse", "asymmetric")


def ratios(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """Ratio of A and change of the RMSE, with a paired bootstrap over structures.

    :param before: ``(structures, 3)``, see :data:`Sums`
    :param after: the same structures
    :raises ValueError: if the labels are not the same
    :return: estimates, and 95 % intervals by percentiles
    """
    if not np.array_equal(before[:, 2], after[:, 2]):
        raise ValueError("the two models were evaluated on other labels: give the same")
    known = before[:, 2] > 0
    before, after = before[known], after[known]
    draws = np.random.default_rng(0).integers(0, len(before), (RESAMPLES, len(before)))
    found: dict[str, Any] = {}
    for name, column, invert in (("A_ratio", 0, True), ("rmse_change", 1, False)):
        old, new = before[:, column], after[:, column]
        pair = (old, new) if invert else (new, old)
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = np.sqrt(pair[0].sum() / pair[1].sum())
            each = np.sqrt(pair[0][draws].sum(axis=1) / pair[1][draws].sum(axis=1))
        shift = 0 if invert else 1
        found[name] = float(whole) - shift
        found[f"{name}_interval"] = (np.percentile(each, [2.5, 97.5]) - shift).tolist()
    return found
