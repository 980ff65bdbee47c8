"""Mulliken's symbols of the irreps of a point group, from its elements and characters.

Every finite group of orthogonal matrices is a point group: a cubic one, or one with a
principal axis. The symbols follow from characters of a few elements:

* inversion gives g and u; without it, a mirror across the axis gives ' and '';
* the smallest turn about the axis, by ``2π/N``, gives A or B, and m of Em through
  ``2 cos(2πm/N)``; it may be a rotoreflection, as in D2d;
* a twofold axis across it, or else a vertical mirror, gives 1 and 2: the one nearest x. Of
  D2 and D2h, B1, B2 and B3 are even under the twofold axes z, y and x.

Complex irreps come in pairs, ``1E`` and ``2E``: the first one has ``exp(2πi m/N)``.
"""

from dataclasses import dataclass

import numpy as np


CLOSE = 1e-4
"""Of characters and angles; those that differ do so by far more."""

LETTERS = {2: "E", 3: "T", 4: "G", 5: "H"}
"""By dimension; those of one component are A or B, or half of an E."""


@dataclass(frozen=True)
class Landmarks:
    """The elements that the symbols ask for: indices, None where there is none.

    :param principal: smallest turn about the axis; of T and Th a threefold rotation
    :param order: N: the turn is by ``2π/N``
    :param second: tells 1 from 2; of O and Td a fourfold element, of I a fivefold one
    :param inversion: the inversion
    :param across: the mirror across the axis, where there is no inversion
    :param numbered: letters that are numbered by ``second``
    :param thirds: whether there are B1, B2 and B3
    """

    principal: int | None = None
    order: int = 1
    second: int | None = None
    inversion: int | None = None
    across: int | None = None
    numbered: str = "AB"
    thirds: bool = False


def mulliken(matrices: np.ndarray, table: np.ndarray) -> list[str] | None:
    """Name the irreps of a point group.

    :param matrices: its elements, shape ``(n, 3, 3)``
    :param table: characters, shape ``(n_irreps, n)``
    :return: a symbol for each row; None where two would have the same
    """
    known = landmarks(matrices)
    dimensions = np.abs(table).max(axis=1).round()
    turns = [
        _turns(row, dimension, known)
        for row, dimension in zip(table, dimensions, strict=True)
    ]
    several = len({abs(m) for m in turns if m is not None}) > 1
    names = [
        _name(row, int(dimension), m, several, known)
        for row, dimension, m in zip(table, dimensions, turns, strict=True)
    ]
    return names if len(set(names)) == len(names) else None


def by_symbol(name: str) -> tuple[object, ...]:
    """Order of tables: g before u, one ' before two, then A, B, E, T, G, H.

    :param name: a symbol
    :return: a key to sort by
    """
    bare = name.lstrip("12")
    digits = "".join(c for c in bare if c.isdigit())
    return ("u" in bare, bare.count("'"), "ABETGH".find(bare[0]), int(digits or 0), name)


def _turns(row: np.ndarray, dimension: float, known: Landmarks) -> int | None:
    """The m of an E, with the sign of its phase if it is one of a pair; None of others."""
    if known.principal is None or dimension > 2:
        return None
    value = complex(row[known.principal])
    if dimension == 1:
        if not np.abs(row.imag).max() > CLOSE:
            return None
        return round(float(np.angle(value)) * known.order / (2 * np.pi))
    angle = np.arccos(np.clip(value.real / 2, -1, 1))
    return round(float(angle) * known.order / (2 * np.pi))


def _name(
    row: np.ndarray, dimension: int, m: int | None, several: bool, known: Landmarks
) -> str:
    """Symbol of one irrep."""
    values = row.real
    prefix = "" if m is None or dimension > 1 else ("1" if m > 0 else "2")
    letter = LETTERS.get(2 if prefix else dimension, "A")
    if letter == "A" and known.principal is not None and values[known.principal] < 0:
        letter = "B"
    number = str(abs(m)) if m is not None and several else ""
    if known.second is not None and letter in known.numbered:
        number = "1" if values[known.second] > 0 else "2"
    if known.thirds and known.principal is not None and known.second is not None:
        even = [values[known.principal] > 0, values[known.second] > 0]
        number = {(True, False): "1", (False, True): "3"}.get(tuple(even), "2")
        letter, number = ("A", "") if all(even) else ("B", number)
    suffix = ""
    if known.inversion is not None:
        suffix = "g" if values[known.inversion] > 0 else "u"
    elif known.across is not None:
        suffix = "'" if values[known.across] > 0 else "''"
    return prefix + letter + number + suffix


def landmarks(matrices: np.ndarray) -> Landmarks:
    """Find the elements that the symbols ask for.

    :param matrices: of a point group, shape ``(n, 3, 3)``
    :return: where they are
    """
    signs = np.sign(np.linalg.det(matrices))
    proper = matrices * signs[:, None, None]
    cosines = (np.trace(proper, axis1=1, axis2=2) - 1) / 2
    angles = np.arccos(np.clip(cosines, -1, 1))
    axes = np.linalg.eigh(proper + proper.transpose(0, 2, 1))[1][:, :, 2]
    inversion = _first((signs < 0) & (angles < CLOSE))
    # neither the identity nor half a turn, inversion aside
    high = (angles > CLOSE) & (angles < np.pi - CLOSE)
    if high.any():
        if np.abs(axes[high] @ axes[high][0]).min() < 1 - CLOSE:
            return _cubic(signs, angles, inversion)
        axis = axes[high][0]
    else:
        axis = _of_halves(signs, angles, axes)
    return _axial(matrices, signs, axis, inversion)


def _cubic(signs: np.ndarray, angles: np.ndarray, inversion: int | None) -> Landmarks:
    """Of O and Td a quarter turn tells 1 from 2, of I a fifth of a turn."""
    quarter = np.abs(angles - np.pi / 2) < CLOSE
    fifth = np.abs(angles - 2 * np.pi / 5) < CLOSE
    third = np.abs(angles - 2 * np.pi / 3) < CLOSE
    for second, numbered in (
        (_first(quarter & (signs > 0)), "AT"),
        (_first(quarter), "AT"),
        (_first(fifth & (signs > 0)), "T"),
    ):
        if second is not None:
            return Landmarks(second=second, inversion=inversion, numbered=numbered)
    return Landmarks(_first(third & (signs > 0)), 3, inversion=inversion)


def _of_halves(signs: np.ndarray, angles: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Axis where all turns are half turns: the twofold one nearest z, or a normal."""
    half = angles > np.pi - CLOSE
    for mask in (half & (signs > 0), half):
        if mask.any():
            return np.asarray(axes[np.argmax(np.where(mask, np.abs(axes[:, 2]), -1.0))])
    return np.array([0.0, 0.0, 1.0])


def _axial(
    matrices: np.ndarray, signs: np.ndarray, axis: np.ndarray, inversion: int | None
) -> Landmarks:
    """Elements of a group with a principal axis."""
    axis = axis * np.sign(axis[np.argmax(np.abs(axis) > CLOSE)])
    x = np.eye(3)[0 if abs(axis[0]) < 0.9 else 1]
    x = x - axis * (axis @ x)
    x /= np.linalg.norm(x)
    images = matrices @ x
    kept = np.einsum("gij,i,j->g", matrices, axis, axis)
    about = kept * signs > 0  # rotations about the axis, and rotoreflections
    turned = np.arctan2(images @ np.cross(axis, x), images @ x)
    turns = np.mod(turned + CLOSE, 2 * np.pi) - CLOSE
    across = None if inversion is not None else _first(
        about & (signs < 0) & (turns < CLOSE)
    )  # fmt: skip
    allowed = about & (turns > CLOSE)
    if inversion is not None or across is not None:
        allowed &= signs > 0
    principal = int(np.argmin(np.where(allowed, turns, np.inf))) if allowed.any() else None
    order = 1 if principal is None else round(2 * np.pi / turns[principal])
    twofold, mirror = ~about & (signs > 0), ~about & (signs < 0)
    side = twofold if twofold.any() else mirror
    second = int(np.argmax(np.where(side, images @ x, -np.inf))) if side.any() else None
    thirds = order == 2 and bool(twofold.any())
    return Landmarks(principal, order, second, inversion, across, thirds=thirds)


def _first(mask: np.ndarray) -> int | None:
    return int(np.argmax(mask)) if mask.any() else None
