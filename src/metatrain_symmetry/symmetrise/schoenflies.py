"""Names of point groups, from their elements alone."""

import numpy as np


CUBIC = {(12, 3): "T", (24, 4): "O", (60, 5): "I"}
"""By number of rotations and highest order; D6 and D12 have higher orders."""


def schoenflies(elements: np.ndarray) -> str:
    """Name a finite group.

    :param elements: orthogonal matrices, shape ``(n, 3, 3)``
    :return: symbol, such as ``C2v`` or ``Ih``
    """
    traces = np.trace(elements, axis1=1, axis2=2)
    proper = np.linalg.det(elements) > 0
    order = _order(traces[proper])
    count = int(proper.sum())
    mirrors = int((~proper & (np.abs(traces - 1) < 1e-3)).sum())
    inverts = bool((np.abs(traces + 3) < 1e-3).any())
    if (count, order) in CUBIC:
        name = CUBIC[count, order]
        return name if proper.all() else name + ("d" if not inverts else "h")
    if count == 2 * order:
        kind = "h" if mirrors > order else "d"
        return f"D{order}" + ("" if proper.all() else kind)
    if proper.all():
        return f"C{order}"
    if order == 1:
        return "Ci" if inverts else "Cs"
    if mirrors == 0:
        return f"S{2 * order}"
    return f"C{order}" + ("v" if mirrors == order else "h")


def _order(traces: np.ndarray) -> int:
    """Highest order of an axis; rotations have the trace 1 + 2 cos 2π/n."""
    angles = np.arccos(np.clip((traces - 1) / 2, -1, 1))
    turned = angles[angles > 1e-3]
    return 1 if len(turned) == 0 else round(2 * np.pi / turned.min())
