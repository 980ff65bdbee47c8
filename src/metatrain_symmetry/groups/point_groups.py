"""Point groups by Schoenflies' symbols: their elements, built from generators.

Axial groups have their axis along z, twofold axes and vertical mirrors begin at x: Dn has
a twofold axis along x, Cnv the mirror xz, Dnd its mirrors half-way between twofold axes.
Cubic groups have their twofold or fourfold axes along x, y and z.
"""

import re

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ..messages import quoted


MOST = 60
"""Largest n: of Dnh it has 240 elements."""

CUBIC = ("T", "Td", "Th", "O", "Oh", "I", "Ih")

LONE = ("C1", "Ci", "Cs")

SYMBOL = re.compile(r"(?P<kind>[CDS])(?P<n>[1-9]\d*)(?P<end>[vhd]?)")

UNIT = np.eye(3)
MIRROR_Z = np.diag([1.0, 1.0, -1.0])
MIRROR_Y = np.diag([1.0, -1.0, 1.0])
TWOFOLD_X = np.diag([1.0, -1.0, -1.0])


def is_point_group(name: str) -> bool:
    """Whether a name is written as a point group's symbol.

    :param name: such as ``C3v``
    :return: whether :func:`elements` can be asked for it; n may be out of range
    """
    if name in (*CUBIC, *LONE):
        return True
    found = SYMBOL.fullmatch(name)
    if found is None:
        return False
    kind, end = found["kind"], found["end"]
    allowed = {"C": ("", "v", "h"), "D": ("", "h", "d"), "S": ("",)}[kind]
    return end in allowed and (kind != "S" or int(found["n"]) % 2 == 0)


def has_axis(name: str) -> bool:
    """Whether a point group has a principal axis, that can point elsewhere.

    :param name: its symbol
    :return: false for cubic groups, and for C1 and Ci
    """
    return name not in (*CUBIC, "C1", "Ci")


def elements(name: str) -> torch.Tensor:
    """Build a point group.

    :param name: its symbol
    :raises ValueError: if it is none, or if n is too large
    :return: matrices, float64, shape ``(n, 3, 3)``, the identity first
    """
    if not is_point_group(name):
        raise ValueError(f"there is no point group {quoted(name)}: give such as C3v or D6h")
    if name in CUBIC:
        return torch.from_numpy(_cubic(name))
    if name in LONE:
        other = {"C1": [], "Ci": [-UNIT], "Cs": [MIRROR_Z]}[name]
        return torch.from_numpy(np.array([UNIT, *other]))
    found = SYMBOL.fullmatch(name)
    assert found is not None  # a symbol, as was asked above
    return torch.from_numpy(_axial(name, found["kind"], int(found["n"]), found["end"]))


def _cubic(name: str) -> np.ndarray:
    """Rotations, and their products with inversion; of Td with a fourfold one."""
    rotations = Rotation.create_group(name[0]).as_matrix()
    first = np.argmax(np.trace(rotations, axis1=1, axis2=2))
    rotations = np.roll(rotations, -int(first), axis=0)
    if name.endswith("h"):
        return np.concatenate([rotations, -rotations])
    if name == "Td":
        return np.concatenate([rotations, rotations @ -_turn(np.pi / 2)])
    return rotations


def _axial(name: str, kind: str, n: int, end: str) -> np.ndarray:
    """Groups with a principal axis, along z."""
    if n > MOST:
        raise ValueError(f"{name} has too many elements: choose n from 1 to {MOST}")
    if kind == "S":
        steps = range(n)
        return np.array([_turn(2 * np.pi * k / n) @ (MIRROR_Z if k % 2 else UNIT)
                         for k in steps])  # fmt: skip
    found = np.array([_turn(2 * np.pi * k / n) for k in range(n)])
    if kind == "D":
        found = np.concatenate([found, found @ TWOFOLD_X])
    if end == "d":
        return np.concatenate([found, found @ (_turn(np.pi / n) @ MIRROR_Z)])
    other = {"": None, "v": MIRROR_Y, "h": MIRROR_Z}[end]
    return found if other is None else np.concatenate([found, found @ other])


def _turn(angle: float) -> np.ndarray:
    """Rotation about z."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
