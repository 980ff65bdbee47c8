"""Groups by name. No other module knows the names.

:func:`group_by_name` knows all groups whose symmetry can be measured, :func:`named_group`
the finite ones that a model can be averaged over to make it symmetric under rotations.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch

from ..messages import did_you_mean, quoted
from .axes import direction, perpendicular, spelled
from .axial import O2, SO2, AxialGroup
from .base import Group
from .design import ORDERS, GroupPoints, Name
from .finite import FiniteGroup
from .o3 import O3
from .point_groups import CUBIC, LONE, elements, has_axis, is_point_group
from .so3 import SO3


TITLES = {
    "1": "trivial", "D2": "dihedral", "T": "tetrahedral", "O": "octahedral",
    "I": "icosahedral",
}  # fmt: skip
"""Full name of each group of rotations."""

SCHOENFLIES = {"1": "Ci", "D2": "D2h", "T": "Th", "O": "Oh", "I": "Ih"}
"""What each of them becomes with inversion, as chemists call it."""


@dataclass(frozen=True)
class NamedGroup:
    """A finite group of rotations, with or without inversion, in the laboratory frame.

    :param rotations: ``1``, ``D2``, ``T``, ``O`` or ``I``
    :param inversion: whether each rotation comes with its product with inversion
    """

    rotations: str
    inversion: bool

    @property
    def name(self) -> str:
        """Short name, such as ``Oi``; of the inversion alone ``i``."""
        return (self.rotations + "i" * self.inversion).replace("1i", "i")

    @property
    def title(self) -> str:
        """Name for people, such as ``octahedral group with inversion``."""
        if self.name == "i":
            return "group of the inversion"
        end = " with inversion" if self.inversion else ""
        return f"{TITLES[self.rotations]} group{end}"

    @property
    def size(self) -> int:
        """Number of elements."""
        return (1 + self.inversion) * ORDERS.get(self.rotations, 1)

    @property
    def elements(self) -> torch.Tensor:
        """Matrices, float64, shape ``(size, 3, 3)``; rotations come first."""
        if self.rotations == "1":
            one = torch.eye(3, dtype=torch.float64)
            return torch.stack([one, -one][: self.size])
        points = GroupPoints(cast(Name, self.rotations), self.inversion)
        return points.orbit(0).matrices


def group_names() -> dict[str, NamedGroup]:
    """List what is accepted for each group.

    :return: groups by name: short names first, by size, then full names and Schoenflies'
        symbols
    """
    groups = [NamedGroup(one, with_i) for one in TITLES for with_i in (False, True)]
    found = {one.name: one for one in sorted(groups, key=lambda one: one.size)}
    found |= {title: found[name] for name, title in TITLES.items()}
    found |= {symbol: NamedGroup(name, True) for name, symbol in SCHOENFLIES.items()}
    return found | {"inversion": found["i"], "C1": found["1"]}


def named_group(name: Any, inversion: bool = False) -> NamedGroup:
    """Find a group by its name.

    :param name: ``1`` (or ``C1``, ``trivial``), ``i`` (``Ci``, ``inversion``), ``D2``
        (``dihedral``), ``T`` (``tetrahedral``), ``O`` (``octahedral``) or ``I``
        (``icosahedral``); ``D2i``, ``Ti``, ``Oi`` and ``Ii`` are those with inversion, also
        called ``D2h``, ``Th``, ``Oh`` and ``Ih``
    :param inversion: whether to add the inversion to what the name says
    :raises ValueError: if there is no such group
    :return: the group

    >>> from metatrain_symmetry.groups import named_group
    >>> named_group("icosahedral").size, named_group("Ih") == named_group("I", True)
    (60, True)
    """
    known = group_names()
    if not isinstance(name, str) or name not in known:
        near = did_you_mean(name, known)
        if not near.startswith("did"):
            near = f"there are {', '.join(TITLES)}, i for inversion, and both, as in Oi"
        raise ValueError(f"there is no group {quoted(name)}: {near}")
    found = known[name]
    return NamedGroup(found.rotations, found.inversion or inversion)


CONTINUOUS: dict[str, type[Group]] = {"O(3)": O3, "SO(3)": SO3, "SO(2)": SO2, "O(2)": O2}
"""Infinite groups by name; the last two are about an axis."""

ALIASES = {
    "O3": "O(3)", "SO3": "SO(3)", "SO2": "SO(2)", "O2": "O(2)", "C∞v": "O(2)",
    "C∞": "SO(2)", "1": "C1", "i": "Ci",
}  # fmt: skip
"""Other spellings."""


def group_by_name(name: Any, axis: Any = None) -> Group:
    """Find a group whose symmetry can be measured.

    :param name: ``O(3)``, ``SO(3)``, ``SO(2)`` or ``O(2)``, a point group as Schoenflies
        writes it, such as ``C3``, ``C3v``, ``C2h``, ``D4``, ``D6h``, ``D2d``, ``S4``,
        ``T``, ``Td``, ``Th``, ``O``, ``Oh``, ``I``, ``Ih``, ``Ci``, ``Cs``, or one of
        :func:`named_group`. The axis may follow: ``SO(2):x``, ``C4v:1,1,0``
    :param axis: ``x``, ``y``, ``z``, or a vector; None for z, or for what the name says
    :raises ValueError: if there is no such group, or if it has no axis that can be chosen
    :return: the group

    >>> from metatrain_symmetry import Irrep, group_by_name
    >>> [str(irrep) for irrep in group_by_name("Oh").contained(Irrep(2))]
    ['Eg', 'T2g']
    >>> group_by_name("SO(2):x").name, len(group_by_name("D6h", axis=[1, 1, 1]).matrices)
    ('SO(2):x', 24)
    """
    if not isinstance(name, str):
        raise ValueError(f"there is no group {quoted(name)}: give a name such as C3v")
    bare, colon, end = name.partition(":")
    if colon and axis is not None:
        raise ValueError(f"{quoted(name)} says its axis already: leave 'axis' out")
    axis = end if colon else axis
    averaged = group_names().get(bare)
    bare = ALIASES.get(bare, bare)
    if averaged is not None:
        ends = SCHOENFLIES if averaged.inversion else {"1": "C1"}
        bare = ends.get(averaged.rotations, averaged.rotations)
    kind = CONTINUOUS.get(bare)
    if kind is None and not is_point_group(bare):
        raise ValueError(f"there is no group {quoted(name)}: {_near(bare)}")
    if axis is not None and not (issubclass(kind, AxialGroup) if kind else has_axis(bare)):
        raise ValueError(f"{bare} has no axis that could be chosen: leave {axis!r} out")
    if kind is not None:
        return kind() if axis is None else kind(axis)  # type: ignore[call-arg]
    return _point_group(bare, axis)


def _point_group(name: str, axis: Any) -> FiniteGroup:
    """A point group, with its axis where it is wanted."""
    known = FiniteGroup.from_matrices(elements(name), name)
    if axis is None:
        return known
    along = direction(axis)
    n, x, y = perpendicular(along)
    turn = torch.from_numpy(np.stack([x, y, n], axis=1))
    names = [str(irrep) for irrep in known.irreps()]
    rows = dict(zip(names, known.table.numpy(), strict=True))
    return FiniteGroup(turn @ known.matrices @ turn.T, rows, spelled(name, along))


def _near(name: str) -> str:
    """Suggest names that are close."""
    kinds = ("C{}", "C{}v", "C{}h", "D{}", "D{}h", "D{}d")
    known = [*CONTINUOUS, *CUBIC, *LONE, *group_names()]
    known += [kind.format(n) for n in range(2, 9) for kind in kinds]
    known += [f"S{n}" for n in (4, 6, 8, 10, 12)]
    near = did_you_mean(name, known)
    if near.startswith("did"):
        return near
    if is_point_group(f"C{name[1:]}h") and name[:1] == "S":
        return f"{name} is called C{name[1:]}h"
    return (
        "there are O(3), SO(3), SO(2), O(2), and point groups such as C3, C3v, C2h, D4, "
        "D6h, D2d, S4, T, Td, Oh, Ih"
    )
