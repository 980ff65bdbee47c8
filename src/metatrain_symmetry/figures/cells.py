"""The heatmap of the page: the same colours as the figure, with a tooltip per cell."""

import math
from typing import Any

from matplotlib.colors import LogNorm, to_hex

from ..group.irreps import Irrep
from . import style
from .heatmap import colormap
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
        "converged": spectrum.converged,
        "cells": [_cell(name, spectrum.channels.get(name)) for name in names],
    }


def _cell(name: str, channel: Channel | None) -> dict[str, Any]:
    """Colour and tooltip of one cell."""
    if channel is None or math.isnan(channel.share):
        return {
            "irrep": name,
            "text": "",
            "color": style.MISSING,
            "dark": False,
            "known": False,
        }
    shown = min(max(channel.share, FLOOR), 1.0)
    level = float(LogNorm(FLOOR, 1.0)(shown))
    return {
        "irrep": name,
        "known": True,
        "text": str(round(math.log10(shown))).replace("-", "−") if shown > FLOOR else "",
        "color": to_hex(colormap()(level)),
        "dark": level < 0.6,
        "within": channel.within_error,
        "share": style.number(channel.share),
        "stderr": style.number(channel.stderr),
        "strength": style.number(channel.strength),
    }


def legend() -> list[dict[str, str]]:
    """Colour the decades.

    :return: exponent and colour of each, from the floor to one
    """
    decades = range(round(math.log10(FLOOR)), 1)
    return [
        {"text": str(d).replace("-", "−"), "color": to_hex(colormap()(1 - d / decades[0]))}
        for d in decades
    ]
