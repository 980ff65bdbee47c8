"""What a report calls what it was measured on: structures of atoms, or clouds of points."""

import re
from collections.abc import Mapping
from typing import Any


CLOUD = "cloud"
"""``thing`` in the summary of a report on clouds; it is not there for structures."""

_OF_CLOUDS = {"structure": "cloud", "atom": "point"}
_OF_METATRAIN = (" without the composition baseline", ": what 'mtt eval' reports")
_ARGUMENTS = {"--lambda-max ": "lambda_max=", "--budget": "budget"}
"""Clouds are measured from Python only."""
_WORD = re.compile(r"\b(structure|atom)(s?)\b")


def worded(text: str, summary: Mapping[str, Any]) -> str:
    """Put a sentence of ours into the words of what was measured.

    :param text: about structures and atoms; names that users gave are better left out
    :param summary: of the report
    :return: about clouds and points where these were measured

    >>> worded("each atom of 3 structures", {"thing": "cloud"})
    'each point of 3 clouds'
    """
    if summary.get("thing") != CLOUD:
        return text
    for phrase in _OF_METATRAIN:
        text = text.replace(phrase, "")
    for option, argument in _ARGUMENTS.items():
        text = text.replace(option, argument)
    return _WORD.sub(lambda found: _OF_CLOUDS[found[1]] + found[2], text)


def unit_or_one(unit: str, summary: Mapping[str, Any]) -> str:
    """Unit in a table: of clouds, what has no unit is a number.

    :param unit: as known
    :param summary: of the report
    :return: the unit, or ``1``
    """
    return unit or ("1" if summary.get("thing") == CLOUD else "")
