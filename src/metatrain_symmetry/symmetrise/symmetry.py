"""The symmetry of one structure: its operations, what is invariant under them."""

from dataclasses import dataclass
from numbers import Real
from typing import Any

import ase
import numpy as np
from ase.spacegroup.symmetrize import symmetrize_rank1, symmetrize_rank2

from ..messages import quoted
from .crystals import box, space_group
from .molecules import point_group


INPUTS = ("initial_charges", "initial_magmoms")
"""Arrays of atoms that models read and that can tell equivalent atoms apart."""

SAME = 0.01
"""Elementary charges, or Bohr magnetons, that make no difference."""


@dataclass(frozen=True, eq=False)
class Symmetry:
    """Operations that a structure has, and projections onto what they leave invariant.

    Atoms that are equivalent by translation form a class; in a primitive cell and in a
    molecule each atom is its own. An operation takes class ``c`` to class
    ``permutations[g, c]``, and its place ``u`` to ``rotations[g] @ u + offsets[g, c]``.
    Places are relative to the mean of all classes. For a crystal or a slab they are in
    units of the primitive lattice vectors, so that rotations are whole numbers and stay
    valid when the cell is strained; for a molecule they are in Å.

    :param name: international symbol of the space group, or Schoenflies symbol of the
        point group; of a slab, the space group of slabs far apart
    :param rotations: shape ``(n, 3, 3)``
    :param permutations: int, shape ``(n, classes)``
    :param offsets: shape ``(n, classes, 3)``
    :param classes: int, class of each atom, shape ``(atoms,)``
    :param lattice: from the lattice vectors of a structure to the primitive ones
    :param kinds: of :func:`kinds_of`, shape ``(atoms,)``
    :param pbc: periodic directions, shape ``(3,)``

    >>> from ase.build import bulk
    >>> from metatrain_symmetry import find_symmetry
    >>> atoms = bulk("Cu", cubic=True).repeat((2, 1, 1))
    >>> symmetry = find_symmetry(atoms)
    >>> symmetry.name, len(symmetry)
    ('Fm-3m', 48)
    >>> bool(abs(symmetry.vectors(atoms, atoms.positions)).max() < 1e-14)
    True
    """

    name: str
    rotations: np.ndarray
    permutations: np.ndarray
    offsets: np.ndarray
    classes: np.ndarray
    lattice: np.ndarray
    kinds: np.ndarray
    pbc: np.ndarray

    def __len__(self) -> int:
        return len(self.rotations)

    def fits(self, atoms: ase.Atoms) -> bool:
        """Whether a structure has the same atoms and periodic directions.

        :param atoms: any structure
        """
        return np.array_equal(self.kinds, kinds_of(atoms)) and np.array_equal(
            self.pbc, atoms.pbc
        )

    def vectors(self, atoms: ase.Atoms, values: np.ndarray) -> np.ndarray:
        """Project vectors of atoms, such as forces.

        :param atoms: the structure, with its present cell
        :param values: shape ``(atoms, 3)``
        :return: the part that is invariant, the same shape
        """
        basis = self._basis(atoms)
        inverse = np.linalg.inv(basis)
        found: np.ndarray = symmetrize_rank1(
            basis,
            inverse,
            self._mean(values),
            self.rotations,
            self.offsets,
            self.permutations,
        )
        return found[self.classes]

    def tensor(self, atoms: ase.Atoms, values: np.ndarray) -> np.ndarray:
        """Project a tensor of the structure, such as the stress.

        :param atoms: the structure, with its present cell
        :param values: shape ``(3, 3)``
        :return: the part that is invariant, the same shape
        """
        basis = self._basis(atoms)
        found: np.ndarray = symmetrize_rank2(
            basis, np.linalg.inv(basis), values, self.rotations
        )
        return found

    def vector(self, atoms: ase.Atoms, values: np.ndarray) -> np.ndarray:
        """Project a vector of the structure, such as the dipole.

        :param atoms: the structure, with its present cell
        :param values: shape ``(3,)``
        :return: the part that is invariant, the same shape
        """
        basis = self._basis(atoms)
        return values @ np.linalg.inv(basis) @ self.rotations.mean(axis=0).T @ basis

    def deviation(self, atoms: ase.Atoms) -> float:
        """How far a structure is from the symmetry.

        :param atoms: that the symmetry fits
        :return: largest distance in Å of an image from its atom, and of a lattice vector
            from its image
        """
        basis = self._basis(atoms)
        places, _, spread = self._places(atoms, basis)
        most = np.abs(spread @ basis).max(initial=0)
        for rotation, targets, offsets in self._operations():
            images = places @ rotation.T + offsets
            most = max(most, np.abs((images - places[targets]) @ basis).max(initial=0))
        metric = basis @ basis.T
        strain = np.abs(self._metric_error(metric)).max()
        return float(max(most, strain / np.sqrt(np.diag(metric)).min()))

    def refined(self, atoms: ase.Atoms) -> ase.Atoms:
        """The nearest structure that has the symmetry to machine precision.

        The mean of the positions and the orientation stay.

        :param atoms: that the symmetry fits
        :return: a copy
        """
        copy = atoms.copy()
        basis = self._basis(atoms)
        places, cells, _ = self._places(atoms, basis)
        moves = np.zeros_like(places)
        for rotation, targets, offsets in self._operations():
            moves[targets] += places @ rotation.T + offsets - places[targets]
        places += moves / len(self)
        metric = basis @ basis.T
        after = _nearest(metric + self._metric_error(metric), basis)
        positions = (places[self.classes] + cells) @ after
        copy.positions[:] = positions + (atoms.positions - positions).mean(axis=0)
        copy.cell[:] = atoms.cell.array @ np.linalg.inv(basis) @ after
        return copy

    def _operations(self) -> "zip[tuple[np.ndarray, np.ndarray, np.ndarray]]":
        return zip(self.rotations, self.permutations, self.offsets, strict=True)

    def _basis(self, atoms: ase.Atoms) -> np.ndarray:
        return self.lattice @ box(atoms) if self.pbc.any() else np.eye(3)

    def _mean(self, values: np.ndarray) -> np.ndarray:
        """Mean over each class."""
        sums = np.zeros((self.permutations.shape[1], 3))
        np.add.at(sums, self.classes, values)
        return sums / np.bincount(self.classes)[:, None]

    def _places(
        self, atoms: ase.Atoms, basis: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Place of each class, lattice vector to each atom, and what is left."""
        centred = atoms.positions - atoms.positions.mean(axis=0)
        places = centred @ np.linalg.inv(basis)
        first = np.unique(self.classes, return_index=True)[1]
        cells = np.round(places - places[first][self.classes])
        inside = places - cells
        means = self._mean(inside)
        spread = inside - means[self.classes]
        return means - means.mean(axis=0), cells, spread

    def _metric_error(self, metric: np.ndarray) -> np.ndarray:
        turned = self.rotations.transpose(0, 2, 1) @ metric @ self.rotations
        return np.asarray((turned - metric).mean(axis=0))


def _nearest(metric: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Lattice vectors of a metric that are nearest to others, in rows."""
    lower = np.linalg.cholesky(metric)
    left, _, right = np.linalg.svd(lower.T @ basis)
    return np.asarray(lower @ left @ right)


def check_symprec(symprec: Any) -> None:
    """Refuse what is no tolerance.

    :param symprec: as given
    :raises ValueError: if it is no positive number
    """
    if not isinstance(symprec, Real) or not 0 < float(symprec) < float("inf"):
        raise ValueError(f"symprec is {quoted(symprec)}: give a positive length in Å")


def kinds_of(atoms: ase.Atoms) -> np.ndarray:
    """Which atoms are of the same kind.

    Models may read charges and magnetic moments, so that atoms of an element are of several
    kinds if these differ by more than :data:`SAME`. Tags and masses count for nothing.

    :param atoms: any structure
    :return: int, shape ``(atoms,)``; equal for atoms of the same kind
    """
    columns = [atoms.arrays[name] for name in INPUTS if name in atoms.arrays]
    labels = np.zeros((len(atoms), 1), int)
    for values in (np.reshape(one, (len(atoms), -1)).T for one in columns):
        for column in values:
            order = np.argsort(column, kind="stable")
            steps = np.diff(column[order], prepend=column[order[:1]]) > SAME
            label = np.empty(len(atoms), int)
            label[order] = np.cumsum(steps)
            labels = np.column_stack([labels, label])
    kinds = np.unique(labels, axis=0, return_inverse=True)[1].ravel()
    return np.asarray(atoms.numbers * len(atoms) + kinds)


def find_symmetry(atoms: ase.Atoms, symprec: float = 1e-3) -> Symmetry:
    """Find the space group of a crystal or a slab, or the point group of a molecule.

    Crystals and slabs are left to spglib. For a slab, directions that are not periodic are
    filled with vacuum, so that no operation crosses it. Linear molecules get a finite group
    that leaves the same vectors invariant. Atoms of an element whose initial charges or
    magnetic moments differ by more than 0.01 are not equivalent.

    :param atoms: a structure; one without periodic directions is a molecule, whatever its
        cell
    :param symprec: tolerance in Å
    :raises ValueError: if the tolerance is not positive, spglib fails, two atoms are too
        close for the tolerance, or what is found at it is no group
    :return: the symmetry

    >>> from ase.build import bulk, molecule
    >>> from metatrain_symmetry import find_symmetry
    >>> for atoms in (bulk("Si", cubic=True), molecule("C6H6")):
    ...     symmetry = find_symmetry(atoms)
    ...     print(symmetry.name, len(symmetry))
    Fd-3m 48
    D6h 24
    """
    check_symprec(symprec)
    if not isinstance(atoms, ase.Atoms):
        raise ValueError(f"{quoted(atoms)} is no structure: give an ase.Atoms")
    if len(atoms) == 0:
        raise ValueError("the structure has no atoms: give one that has")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise ValueError("positions or cell of the structure are not finite: correct it")
    kinds = kinds_of(atoms)
    if atoms.pbc.any():
        found = space_group(atoms, kinds, symprec)
    else:
        found = point_group(atoms.positions, kinds, symprec)
    return Symmetry(*found, kinds, atoms.pbc.copy())


def refine_symmetry(atoms: ase.Atoms, symprec: float = 1e-3) -> ase.Atoms:
    """Make a structure exactly as symmetric as it nearly is.

    Do this once before a relaxation with :class:`ProjectedCalculator`: projected forces
    keep a symmetry, and repair none that is broken already.

    :param atoms: a crystal, a slab or a molecule
    :param symprec: tolerance in Å
    :raises ValueError: as :func:`find_symmetry`
    :return: a copy with the same mean of positions and the same orientation, symmetric to
        machine precision

    >>> from ase.build import bulk
    >>> from metatrain_symmetry import find_symmetry, refine_symmetry
    >>> atoms = bulk("Cu", cubic=True)
    >>> atoms.rattle(1e-4)
    >>> find_symmetry(atoms, 1e-5).name
    'P1'
    >>> find_symmetry(refine_symmetry(atoms), 1e-9).name
    'Fm-3m'
    """
    return find_symmetry(atoms, symprec).refined(atoms)
