"""Directions of space, as users give them."""

import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..messages import quoted


NAMED = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}

Direction = tuple[float, float, float]


def direction(axis: Any) -> Direction:
    """Read a direction.

    :param axis: ``x``, ``y``, ``z``, three numbers, or these in a text, as ``1,1,0``
    :raises ValueError: if it is none
    :return: of length one
    """
    if isinstance(axis, str) and axis in NAMED:
        return NAMED[axis]
    values = axis.split(",") if isinstance(axis, str) else axis
    found = _numbers(values)
    length = float(np.linalg.norm(found)) if len(found) == 3 else 0.0
    if not 1e-12 < length < float("inf"):
        raise ValueError(
            f"the axis is {quoted(axis)}: give x, y, z, or a vector such as 1,1,0"
        )
    x, y, z = (float(value) for value in found / length)
    return x, y, z


def _numbers(values: Any) -> np.ndarray:
    """Three numbers as an array, an empty one if they are none."""
    if not isinstance(values, Iterable):
        return np.empty(0)
    try:
        return np.array([_number(value) for value in values])
    except (TypeError, ValueError):
        return np.empty(0)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | numbers.Real):
        raise TypeError
    return float(value)


def spelled(name: str, axis: Direction) -> str:
    """Name a group about an axis.

    :param name: of the group about z
    :param axis: of length one
    :return: such as ``SO(2)``, ``SO(2):x`` or ``SO(2):0.6,0.8,0``
    """
    for letter, known in NAMED.items():
        if np.allclose(axis, known):
            return name if letter == "z" else f"{name}:{letter}"
    return f"{name}:{','.join(f'{value + 0.0:.12g}' for value in axis)}"


def perpendicular(axis: Direction) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Complete an axis to a right-handed frame.

    :param axis: of length one
    :return: the axis, the direction across it that is nearest x (about x, y), and the third
    """
    n = np.array(axis)
    x = np.eye(3)[0 if abs(n[0]) < 0.9 else 1]
    x = x - n * (n @ x)
    x /= np.linalg.norm(x)
    return n, x, np.cross(n, x)
