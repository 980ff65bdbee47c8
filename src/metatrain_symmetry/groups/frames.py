"""Random frames: point sets are rotated from both sides before they are used."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation


class Frame(NamedTuple):
    """Rotations from the left and from the right: ``g`` becomes ``left @ g @ right``.

    Both are needed: the right one rotates the structure before each element acts, the left
    one after: a model that is not equivariant may prefer directions of the laboratory.
    Powers do not depend on either.

    :param left: orthogonal matrix, float64, shape ``(3, 3)``
    :param right: the same
    """

    left: torch.Tensor
    right: torch.Tensor

    def __call__(self, matrices: torch.Tensor) -> torch.Tensor:
        """Put elements in the frame.

        :param matrices: shape ``(n, 3, 3)``
        :return: the same shape
        """
        return self.left @ matrices @ self.right


def random_frame(seed: int) -> Frame:
    """Draw two rotations uniformly.

    :param seed: of the draw
    :return: the frame
    """
    both = Rotation.random(2, rng=np.random.default_rng(seed)).as_matrix()
    return Frame(torch.from_numpy(both[0]), torch.from_numpy(both[1]))
