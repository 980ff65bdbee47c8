"""Small pictures of a series, made pixel by pixel: cheap enough for every epoch."""

from functools import cache, lru_cache

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image, ImageDraw, ImageFont

from ..measure.series import Series
from . import style
from .heatmap import colormap
from .history import History, read_histories
from .spectrum import FLOOR


CELL = 14
SEPARATOR = 1
LEFT, TOP, BOTTOM, RIGHT = 46, 8, 24, 62
FONT = 11
LESS = np.array([[abs(3 - y) == x for x in range(4)] for y in range(7)])
DOT = np.ones((2, 2), dtype=bool)
# shares above this have bright colours
BRIGHT = 1e-3
# between the proper irreps, the pseudo irreps and the residual
GAP = 5


def thumbnail(series: Series, probe: str) -> np.ndarray:
    """Draw epochs (equally wide) against irreps, for a live log.

    :param series: what was measured so far
    :param probe: an output or a layer
    :raises KeyError: if there is no such probe
    :return: pixels ``(height, width, 3)``, uint8; one column of cells per epoch, the first
        cell begins at ``(TOP, LEFT)``; ``<`` marks a share that is only known to be below
        what its colour says, ``•`` one without an error bar
    """
    histories = read_histories(series, probe)
    if not histories:
        raise KeyError(f"the probe '{probe}' was not measured")
    # an output rather than the layer of the same name
    return _draw(histories[-1], series.epochs)


def thumbnails(series: Series) -> dict[str, np.ndarray]:
    """Draw all probes, outputs first.

    :param series: what was measured so far
    :return: for each probe the pixels, all of one size, as from :func:`thumbnail`
    """
    histories = read_histories(series)
    histories.sort(key=lambda history: history.kind != "output")
    found: dict[str, np.ndarray] = {}
    for history in histories:
        found.setdefault(history.probe, _draw(history, series.epochs))
    return found


def _draw(history: History, epochs: list[int]) -> np.ndarray:
    rows = _rows(history.channels)
    n_epochs = history.shares.shape[1]
    pixels = _frame(history.channels, history.needed, tuple(epochs)).copy()
    for y, colors in zip(rows, _colors(history.bounds), strict=True):
        band = np.repeat(colors, CELL, axis=0)
        band = np.broadcast_to(band, (CELL - SEPARATOR, *band.shape)).copy()
        band[:, CELL - SEPARATOR :: CELL] = 255
        pixels[y : y + CELL - SEPARATOR, LEFT : LEFT + n_epochs * CELL] = band
    _mark(pixels, history, rows)
    return pixels


def _mark(pixels: np.ndarray, history: History, rows: list[int]) -> None:
    """Signs in the cells of upper bounds and of shares without an error bar."""
    for sign, where in ((LESS, history.below), (DOT, history.bare)):
        y, x = np.nonzero(sign)
        row, epoch = np.nonzero(where)
        top = np.asarray(rows)[row] + (CELL - SEPARATOR - sign.shape[0]) // 2
        left = LEFT + epoch * CELL + (CELL - SEPARATOR - sign.shape[1]) // 2
        # legible on dark and on bright cells
        ink = np.where(history.bounds[row, epoch] > BRIGHT, 0, 255).astype(np.uint8)
        pixels[top[:, None] + y, left[:, None] + x] = ink[:, None, None]


@lru_cache(maxsize=32)
def _frame(channels: tuple[str, ...], needed: str, epochs: tuple[int, ...]) -> np.ndarray:
    """Everything but the cells: the same for many probes."""
    rows = _rows(channels)
    height = rows[0] + CELL + BOTTOM
    shape = (height, LEFT + len(epochs) * CELL + RIGHT, 3)
    pixels = np.full(shape, 255, dtype=np.uint8)
    scale = _colors(10 ** np.linspace(0, np.log10(FLOOR), height - TOP - BOTTOM))
    x = LEFT + len(epochs) * CELL + 10
    pixels[TOP : height - BOTTOM, x : x + 10] = scale[:, None]
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    beyond = f"> {_degree(channels)}"
    for y, name in zip(rows, channels, strict=True):
        label = name if name.startswith("(") else beyond
        # the irrep that the target needs stands out
        fill = style.PSEUDO if name == needed else style.LINE
        place = (LEFT - 5, y + CELL / 2)
        draw.text(place, label, fill=fill, font=_font(), anchor="rm")
    _write_epochs(draw, rows[0] + CELL, epochs)
    return np.asarray(image)


def _degree(channels: tuple[str, ...]) -> int:
    return sum(name.endswith("+)") for name in channels) - 1


def _rows(channels: tuple[str, ...]) -> list[int]:
    """Upper border of each row of cells: λ grows upwards, as in the figures."""
    size = _degree(channels) + 1
    total = len(channels)
    gaps = [min(i // size, 2) * GAP for i in range(total)]
    return [TOP + (total - 1 - i) * CELL + gaps[-1] - gaps[i] for i in range(total)]


@cache
def _table() -> np.ndarray:
    """Colours by level, and last that of what was not measured."""
    levels = colormap()(np.arange(256))[:, :3]
    return np.rint(255 * np.array([*levels, to_rgb(style.MISSING)])).astype(np.uint8)


def _colors(shares: np.ndarray) -> np.ndarray:
    """The colours of the figures, ``(..., 3)``."""
    known = ~np.isnan(shares)
    shown = np.clip(np.where(known, shares, 1.0), FLOOR, 1.0)
    level = 1 - np.log10(shown) / np.log10(FLOOR)
    return _table()[np.where(known, np.minimum(level * 256, 255).astype(int), 256)]


@cache
def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(FONT)


def _write_epochs(draw: ImageDraw.ImageDraw, bottom: int, epochs: tuple[int, ...]) -> None:
    """Epochs below, powers of ten beside the scale."""
    draw.text((LEFT - 5, bottom + 4), "epoch", fill=style.LINE, font=_font(), anchor="ra")
    width = max(draw.textlength(str(epoch), font=_font()) for epoch in epochs)
    stride = 1 + int(width + 5) // CELL
    # counted from the last, which is always labelled
    for i in range(len(epochs) - 1, -1, -stride):
        x = LEFT + (i + 0.5) * CELL
        draw.line([(x, bottom), (x, bottom + 2)], fill=style.LINE)
        label = str(epochs[i])
        draw.text((x, bottom + 4), label, fill=style.LINE, font=_font(), anchor="ma")
    x = LEFT + len(epochs) * CELL + 24
    for power, y in ((0, TOP + 4), (round(np.log10(FLOOR)), bottom - 5)):
        draw.text((x, y), f"1e{power}", fill=style.LINE, font=_font(), anchor="lm")
