r"""Finite groups, given by their matrices and their characters.

With the plain average over the group in place of the Haar average,

.. math::

    B_\alpha = \frac{d_\alpha}{|G|^2} \sum_{g, g'} \chi_\alpha(g^{-1} g')\,
        h(gx) \cdot h(g'x), \qquad \sum_\alpha B_\alpha = \langle |h|^2 \rangle,

exactly: a finite group has no residual. The octahedral group is the example.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import torch

from .gram import GramTransform
from .orbit import UniformOrbit


@dataclass(frozen=True)
class NamedIrrep:
    """An irrep known by its name.

    :param name: such as ``T1u``
    :param dimension: number of components
    """

    name: str
    dimension: int

    @property
    def labels(self) -> dict[str, int | str]:
        """Columns of a tidy table."""
        return {"irrep": self.name}

    def __str__(self) -> str:
        return self.name


class FiniteGroup(UniformOrbit):
    """A finite group of orthogonal matrices.

    :param matrices: its elements, shape ``(n, 3, 3)``
    :param characters: for each irrep its real character of every element, ``(n,)``
    :raises ValueError: if the matrices are no group, or the characters are not those
        of all its (real) irreps
    """

    transform_type = GramTransform

    def __init__(
        self, matrices: torch.Tensor, characters: Mapping[str, Sequence[float]]
    ) -> None:
        super().__init__(matrices)
        table = torch.as_tensor(np.array(list(characters.values())), dtype=torch.float64)
        n = len(matrices)
        self.products = self._multiplication_table()
        if table.shape[1:] != (n,) or not torch.allclose(
            table @ table.T / n, torch.eye(len(table), dtype=torch.float64), atol=1e-8
        ):
            raise ValueError(
                f"the characters are not orthonormal over the {n} elements: give one value "
                "for each element, for irreducible representations only"
            )
        self.characters = table
        identity = int(torch.argmax(self.matrices.diagonal(dim1=1, dim2=2).sum(1)))
        dimensions = table[:, identity].round().to(torch.int64).tolist()
        if sum(d * d for d in dimensions) != n:
            raise ValueError(
                f"the squared dimensions of the irreps add up to "
                f"{sum(d * d for d in dimensions)}, not {n}: some irreps are missing"
            )
        self._irreps = tuple(
            NamedIrrep(name, d) for name, d in zip(characters, dimensions, strict=True)
        )

    def _multiplication_table(self) -> torch.Tensor:
        """Index of ``g⁻¹ g'`` for each pair of elements."""
        m = self.matrices
        pairs = torch.einsum("gji,hjk->ghik", m, m).flatten(2)
        distances = torch.cdist(pairs.flatten(0, 1), m.flatten(1))
        nearest = distances.min(dim=1)
        if nearest.values.max() > 1e-6:
            raise ValueError(
                "the matrices are no group: the product of two of them is not among them"
            )
        return nearest.indices.reshape(len(m), len(m))

    @property
    def irreps(self) -> tuple[NamedIrrep, ...]:
        """All irreps of the group."""
        return self._irreps

    def kernels(self) -> torch.Tensor:
        """``d_α χ_α(g⁻¹ g')`` for each irrep, shape ``(n_irreps, n, n)``."""
        dimensions = torch.tensor([irrep.dimension for irrep in self.irreps])
        return dimensions[:, None, None] * self.characters[:, self.products]

    def bytes_per_channel(self) -> int:
        """Memory that a transform takes for each channel, in bytes."""
        return 8 * len(self.matrices)


def octahedral_group() -> FiniteGroup:
    """Build the full octahedral group: the 48 signed permutation matrices.

    :return: the group, with irreps A1g, A2g, Eg, T1g, T2g and their odd partners
    """
    matrices = torch.zeros(48, 3, 3, dtype=torch.float64)
    elements = product(permutations(range(3)), product((1.0, -1.0), repeat=3))
    for matrix, (order, signs) in zip(matrices, elements, strict=True):
        matrix[range(3), order] = torch.tensor(signs, dtype=torch.float64)
    # classes of the rotations: E, 8 C3, 3 C2, 6 C4, 6 C2'
    rotations = {
        "A1": (1, 1, 1, 1, 1),
        "A2": (1, 1, 1, -1, -1),
        "E": (2, -1, 2, 0, 0),
        "T1": (3, 0, -1, 1, -1),
        "T2": (3, 0, -1, -1, 1),
    }
    signs = torch.linalg.det(matrices).round()
    classes = [_rotation_class(sign * m) for sign, m in zip(signs, matrices, strict=True)]
    characters = {}
    for parity, suffix in ((1, "g"), (-1, "u")):
        for name, row in rotations.items():
            values = [
                row[c] * (1 if sign > 0 else parity)
                for c, sign in zip(classes, signs, strict=True)
            ]
            characters[name + suffix] = values
    return FiniteGroup(matrices, characters)


def _rotation_class(rotation: torch.Tensor) -> int:
    """Class of a rotation of the cube: E, C3, C2 about an axis, C4, C2 about a diagonal."""
    trace = int(rotation.trace().round())
    diagonal = int((rotation.diagonal().abs() > 0.5).sum()) == 3
    return {3: 0, 0: 1, 1: 3}.get(trace, 2 if diagonal else 4)
