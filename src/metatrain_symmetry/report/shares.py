"""Shares of irreps as cells: value, colour, mark and words, for every painter.

Painters are :mod:`.painter` (matplotlib), :mod:`.series_plot` (plotly), the table of the
page (:mod:`.page`) and :mod:`.thumbnail` (pixels).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm, to_hex

from . import style, text


FLOOR_EXPONENT = -10
FLOOR = 10.0**FLOOR_EXPONENT
"""Shares at or below it look alike."""
SCALE = LogNorm(FLOOR, 1.0)
COLORMAP = colormaps["viridis"].with_extremes(bad=style.MISSING)
"""The darkest colour is at or below the floor, grey was not measured."""
BRIGHT = 0.62
"""Position on the scale above which marks and letters are dark."""


@dataclass(frozen=True)
class Cells:
    """What is known of some irreps; arrays of one shape.

    :param share: of the mean square, NaN where not measured; as a difference of estimates
        it may be negative
    :param stderr: of the share, NaN where there is no error bar
    :param strength: ``B``, in squared units of the probe
    """

    share: np.ndarray
    stderr: np.ndarray
    strength: np.ndarray

    def __getitem__(self, index: Any) -> "Cells":
        """Some of the cells, as numpy would index them."""
        return Cells(self.share[index], self.stderr[index], self.strength[index])

    @property
    def known(self) -> np.ndarray:
        """Whether it was measured."""
        return np.isfinite(self.share)

    @property
    def bare(self) -> np.ndarray:
        """Whether it was measured but has no error bar, which is then not zero."""
        return self.known & ~np.isfinite(self.stderr)

    @property
    def below(self) -> np.ndarray:
        """Whether it is not above two standard errors: only a bound is known."""
        return self.known & (self.stderr > 0) & (self.share <= 2 * self.stderr)

    @property
    def shown(self) -> np.ndarray:
        """The number to draw: the share, or the bound where only that is known."""
        bound = np.maximum(self.share, 0.0) + 2 * self.stderr
        return np.where(self.below, bound, self.share)

    @property
    def level(self) -> np.ndarray:
        """Position on the scale, from 0 (at or below the floor) to 1; NaN if unknown."""
        return 1 - np.log10(np.clip(self.shown, FLOOR, 1.0)) / FLOOR_EXPONENT

    @property
    def bright(self) -> np.ndarray:
        """Whether marks and letters are dark."""
        return self.level > BRIGHT

    @property
    def colors(self) -> np.ndarray:
        """Colours as ``#rrggbb``."""
        rgba = COLORMAP(np.ma.masked_invalid(self.level))
        flat = [to_hex(color) for color in np.reshape(rgba, (-1, 4))]
        return np.reshape(np.array(flat, dtype=object), self.share.shape)

    @property
    def signs(self) -> np.ndarray:
        """What a number is worth: ``<`` a bound, ``•`` without an error bar."""
        return np.where(self.below, "<", np.where(self.bare, "•", ""))

    @property
    def words(self) -> np.ndarray:
        """Shares with their errors, as a reader is to take them."""
        return _each(text.measured, self.share, self.stderr)

    @property
    def tips(self) -> np.ndarray:
        """Everything that is known, in lines."""
        return _each(_tip, self.share, self.stderr, self.strength)


def _each(function: Any, *arrays: np.ndarray) -> np.ndarray:
    """A text for each cell."""
    flat = zip(*(array.ravel().tolist() for array in arrays), strict=True)
    texts = np.array([function(*values) for values in flat], dtype=object)
    return texts.reshape(arrays[0].shape)


def _tip(share: float, stderr: float, strength: float) -> str:
    if np.isnan(share):
        return "not measured"
    words = text.measured(share, stderr)
    if words.startswith("below"):
        words += f"\n({text.number(share)} ± {text.number(stderr)})"
    return f"share {words}\nB = {text.number(strength)}"
