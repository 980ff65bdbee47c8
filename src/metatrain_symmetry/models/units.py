"""One spelling of each unit, that of metatomic: ``eV``, ``eV/A``, ``eV/A^3``."""

import re
import unicodedata
from functools import cache

from metatomic.torch import unit_conversion_factor


SPELLINGS = ("eV", "eV/A", "eV/A^3", "A")
"""What stands in every table, however a file or a model spells it."""

_REPLACED = (
    (r"Å|\b(?i:angstroms?|ang)\b", "A"),
    (r"\*\*", "^"),
    ("²", "^2"),
    ("³", "^3"),
    (r"\bA([23])\b", r"A^\1"),
)


@cache
def normal_unit(unit: str) -> str:
    """Spell a unit in the one way that all tables use.

    :param unit: as given, such as ``eV/Angstrom`` or ``eV/Å³``
    :return: such as ``eV/A`` or ``eV/A^3``; a unit that metatomic does not know is
        returned as given
    """
    text = unicodedata.normalize("NFC", unit.strip())
    if not text:
        return ""
    for pattern, spelling in _REPLACED:
        text = re.sub(pattern, spelling, text)
    for spelling in SPELLINGS:
        if _factor(text, spelling) == 1.0:
            return spelling
    return unit if _factor(text, text) is None else text


def _factor(unit: str, other: str) -> float | None:
    """Factor between two units, None where there is none."""
    try:
        return float(unit_conversion_factor(unit, other))
    except ValueError:
        return None


def is_energy(unit: str) -> bool:
    """Whether something in this unit is an energy.

    :param unit: as given
    """
    return bool(unit.strip()) and _factor(normal_unit(unit), "eV") is not None
