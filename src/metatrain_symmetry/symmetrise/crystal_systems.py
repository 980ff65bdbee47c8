"""Crystal systems, from the rotations of a space group alone."""

import numpy as np


def crystal_system(rotations: np.ndarray) -> str:
    """Name the crystal system of a space group.

    :param rotations: of its operations, in any basis, shape ``(n, 3, 3)``
    :return: such as ``cubic``
    """
    determinants = np.rint(np.linalg.det(rotations))
    proper = np.rint(rotations * determinants[:, None, None]).astype(int)
    # an axis with and without inversion counts once
    traces = np.trace(np.unique(proper, axis=0), axis1=1, axis2=2)
    count = {order: int((traces == trace).sum())
             for order, trace in ((2, -1), (3, 0), (4, 1), (6, 2))}  # fmt: skip
    if count[3] == 8:
        return "cubic"
    for order, name in ((6, "hexagonal"), (3, "trigonal"), (4, "tetragonal")):
        if count[order]:
            return name
    return {0: "triclinic", 1: "monoclinic"}.get(count[2], "orthorhombic")
