"""Clouds of points as they are given: checked, as columns of which some rotate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...messages import quoted


@dataclass(frozen=True, eq=False)
class PointCloud:
    """A cloud of points with what is known of each.

    The columns that a module gets are positions, vectors, features, in this order.
    Rotations are about the origin of the positions.

    :param positions: ``(points, 3)``
    :param features: scalars of each point, ``(points, c)``
    :param vectors: vectors of each point, such as normals, ``(points, 3)`` or
        ``(points, k, 3)``; they rotate with the positions, and inversion changes their sign
    :raises ValueError: if the shapes do not agree, or if a number is not finite

    >>> import torch
    >>> from metatrain_symmetry import PointCloud
    >>> cloud = PointCloud(torch.rand(100, 3), features=torch.rand(100, 1))
    >>> len(cloud), cloud.columns.shape, cloud.starts
    (100, torch.Size([100, 4]), (0,))
    """

    positions: Any
    features: Any = None
    vectors: Any = None

    def __post_init__(self) -> None:
        _ = self.columns

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def columns(self) -> torch.Tensor:
        """All of it, ``(points, 3 + 3 k + c)``, float64."""
        parts = [_table(self.positions, "positions")]
        if parts[0].shape[1] != 3:
            raise ValueError(
                f"positions have the shape {tuple(parts[0].shape)}: give (points, 3)"
            )
        if self.vectors is not None:
            parts.append(_numbers(self.vectors, "vectors").flatten(1))
            if parts[-1].shape[1] % 3:
                raise ValueError(
                    f"vectors have {parts[-1].shape[1]} columns: give three for each"
                )
        if self.features is not None:
            parts.append(_table(self.features, "features"))
        if len({len(part) for part in parts}) > 1:
            sizes = ", ".join(str(len(part)) for part in parts)
            raise ValueError(
                f"positions, vectors and features are of {sizes} points: give a row for "
                "each point"
            )
        return torch.cat(parts, 1)

    @property
    def starts(self) -> tuple[int, ...]:
        """First columns of what rotates."""
        vectors = None if self.vectors is None else _numbers(self.vectors, "vectors")
        width = 0 if vectors is None else vectors.flatten(1).shape[1]
        return tuple(range(0, 3 + width, 3))


def columns_of(
    given: Any, vectors: Sequence[int] = (), name: str = "the cloud"
) -> tuple[torch.Tensor, tuple[int, ...]]:
    """A cloud as columns.

    :param given: a :class:`PointCloud`, or ``(points, 3 + c)``
    :param vectors: first columns of further vectors, for clouds that are no
        :class:`PointCloud`
    :param name: how messages call the cloud
    :raises ValueError: if it is no cloud, or if a column is not there
    :return: ``(points, columns)`` in float64, and the first columns of what rotates
    """
    if isinstance(given, PointCloud):
        return given.columns, given.starts
    try:
        columns = _table(given, "columns")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if columns.shape[1] < 3:
        raise ValueError(
            f"{name} has {columns.shape[1]} columns: give three or more, of which the "
            "first three are positions"
        )
    starts = (0, *vectors)
    for start in vectors:
        if start + 3 > columns.shape[1]:
            raise ValueError(
                f"{name} has {columns.shape[1]} columns, and a vector is said to start in "
                f"column {start}: give three columns for it, or leave it out of vectors"
            )
    return columns, starts


def checked_vectors(vectors: Any) -> tuple[int, ...]:
    """First columns of vectors.

    :param vectors: as given
    :raises ValueError: if they are none, or overlap
    :return: ascending
    """
    try:
        starts = sorted(vectors)
    except TypeError as error:
        raise ValueError(
            f"vectors are {quoted(vectors)}: give the first column of each, such as [3]"
        ) from error
    previous = 0
    for start in starts:
        whole = isinstance(start, int) and not isinstance(start, bool)
        if not whole or start < previous + 3:
            raise ValueError(
                f"vectors are {quoted(vectors)}: give the first column of each, three "
                "columns apart, from 3 on"
            )
        previous = start
    return tuple(starts)


def rotated(
    columns: torch.Tensor, starts: Sequence[int], matrices: torch.Tensor
) -> torch.Tensor:
    """Rotated copies of a cloud.

    :param columns: ``(points, columns)``
    :param starts: first columns of what rotates
    :param matrices: ``(n, 3, 3)``
    :return: ``(n, points, columns)``
    """
    copies = columns.expand(len(matrices), *columns.shape).clone()
    for start in starts:
        part = columns[:, start : start + 3]
        copies[:, :, start : start + 3] = part @ matrices.transpose(1, 2)
    return copies


def _table(given: Any, what: str) -> torch.Tensor:
    """Numbers with one row for each point."""
    values = _numbers(given, what)
    if values.ndim != 2:
        raise ValueError(
            f"{what} have the shape {tuple(values.shape)}: give a row for each point"
        )
    return values


def _numbers(given: Any, what: str) -> torch.Tensor:
    """Finite numbers of one point or more, float64."""
    try:
        if isinstance(given, torch.Tensor):
            values = given.detach().cpu().to(torch.float64)
        else:
            values = torch.from_numpy(np.array(given, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{quoted(given)} is no cloud of points: give a tensor of {what}"
        ) from error
    if not values.ndim or not len(values):
        raise ValueError(f"{what} are of no points: give one or more, or leave it out")
    if not values.isfinite().all():
        where = int((~values.isfinite()).flatten(1).any(1).nonzero()[0, 0])
        raise ValueError(f"{what} of point {where} are not finite: correct them")
    return values
