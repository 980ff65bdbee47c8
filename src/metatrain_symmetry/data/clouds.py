"""Clouds of points as they are given to a report: tensors, arrays, or lists of these."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..messages import quoted
from ..models.point_cloud import PointCloudEngine
from ..models.points.cloud import PointCloud, columns_of
from .given import GivenStructure, GivenStructures


def read_clouds(source: Any, engine: PointCloudEngine) -> GivenStructures:
    """Check clouds, and show the first one to the engine.

    :param source: a :class:`~metatrain_symmetry.PointCloud` or ``(points, 3 + c)``, several
        of these in a list, or ``(clouds, points, 3 + c)``
    :param engine: of the module that shall evaluate them
    :raises ValueError: if there are none, or if the module cannot take one of them
    :return: all of them, in the order given
    """
    given = _listed(source)
    if not given:
        raise ValueError("there are no clouds: give at least one")
    names = [f"cloud {index}" for index in range(len(given))]
    widths = [
        columns_of(one, engine.vectors, name)[0].shape[1]
        for one, name in zip(given, names, strict=True)
    ]
    for name, width in zip(names, widths, strict=True):
        if width != widths[0]:
            raise ValueError(
                f"{name} has {width} columns, and the first cloud has {widths[0]}: give "
                "the same columns for all clouds"
            )
    clouds = GivenStructures(
        len(given),
        lambda i: GivenStructure(names[i], given[i], lambda blocks: {}),
        lambda i: len(given[i]),
    )
    engine.prepare(given[0], names[0])
    return clouds


def _listed(source: Any) -> list[Any]:
    """Clouds one by one."""
    if isinstance(source, PointCloud):
        return [source]
    if isinstance(source, torch.Tensor | np.ndarray):
        return [source] if source.ndim == 2 else _batch(source)
    if isinstance(source, str | Path) or not hasattr(source, "__iter__"):
        raise ValueError(
            f"{quoted(source)} is no cloud of points: give a tensor (points, 3 + c), a "
            "PointCloud, or a list of these, since the model is a module of point clouds"
        )
    found = list(source)
    for index, one in enumerate(found):
        if not isinstance(one, PointCloud | torch.Tensor | np.ndarray):
            raise ValueError(
                f"cloud {index} is {quoted(one)}: give a tensor (points, 3 + c) or a "
                "PointCloud, since the model is a module of point clouds"
            )
    return found


def _batch(source: Any) -> list[Any]:
    if source.ndim != 3:
        raise ValueError(
            f"clouds have the shape {tuple(source.shape)}: give (points, 3 + c), or "
            "(clouds, points, 3 + c)"
        )
    return list(source)
