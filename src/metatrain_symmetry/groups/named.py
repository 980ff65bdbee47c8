"""Groups that a model can be averaged over, by name. No other module knows the names."""

from dataclasses import dataclass
from typing import Any, cast

import torch

from ..messages import did_you_mean, quoted
from .design import ORDERS, GroupPoints, Name


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
