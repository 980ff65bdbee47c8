"""Small sets of points: orbits of finite groups in a random frame.

The icosahedral group with inversion (120 elements) is exact to degree 5 and the
smallest such set; T, O and D2 are smaller and exact to degrees 2, 3 and 1. What they fold
back from higher degrees is known: see :mod:`metatrain_symmetry.groups.mixing`.
"""

from functools import lru_cache
from typing import Literal

import torch
from scipy.spatial.transform import Rotation

from .gram import GramTransform
from .irreps import Irrep, irreps_up_to
from .mixing import characters, pair_traces
from .orbit import Frame, UniformOrbit


Name = Literal["D2", "T", "O", "I"]

EXACT = {"D2": 1, "T": 2, "O": 3, "I": 5}
"""Degree to which the average over each group equals that over all rotations."""


class GroupOrbit(UniformOrbit):
    """Elements of a finite group of rotations, in a frame.

    :param name: ``D2`` (4 rotations), ``T`` (12), ``O`` (24) or ``I`` (60)
    :param improper: whether each rotation comes with its product with inversion
    :param frame: in which the elements are taken
    :param lambda_max: largest degree that is projected on; None for half of the exact one
    """

    transform_type = GramTransform

    def __init__(
        self,
        name: Name = "I",
        improper: bool = True,
        frame: Frame | None = None,
        lambda_max: int | None = None,
    ) -> None:
        self.name, self.improper, self.degree = name, improper, EXACT[name]
        self.lambda_max = self.degree // 2 if lambda_max is None else lambda_max
        self.elements = _elements(name, improper)
        matrices = self.elements if frame is None else frame(self.elements)
        super().__init__(matrices)

    @property
    def irreps(self) -> tuple[Irrep, ...]:
        """What the transform projects on; without inversion σ = +1 only."""
        if self.improper:
            return irreps_up_to(self.lambda_max)
        return tuple(Irrep(degree) for degree in range(self.lambda_max + 1))

    def kernels(self) -> torch.Tensor:
        """``d_α χ_α(g_i g_j⁻¹)`` for each irrep, shape ``(n_irreps, n, n)``."""
        return _kernels(self.name, self.improper, self.lambda_max)

    def bytes_per_channel(self) -> int:
        """Memory that a transform takes for each channel, in bytes."""
        return 8 * len(self.matrices)


@lru_cache(maxsize=16)
def _elements(name: Name, improper: bool) -> torch.Tensor:
    rotations = torch.from_numpy(Rotation.create_group(name).as_matrix())
    return torch.cat([rotations, -rotations]) if improper else rotations


@lru_cache(maxsize=16)
def _kernels(name: Name, improper: bool, lambda_max: int) -> torch.Tensor:
    orbit = GroupOrbit(name, improper, lambda_max=lambda_max)
    traces, signs = pair_traces(orbit.elements)
    shape = traces.shape
    values = characters(orbit.irreps, traces.numpy().ravel(), signs.numpy().ravel())
    sizes = torch.tensor([irrep.dimension for irrep in orbit.irreps])
    return torch.from_numpy(values).reshape(-1, *shape) * sizes[:, None, None]


def icosahedral_orbit(frame: Frame | None = None) -> GroupOrbit:
    """The icosahedral group with inversion: 120 elements, exact to degree 5.

    :param frame: in which the elements are taken
    :return: the orbit; it projects on λ <= 2
    """
    return GroupOrbit("I", frame=frame)
