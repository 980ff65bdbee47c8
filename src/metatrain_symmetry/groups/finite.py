r"""Finite groups, given by their matrices and their characters.

With the plain average over the group in place of the Haar average,

.. math::

    B_\alpha = \frac{d_\alpha}{|G|^2} \sum_{g, g'} \chi_\alpha(g^{-1} g')\,
        h(gx) \cdot h(g'x), \qquad \sum_\alpha B_\alpha = \langle |h|^2 \rangle,

exactly: a finite group has no residual. Characters may be complex, as those of C3; an
irrep and its conjugate then have the same power.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, ClassVar

import numpy as np
import torch

from ..messages import quoted
from .base import Group, PointSet, UniformOrbit
from .decompose import computed_characters
from .frames import Frame
from .gram import GramTransform
from .irreps import Irrep
from .matrices import irrep_matrices
from .mulliken import by_symbol, mulliken
from .wigner import representation


SAME = 1e-6
"""Distance of two matrices below which they are the same element."""


@dataclass(frozen=True)
class NamedIrrep:
    """An irrep known by its name.

    :param name: such as ``T1u``
    :param dimension: number of components
    """

    name: str
    dimension: int
    degree: ClassVar[int] = 0
    pseudo: ClassVar[bool] = False

    @property
    def labels(self) -> dict[str, int | str]:
        """Columns of a tidy table."""
        return {"irrep": self.name}

    def __str__(self) -> str:
        return self.name


class FiniteGroup(Group):
    """A finite group of orthogonal matrices.

    :param matrices: its elements, shape ``(n, 3, 3)``, anything that torch takes
    :param characters: for each irrep its character of every element, ``(n,)``, real or
        complex, in the order of the matrices; the trivial irrep comes first
    :param name: as in tables and on pages
    :raises ValueError: if the matrices are no group, or the characters are not those
        of all its irreps

    >>> import torch
    >>> from metatrain_symmetry.groups import FiniteGroup
    >>> mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    >>> group = FiniteGroup(
    ...     torch.stack([torch.eye(3), mirror]), {"A'": [1, 1], "A''": [1, -1]}, "Cs"
    ... )
    >>> [str(irrep) for irrep in group.irreps()]
    ["A'", "A''"]
    """

    finite = True
    chooses = ()

    def __init__(
        self,
        matrices: torch.Tensor,
        characters: Mapping[str, Sequence[complex] | np.ndarray],
        name: str = "a finite group",
    ) -> None:
        self.name = name
        self.matrices = _checked_matrices(matrices)
        self.products = product_table(self.matrices)
        self.given: dict[str, torch.Tensor] = {}
        self.table = _checked_table(characters, len(self.matrices))
        identity = int(torch.argmax(self.matrices.diagonal(dim1=1, dim2=2).sum(1)))
        sizes = self.table[:, identity].real.round().to(torch.int64).tolist()
        if sum(d * d for d in sizes) != len(matrices):
            raise ValueError(
                "the squared dimensions of the irreps add up to "
                f"{sum(d * d for d in sizes)}, not {len(matrices)}: some irreps are missing"
            )
        self._irreps = tuple(
            NamedIrrep(name, d) for name, d in zip(characters, sizes, strict=True)
        )
        self._check_order(sizes)
        if not torch.allclose(self.table[0], torch.ones_like(self.table[0])):
            raise ValueError(
                f"the first irrep, {self._irreps[0]}, is not the trivial one: list the "
                "one whose characters are all 1 first"
            )

    @classmethod
    def from_matrices(
        cls,
        matrices: object,
        name: str = "a finite group",
        representations: Mapping[str, Any] | None = None,
    ) -> "FiniteGroup":
        """Make a group from its elements alone: irreps and characters are computed.

        :param matrices: its elements, shape ``(n, 3, 3)``, anything that torch takes
        :param name: as in tables and on pages
        :param representations: your own matrices of all irreps instead, the trivial one
            first: for each name unitary matrices, one for each element, ``(n, d, d)``
        :raises ValueError: if the matrices are no group, or if the representations are not
            those of all its irreps
        :return: the group; its irreps have Mulliken's symbols, those of a complex pair as
            ``1E`` and ``2E``, or, where these do not tell them apart, numbers such as
            ``2.1``, the first of dimension 2

        >>> import numpy as np
        >>> from metatrain_symmetry import FiniteGroup
        >>> from scipy.spatial.transform import Rotation
        >>> turns = Rotation.create_group("C3").as_matrix()
        >>> mirror = np.diag([1.0, -1.0, 1.0])
        >>> c3v = FiniteGroup.from_matrices(np.concatenate([turns, turns @ mirror]), "C3v")
        >>> [str(irrep) for irrep in c3v.irreps()]
        ['A1', 'A2', 'E']
        """
        elements = _checked_matrices(matrices)
        products = product_table(elements)
        if representations is not None:
            _check_mapping(representations, "representations")
            given = {
                key: _checked_representation(key, one, products)
                for key, one in representations.items()
            }
            traces = {
                k: m.diagonal(dim1=1, dim2=2).sum(1).numpy() for k, m in given.items()
            }
            group = cls(elements, traces, name)
            group.given = given
            return group
        table = computed_characters(products)
        names = mulliken(elements.numpy(), table.numpy()) or _numbered(table)
        pairs = zip(names, table, strict=True)
        rows = dict(sorted(pairs, key=lambda pair: by_symbol(pair[0])))
        return cls(elements, {key: row.numpy() for key, row in rows.items()}, name)

    def _check_order(self, sizes: list[int]) -> None:
        """Characters reproduce themselves: ``d/|G| Σ_h χ(h) χ(h⁻¹ g) = χ(g)``."""
        n = len(self.matrices)
        for irrep, size, row in zip(self._irreps, sizes, self.table, strict=True):
            if not torch.allclose(size / n * row @ row[self.products], row, atol=1e-6):
                raise ValueError(
                    f"the characters of {irrep} do not belong to these matrices: give "
                    "them in the order of the matrices"
                )

    def _index(self, elements: torch.Tensor) -> torch.Tensor:
        """Which elements of the group some matrices are, shape as theirs, less two."""
        found = _nearest(elements.reshape(-1, 3, 3), self.matrices)
        if int(found.min()) < 0:
            raise ValueError(
                f"these are no group elements of {self.name}: give matrices of this group"
            )
        return found.reshape(elements.shape[:-2])

    def irreps(self, limit: int = 0) -> tuple[NamedIrrep, ...]:
        """List all irreps.

        :param limit: means nothing here
        :return: in the order in which they were given
        """
        return self._irreps

    def characters(
        self, irreps: Sequence[NamedIrrep], elements: torch.Tensor
    ) -> torch.Tensor:
        """Look up characters.

        :param irreps: of this group
        :param elements: of this group, shape ``(n, 3, 3)``
        :raises ValueError: if a matrix is not in the group
        :return: float64, or complex128 if one of the group is complex; ``(n_irreps, n)``
        """
        rows = [self._irreps.index(irrep) for irrep in irreps]
        return self.table[rows][:, self._index(elements.to(torch.float64))]

    def representation(self, irrep: Any, elements: torch.Tensor) -> torch.Tensor:
        """Compute the matrices by which values transform.

        :param irrep: of this group, or of O(3), restricted to this group
        :param elements: of this group, float64, shape ``(n, 3, 3)``
        :raises ValueError: if a matrix is not in the group
        :return: orthogonal matrices, or unitary ones if the characters are complex,
            shape ``(n, d, d)``
        """
        if isinstance(irrep, Irrep):
            return representation(irrep, elements)
        if irrep.name in self.given:
            return self.given[irrep.name][self._index(elements.to(torch.float64))]
        row = self.table[self._irreps.index(irrep)]
        matrices = irrep_matrices(self.products, row, irrep.dimension)
        return matrices[self._index(elements.to(torch.float64))]

    def contained(self, irrep: Any) -> tuple[NamedIrrep, ...]:
        """List the irreps of this group that values of an irrep are made of.

        :param irrep: of this group, or of O(3)
        :return: each once
        """
        if not isinstance(irrep, Irrep):
            return (irrep,)
        traces = representation(irrep, self.matrices).diagonal(dim1=1, dim2=2).sum(1)
        counts = (self.table.conj() @ traces.to(self.table.dtype)).real / len(traces)
        pairs = zip(self._irreps, counts.round().tolist(), strict=True)
        return tuple(own for own, count in pairs if count > 0)

    def exact(self, degree: int = 0) -> PointSet:
        """Name the point set that averages exactly: all elements.

        :param degree: means nothing here
        :return: the set
        """
        return WholeGroup(self)


@dataclass(frozen=True, eq=False)
class WholeGroup(PointSet):
    """All elements of a finite group: a point set.

    :param group: the group
    """

    group: FiniteGroup

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WholeGroup):
            return NotImplemented
        # other processes and files bring copies of a group
        one, two = self.group, other.group
        same = one is two or torch.equal(one.matrices, two.matrices)
        return same and (one.name, one.irreps()) == (two.name, two.irreps())

    def __hash__(self) -> int:
        return hash((self.group.name, self.size))

    @property
    def size(self) -> int:
        """Number of elements."""
        return len(self.group.matrices)

    def orbit(self, limit: int = 0, frame: Frame | None = None) -> "FiniteOrbit":
        """Make the orbit.

        :param limit: means nothing here
        :param frame: means nothing here: in another frame it would be another group
        :return: the orbit
        """
        return FiniteOrbit(self.group)

    def __str__(self) -> str:
        return f"all {self.size} elements of {self.group.name}"


class FiniteOrbit(UniformOrbit):
    """All elements of a finite group, each with the same weight.

    :param group: the group
    """

    transform_type = GramTransform

    def __init__(self, group: FiniteGroup) -> None:
        super().__init__(group.matrices)
        self.group = group

    @property
    def irreps(self) -> tuple[NamedIrrep, ...]:
        """All irreps of the group."""
        return self.group.irreps()

    def kernels(self) -> torch.Tensor:
        """``d_α Re χ_α(g⁻¹ g')`` for each irrep, float64, shape ``(n_irreps, n, n)``."""
        sizes = torch.tensor([irrep.dimension for irrep in self.irreps])
        return sizes[:, None, None] * self.group.table.real[:, self.group.products]

    def bytes_per_channel(self) -> int:
        """Memory that a transform takes for each channel, in bytes."""
        return 8 * len(self.matrices)


def _checked_matrices(matrices: object) -> torch.Tensor:
    """Elements as a tensor; orthogonal and different from each other, or refused."""
    found = _numbers(matrices, "matrices")
    if found.is_complex():
        raise ValueError("the matrices are complex: give real ones, (n, 3, 3)")
    found = found.to(torch.float64)
    if found.ndim != 3 or found.shape[1:] != (3, 3) or not len(found):
        raise ValueError(
            f"the matrices have the shape {tuple(found.shape)}: give (n, 3, 3)"
        )
    unit = torch.eye(3, dtype=torch.float64)
    if not torch.allclose(found @ found.mT, unit.expand_as(found), atol=SAME):
        raise ValueError(
            "the matrices are not all orthogonal: give those of Cartesian coordinates, to "
            "six digits"
        )
    same = torch.cdist(found.flatten(1), found.flatten(1)) < SAME
    if int(same.sum()) > len(found):
        raise ValueError("a matrix is given twice: give every element once")
    return found


def _numbers(values: object, what: str) -> torch.Tensor:
    """What was given as a tensor, of whatever holds numbers."""
    if isinstance(values, list | tuple) and any(torch.is_tensor(one) for one in values):
        values = [
            one.detach().cpu().numpy() if torch.is_tensor(one) else one for one in values
        ]
    if hasattr(values, "as_matrix"):  # rotations of scipy
        values = values.as_matrix()
    if isinstance(values, torch.Tensor):
        return values.detach().cpu()
    try:
        found = np.array(values)
        return torch.from_numpy(found if found.dtype.kind == "c" else found.astype(float))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the {what} are {quoted(values)}: give numbers, all of one shape"
        ) from error


def product_table(matrices: torch.Tensor) -> torch.Tensor:
    """Multiply all pairs of elements.

    :param matrices: orthogonal, float64, shape ``(n, 3, 3)``
    :raises ValueError: if they are not closed, or if there is no identity
    :return: index of ``g⁻¹ g'`` for each pair, shape ``(n, n)``
    """
    rows = [_nearest(one.T @ matrices, matrices) for one in matrices]
    table = torch.stack(rows)
    unit = torch.eye(3, dtype=matrices.dtype)
    if int(_nearest(unit[None], matrices)) < 0:
        raise ValueError("the matrices are no group: the identity is not among them")
    if int(table.min()) < 0:
        raise ValueError(
            "the matrices are no group: the product of two of them is not among them"
        )
    return table


def _nearest(elements: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Index of each matrix in a group, -1 if it is not there."""
    rows = elements.flatten(1).to(group.dtype)
    near = torch.cdist(rows, group.flatten(1)).min(dim=1)
    return torch.where(near.values < SAME, near.indices, -1)


def _checked_representation(
    name: str, matrices: object, products: torch.Tensor
) -> torch.Tensor:
    """Matrices of one irrep; unitary and a homomorphism, or refused."""
    found = _numbers(matrices, f"matrices of the representation {name}")
    found = found.to(torch.complex128 if found.is_complex() else torch.float64)
    n, size = len(products), found.shape[-1] if found.ndim else 0
    if found.shape != (n, size, size) or not size:
        raise ValueError(
            f"the representation {name} has the shape {tuple(found.shape)}: give (n, d, d) "
            f"with n = {n}, one matrix for each element"
        )
    unit = torch.eye(size, dtype=found.dtype)
    if not torch.allclose(found @ found.mH, unit.expand_as(found), atol=SAME):
        raise ValueError(f"the matrices of the representation {name} are not all unitary")
    pairs = torch.einsum("gji,hjk->ghik", found.conj(), found)
    if not torch.allclose(found[products], pairs, atol=SAME):
        raise ValueError(
            f"the representation {name} is not a homomorphism: the matrix of a product has "
            "to be the product of the matrices, in the order of the elements"
        )
    return found


def _check_mapping(values: Any, what: str) -> None:
    """Refuse what does not say to which irrep it belongs."""
    if not isinstance(values, Mapping) or not values:
        raise ValueError(
            f"{what} are {quoted(values)}: give those of each irrep by its name, in a "
            "dictionary"
        )


def _numbered(table: torch.Tensor) -> list[str]:
    """Names such as ``2.1``: dimension, and number among those that have it."""
    sizes = table.abs().amax(dim=1).round().to(torch.int64).tolist()
    return [f"{size}.{sizes[: i + 1].count(size)}" for i, size in enumerate(sizes)]


def _checked_table(
    characters: Mapping[str, Sequence[complex] | np.ndarray], n: int
) -> torch.Tensor:
    """Characters as a table, real where all of them are; orthonormal or refused."""
    _check_mapping(characters, "characters")
    rows = [_numbers(row, f"characters of {name}") for name, row in characters.items()]
    if {tuple(row.shape) for row in rows} != {(n,)}:
        raise ValueError(
            f"the irreps have different numbers of characters, or not {n}: give one value "
            f"for each of the {n} elements"
        )
    complex_ones = any(row.is_complex() for row in rows)
    table = torch.stack([row.to(torch.complex128) for row in rows])
    table = table if complex_ones else table.real
    table = table.to(torch.complex128 if table.is_complex() else torch.float64)
    unit = torch.eye(len(table), dtype=table.dtype)
    if table.shape[1:] != (n,) or not torch.allclose(table @ table.mH / n, unit, atol=SAME):
        raise ValueError(
            f"the characters are not orthonormal over the {n} elements: give one value "
            "for each element, for irreducible representations only (a pair of complex "
            "conjugate ones counts as two)"
        )
    return table


def octahedral_group() -> FiniteGroup:
    """Build the full octahedral group: the 48 signed permutation matrices.

    :return: the group, with irreps A1g, A2g, Eg, T1g, T2g and their odd partners

    >>> from metatrain_symmetry import octahedral_group
    >>> [str(irrep) for irrep in octahedral_group().irreps()[:5]]
    ['A1g', 'A2g', 'Eg', 'T1g', 'T2g']
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
    return FiniteGroup(matrices, characters, "Oh")


def _rotation_class(rotation: torch.Tensor) -> int:
    """Class of a rotation of the cube: E, C3, C2 about an axis, C4, C2 about a diagonal."""
    trace = int(rotation.trace().round())
    diagonal = int((rotation.diagonal().abs() > 0.5).sum()) == 3
    return {3: 0, 0: 1, 1: 3}.get(trace, 2 if diagonal else 4)
