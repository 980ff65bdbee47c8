"""The heatmap of the page: the same colours as the figure, with a tooltip per cell."""

import math
from typing import Any

from matplotlib.colors import to_hex

from ..groups.irreps import Irrep
from . import style
from .shares import BRIGHT, colormap, level
from .spectrum import FLOOR, RESIDUAL, Channel, Spectrum


def row(spectrum: Spectrum, degree: int) -> dict[str, Any]:
    """Fill one row.

    :param spectrum: of one probe
    :param degree: largest λ of the table
    :return: what the template shows
    """
    irreps = [Irrep(d, sigma) for sigma in (1, -1) for d in range(degree + 1)]
    names = [*map(str, irreps), RESIDUAL]
    return {
        "probe": spectrum.probe,
        "group": spectrum.group,
        "kind": spectrum.kind,
        "converged": spectrum.converged,
        "cells": [_cell(name, spectrum.channels.get(name)) for name in names],
    }


def _cell(name: str, channel: Channel | None) -> dict[str, Any]:
    """Colour, mark and tooltip of one cell."""
    if channel is None or not channel.known:
        return {"irrep": name, "known": False, "color": style.MISSING}
    at = level(channel)
    exponent = str(round(math.log10(max(channel.shown, FLOOR)))).replace("-", "−")
    text = "" if channel.shown <= FLOOR else "<" * channel.below + exponent
    return {
        "irrep": name,
        "known": True,
        "text": text,
        "color": to_hex(colormap()(at)),
        "dark": at < BRIGHT,
        "mark": _mark(channel),
        "say": say_share(channel),
        "share": style.number(channel.share),
        "strength": style.number(channel.strength),
    }


def _mark(channel: Channel) -> str:
    """Class of the cell: what its number is worth."""
    if channel.below:
        return "below"
    return "" if channel.has_error_bar else "loose"


def say_share(channel: Channel) -> str:
    """A share with its error bar, as a reader is to take it.

    :param channel: that was measured
    :return: the share and its error, or what it is below, or that there is no error bar
    """
    if channel.below:
        return f"below {style.number(channel.bound)}"
    if not channel.has_error_bar:
        return f"{style.number(channel.share)}, no error bar"
    return style.with_error(channel.share, channel.stderr)


def legend() -> list[dict[str, Any]]:
    """Colour the decades.

    :return: exponent, colour and darkness of each, from the floor to one
    """
    first = round(math.log10(FLOOR))
    return [
        {
            "text": str(d).replace("-", "−"),
            "color": to_hex(colormap()(1 - d / first)),
            "dark": 1 - d / first < BRIGHT,
        }
        for d in range(first, 1)
    ]
