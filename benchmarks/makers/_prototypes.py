"""Undistorted solids and molecules of 19 elements, of 3 to 12 atoms."""

from __future__ import annotations

import functools

from ase import Atoms
from ase.build import bulk
from ase.collections import g2
from ase.spacegroup import crystal


# lattice constants in Å
ROCKSALT = {
    "MgO": 4.21, "LiF": 4.03, "NaCl": 5.64, "CaO": 4.81, "NaF": 4.63, "LiCl": 5.13,
    "TiC": 4.33, "TiN": 4.24, "KF": 5.35, "CaS": 5.69,
}  # fmt: skip
ZINCBLENDE = {"BN": 3.62, "SiC": 4.36, "AlP": 5.46, "BeS": 4.86, "BP": 4.54, "CuCl": 5.42}
DIAMOND = {"C": 3.57, "Si": 5.43}
FCC = {"Al": 4.05, "Cu": 3.61}
BCC = {"Li": 3.49, "Na": 4.23}
HCP = {"Mg": (3.21, 5.21), "Ti": (2.95, 4.68), "Be": (2.29, 3.58)}
FLUORITE = {"CaF2": 5.46, "OLi2": 4.62, "SNa2": 6.54}
IN_MOLECULES = {"H", "C", "N", "O", "F", "Si", "P", "S", "Cl"}


@functools.cache
def solids() -> dict[str, Atoms]:
    """Crystals in right-handed cells of 8 to 12 atoms, by name."""
    found = {name: bulk(name, "rocksalt", a, cubic=True) for name, a in ROCKSALT.items()}
    found |= {n: bulk(n, "zincblende", a, cubic=True) for n, a in ZINCBLENDE.items()}
    found |= {n: bulk(n, "diamond", a, cubic=True) for n, a in DIAMOND.items()}
    found |= {n: bulk(n, "fcc", a, cubic=True).repeat((2, 1, 1)) for n, a in FCC.items()}
    found |= {n: bulk(n, "bcc", a, cubic=True).repeat((2, 2, 1)) for n, a in BCC.items()}
    found |= {n: bulk(n, "hcp", a, c=c).repeat((2, 2, 1)) for n, (a, c) in HCP.items()}
    found |= {n: bulk(n, "fluorite", a, cubic=True) for n, a in FLUORITE.items()}
    for name, cell in _with_symmetry().items():
        found[name] = cell
    return {name: Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
            for name, atoms in found.items()}  # fmt: skip


def _with_symmetry() -> dict[str, Atoms]:
    """Crystals that need a space group."""
    perovskite = crystal(
        ("Ca", "Ti", "O"),
        [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)],
        spacegroup=221,
        cellpar=[3.89, 3.89, 3.89, 90, 90, 90],
    )
    rutile = crystal(
        ("Ti", "O"),
        [(0, 0, 0), (0.305, 0.305, 0)],
        spacegroup=136,
        cellpar=[4.59, 4.59, 2.96, 90, 90, 90],
    )
    quartz = crystal(
        ("Si", "O"),
        [(0.470, 0, 0), (0.414, 0.268, 0.119)],
        spacegroup=152,
        cellpar=[4.91, 4.91, 5.40, 90, 90, 120],
    )
    return {
        "CaTiO3": perovskite.repeat((2, 1, 1)),
        "TiO2": rutile.repeat((1, 1, 2)),
        "SiO2": quartz,
    }


@functools.cache
def molecules() -> dict[str, Atoms]:
    """Closed-shell molecules of 3 to 9 atoms, by name."""
    found = {}
    for name in g2.names:
        atoms = g2[name]
        closed = (
            sum(atoms.numbers) % 2 == 0 and not atoms.get_initial_magnetic_moments().any()
        )
        if closed and 3 <= len(atoms) <= 9 and set(atoms.symbols) <= IN_MOLECULES:
            found[name] = Atoms(atoms.numbers, atoms.positions)
    return found
