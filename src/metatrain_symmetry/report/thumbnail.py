"""Small pictures of a series, made pixel by pixel: cheap enough for every epoch."""

from functools import cache, lru_cache

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image, ImageDraw, ImageFont

from ..measure.series import Series
from . import style
from .probes import Panel, Probe, Spectra, series_spectra
from .shares import COLORMAP, FLOOR_EXPONENT


CELL = 14
SEPARATOR = 1
LEFT, TOP, BOTTOM, RIGHT = 46, 8, 24, 62
FONT = 11
GAP = 5
"""Between the panels: proper irreps, pseudo irreps and the residual."""
SIGNS = {
    "<": np.array([[abs(3 - y) == x for x in range(4)] for y in range(7)]),
    "•": np.ones((2, 2), dtype=bool),
}


def thumbnails(series: Series) -> dict[str, np.ndarray]:
    """Draw epochs (equally wide) against irreps for all probes, outputs first.

    :param series: what was measured so far
    :return: for each probe pixels ``(height, width, 3)``, uint8, all of one size; one
        column of cells per epoch, the first cell begins at ``(TOP, LEFT)``; ``<`` marks a
        share that is only known to be below what its colour says, ``•`` one without an
        error bar
    """
    spectra = series_spectra(series)
    found: dict[str, np.ndarray] = {}
    for probe in sorted(spectra.probes, key=lambda probe: not probe.block):
        # an output rather than the layer of the same name
        if probe.name not in found:
            found[probe.name] = _draw(spectra, probe, tuple(series.epochs))
    return found


def _draw(spectra: Spectra, probe: Probe, epochs: tuple[int, ...]) -> np.ndarray:
    pixels = _frame(tuple(spectra.panels), spectra.needed(probe), epochs).copy()
    tops, size = _tops(tuple(spectra.panels)), CELL - SEPARATOR
    for upper, colors in zip(tops, _colors(probe.cells.level), strict=True):
        band = np.repeat(colors, CELL, axis=0)
        band[size::CELL] = 255
        pixels[upper : upper + size, LEFT : LEFT + len(band)] = band
    for sign, shape in SIGNS.items():
        y, x = np.nonzero(shape)
        row, epoch = np.nonzero(probe.cells.signs == sign)
        top = np.asarray(tops)[row] + (size - shape.shape[0]) // 2
        left = LEFT + epoch * CELL + (size - shape.shape[1]) // 2
        # legible on dark and on bright cells
        ink = np.where(probe.cells.bright[row, epoch], 0, 255).astype(np.uint8)
        pixels[top[:, None] + y, left[:, None] + x] = ink[:, None, None]
    return pixels


@lru_cache(maxsize=32)
def _frame(
    panels: tuple[Panel, ...], needed: int | None, epochs: tuple[int, ...]
) -> np.ndarray:
    """Everything but the cells: the same for many probes."""
    tops = _tops(panels)
    bottom, right = tops[0] + CELL, LEFT + len(epochs) * CELL
    pixels = np.full((bottom + BOTTOM, right + RIGHT, 3), 255, dtype=np.uint8)
    scale = _colors(np.linspace(1, 0, bottom - TOP))
    pixels[TOP:bottom, right + 10 : right + 20] = scale[:, None]
    image = Image.fromarray(pixels)
    draw, font = ImageDraw.Draw(image), _font()
    names = [label for panel in panels for label in panel.labels]
    for i, (y, name) in enumerate(zip(tops, names, strict=True)):
        # the irrep that the target needs stands out
        fill = style.PSEUDO if i == needed else style.LINE
        draw.text((LEFT - 5, y + CELL / 2), name, fill=fill, font=font, anchor="rm")
    _write_epochs(draw, bottom, epochs)
    for exponent, y in ((0, TOP + 4), (FLOOR_EXPONENT, bottom - 5)):
        place, label = (right + 24, y), f"1e{exponent}"
        draw.text(place, label, fill=style.LINE, font=font, anchor="lm")
    return np.asarray(image)


@cache
def _tops(panels: tuple[Panel, ...]) -> list[int]:
    """Upper border of each row of cells: channels grow upwards, as in the figures."""
    gaps = [i * GAP for i, panel in enumerate(panels) for _ in panel.channels]
    last = len(gaps) - 1
    return [TOP + (last - i) * CELL + gaps[-1] - gap for i, gap in enumerate(gaps)]


@cache
def _table() -> np.ndarray:
    """Colours by level, and last that of what was not measured."""
    levels = COLORMAP(np.arange(256))[:, :3]
    return np.rint(255 * np.array([*levels, to_rgb(style.MISSING)])).astype(np.uint8)


def _colors(level: np.ndarray) -> np.ndarray:
    """The colours of the figures, ``(..., 3)``; faster than matplotlib."""
    index = np.minimum(np.nan_to_num(level) * 256, 255)
    return _table()[np.where(np.isnan(level), 256, index).astype(int)]


@cache
def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(FONT)


def _write_epochs(draw: ImageDraw.ImageDraw, bottom: int, epochs: tuple[int, ...]) -> None:
    """Epochs below."""
    draw.text((LEFT - 5, bottom + 4), "epoch", fill=style.LINE, font=_font(), anchor="ra")
    width = max(draw.textlength(str(epoch), font=_font()) for epoch in epochs)
    stride = 1 + int(width + 5) // CELL
    # counted from the last, which is always labelled
    for i in range(len(epochs) - 1, -1, -stride):
        x = LEFT + (i + 0.5) * CELL
        draw.line([(x, bottom), (x, bottom + 2)], fill=style.LINE)
        label = str(epochs[i])
        draw.text((x, bottom + 4), label, fill=style.LINE, font=_font(), anchor="ma")
