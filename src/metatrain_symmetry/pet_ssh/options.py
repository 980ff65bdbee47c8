"""Checks of the ``geometry_embedding`` options, one sentence each.

pydantic calls them when metatrain validates an options file, and when a model is built from
Python without one.
"""

import math
from collections.abc import Mapping
from typing import Any

from .modules.harmonics import MAX_L


def check_l_max(value: Any) -> int | None:
    """Return ``value`` if it is a degree that the harmonics offer, or ``None``.

    :param value: the option ``geometry_embedding.l_max``.
    :raises ValueError: if it is neither ``None`` nor an integer from 0 to
        :data:`~metatrain_symmetry.pet_ssh.modules.harmonics.MAX_L`.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if value is None or (whole and 0 <= value <= MAX_L):
        return value
    raise ValueError(
        f"geometry_embedding.l_max must be a whole number from 0 to {MAX_L}, or null "
        f"for standard PET, but got {value!r}"
    )


def check_length_scale(value: Any) -> float:
    """Return ``value`` as a positive finite length.

    :param value: the option ``geometry_embedding.length_scale``.
    :raises ValueError: if it is not a positive finite number.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and math.isfinite(value) and value > 0:
        return float(value)
    raise ValueError(
        "geometry_embedding.length_scale must be a positive length in the unit of the "
        f"structures, but got {value!r}"
    )


def check_range(options: Mapping[str, Any], cutoff: float) -> None:
    """Check that the harmonics of the longest edge fit into float32.

    Normalisation squares them, so the bound is the square root of float32's range.

    :param options: complete ``geometry_embedding`` options.
    :param cutoff: cutoff radius of the model, same unit as the length scale.
    :raises ValueError: if they do not.
    """
    l_max, scale = options["l_max"], options["length_scale"]
    if l_max is not None and l_max * math.log10(cutoff / scale) > 17:
        raise ValueError(
            f"geometry_embedding.length_scale = {scale} is too small for l_max = {l_max} "
            f"and cutoff = {cutoff}: the harmonics would overflow, so raise it above "
            f"{cutoff * 10 ** (-17 / l_max):.2g} or lower l_max"
        )
