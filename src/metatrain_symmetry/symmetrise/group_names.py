"""Names of the groups that a model can be averaged over."""

from typing import Any

from ..groups import GroupPoints
from ..messages import did_you_mean, quoted


NAMES = {"tetrahedral": "T", "octahedral": "O", "icosahedral": "I"}
"""Full names; their first letters are accepted too, with ``i`` for inversion."""


def group_points(name: Any, inversion: bool = False) -> GroupPoints:
    """Find a group by its name.

    :param name: ``tetrahedral`` (12 rotations), ``octahedral`` (24), ``icosahedral`` (60),
        or ``T``, ``O``, ``I``; ``Ti``, ``Oi``, ``Ii`` are those with inversion
    :param inversion: whether each rotation comes with its product with inversion
    :raises ValueError: if there is no such group
    :return: its elements

    >>> from metatrain_symmetry.symmetrise.group_names import group_points
    >>> group_points("icosahedral").size, group_points("Ii").size
    (60, 120)
    """
    letters = {letter: letter for letter in NAMES.values()}
    known = {**NAMES, **letters, **{f"{letter}i": letter for letter in letters}}
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"there is no group {quoted(name)}: {did_you_mean(name, known)}")
    return GroupPoints(known[name], inversion or name.endswith("i"))  # type: ignore[arg-type]


def full_name(points: GroupPoints) -> str:
    """Spell a group for people.

    :param points: its elements
    :return: such as ``icosahedral group with inversion``
    """
    names = {letter: name for name, letter in NAMES.items()}
    end = " with inversion" if points.improper else ""
    return f"{names[points.name]} group{end}"
