"""Checks of the ``geometry_embedding`` options, one sentence each.

pydantic calls them when metatrain validates an options file, and when a model is built from
Python without one.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from .modules.harmonics import MAX_L


AUTO = "auto"
"""``l_max`` chosen from the targets before ``mtt train`` starts."""

DEFAULT_L_MAX = 4
"""Largest degree unless chosen otherwise."""


def automatic_l_max(irreps: Iterable[tuple[int, int]]) -> int:
    """Choose ``l_max`` from the irreps of the targets.

    Measured (``benchmarks/README.md`` and that of the studies): degree 4 learns a target
    of λ = 8, degree 1 does not, and energies and forces gain from degree 4 as well. So
    half of the largest λ, rounded up, and no less than the default; with a pseudo target
    of σ = -1, no less than 1: more has delayed the learning of pseudo-scalars.

    :param irreps: ``(λ, σ)`` of all blocks of all targets
    :return: largest degree of the harmonics
    """
    known = list(irreps)
    needed = math.ceil(max((o3_lambda for o3_lambda, _ in known), default=0) / 2)
    pseudo = any(o3_sigma == -1 for _, o3_sigma in known)
    return min(MAX_L, max(1 if pseudo else DEFAULT_L_MAX, needed))


def check_l_max(value: Any) -> int | None:
    """Return ``value`` if it is a degree that the harmonics offer, or ``None``.

    :param value: the option ``geometry_embedding.l_max``.
    :raises ValueError: if it is neither ``None`` nor an integer from 0 to
        :data:`~metatrain_symmetry.pet_ssh.modules.harmonics.MAX_L`.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if value is None or (whole and 0 <= value <= MAX_L):
        return value
    if value == AUTO:
        raise ValueError(
            "geometry_embedding.l_max: auto needs the targets, which only an options file "
            "of mtt train has: give a number or null here"
        )
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

    Normalisation squares them, so the bound is the square root of float32's range. In
    the other direction the harmonics of highest degree would vanish beside that of
    degree 0, and with them the method.

    :param options: complete ``geometry_embedding`` options.
    :param cutoff: cutoff radius of the model, same unit as the length scale.
    :raises ValueError: if they do not.
    """
    l_max, scale = options["l_max"], options["length_scale"]
    if options["normalization"] == "distance":
        return  # which is the first power of r for every degree
    if l_max is not None and l_max * math.log10(cutoff / scale) > 17:
        raise ValueError(
            f"geometry_embedding.length_scale = {scale} is too small for l_max = {l_max} "
            f"and cutoff = {cutoff}: the harmonics would overflow, so raise it above "
            f"{cutoff * 10 ** (-17 / l_max):.2g} or lower l_max"
        )
    if l_max and l_max * math.log10(scale / cutoff) > 7:
        raise ValueError(
            f"geometry_embedding.length_scale = {scale} is too large for l_max = {l_max} "
            f"and cutoff = {cutoff}: the harmonics would vanish in float32, so take about "
            "the length of a bond"
        )
