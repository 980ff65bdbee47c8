"""Thirty crystals over the seven crystal systems and five molecules, with known symmetry.

Lattice constants and positions are textbook values, rounded: a relaxation changes them
anyhow. All elements are among the nineteen of the PES study, most of the crystals are not
among its structures. Orders of ions on a rocksalt lattice serve where nature has no small
crystal of low symmetry.
"""

from __future__ import annotations

import ase
import numpy as np
from ase.build import bulk, make_supercell, molecule
from ase.spacegroup import crystal

from metatrain_symmetry import find_symmetry


STRAIN = 0.02  # largest component of the strain
RATTLE = 0.05  # largest displacement, Å
THIRD, CUBE = 1 / 3, (90, 90, 90)
HEX = (90, 90, 120)

# symbols, positions, space group, cell
CRYSTALS = {
    "MgO": ("Mg O", [(0, 0, 0), (0.5, 0.5, 0.5)], 225, (4.21, 4.21, 4.21, *CUBE)),
    "CaF2": ("Ca F", [(0, 0, 0), (0.25, 0.25, 0.25)], 225, (5.46, 5.46, 5.46, *CUBE)),
    "SiC": ("Si C", [(0, 0, 0), (0.25, 0.25, 0.25)], 216, (4.36, 4.36, 4.36, *CUBE)),
    "Si": ("Si", [(0, 0, 0)], 227, (5.43, 5.43, 5.43, *CUBE)),
    "CaTiO3 cubic": ("Ca Ti O", [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)], 221,
                     (3.89, 3.89, 3.89, *CUBE)),
    "Mg": ("Mg", [(THIRD, 2 * THIRD, 0.25)], 194, (3.21, 3.21, 5.21, *HEX)),
    "BeO": ("Be O", [(THIRD, 2 * THIRD, 0), (THIRD, 2 * THIRD, 0.378)], 186,
            (2.70, 2.70, 4.38, *HEX)),
    "SiC 2H": ("Si C", [(THIRD, 2 * THIRD, 0), (THIRD, 2 * THIRD, 0.375)], 186,
               (3.08, 3.08, 5.05, *HEX)),
    "TiB2": ("Ti B", [(0, 0, 0), (THIRD, 2 * THIRD, 0.5)], 191,
             (3.03, 3.03, 3.23, *HEX)),
    "quartz": ("Si O", [(0.470, 0, 0), (0.414, 0.268, 0.119)], 152,
               (4.91, 4.91, 5.40, *HEX)),
    "corundum": ("Al O", [(0, 0, 0.352), (0.306, 0, 0.25)], 167,
                 (4.76, 4.76, 12.99, *HEX)),
    "calcite": ("Ca C O", [(0, 0, 0), (0, 0, 0.25), (0.257, 0, 0.25)], 167,
                (4.99, 4.99, 17.06, *HEX)),
    "TiS2": ("Ti S", [(0, 0, 0), (THIRD, 2 * THIRD, 0.25)], 164,
             (3.41, 3.41, 5.70, *HEX)),
    "brucite": ("Mg O H", [(0, 0, 0), (THIRD, 2 * THIRD, 0.22),
                (THIRD, 2 * THIRD, 0.42)], 164, (3.14, 3.14, 4.77, *HEX)),
    "rutile": ("Ti O", [(0, 0, 0), (0.305, 0.305, 0)], 136, (4.59, 4.59, 2.96, *CUBE)),
    "anatase": ("Ti O", [(0, 0, 0), (0, 0, 0.208)], 141, (3.785, 3.785, 9.514, *CUBE)),
    "MgF2": ("Mg F", [(0, 0, 0), (0.303, 0.303, 0)], 136, (4.62, 4.62, 3.05, *CUBE)),
    "cristobalite": ("Si O", [(0.30, 0.30, 0), (0.24, 0.10, 0.18)], 92,
                     (4.97, 4.97, 6.92, *CUBE)),
    "Al3Ti": ("Ti Al Al", [(0, 0, 0), (0, 0, 0.5), (0, 0.5, 0.25)], 139,
              (3.85, 3.85, 8.60, *CUBE)),
    "CaCl2": ("Ca Cl", [(0, 0, 0), (0.275, 0.325, 0)], 58, (6.24, 6.43, 4.20, *CUBE)),
    "CaTiO3": ("Ca Ti O O", [(0.036, 0.25, 0.993), (0, 0, 0.5), (0.484, 0.25, 0.071),
               (0.289, 0.037, 0.711)], 62, (5.44, 7.64, 5.38, *CUBE)),
    "CaSi": ("Ca Si", [(0, 0.36, 0.25), (0, 0.07, 0.25)], 63,
             (4.59, 10.79, 3.91, *CUBE)),
    "TiSi2": ("Ti Si", [(0, 0, 0), (0.336, 0, 0)], 70, (8.27, 4.80, 8.55, *CUBE)),
    "CuO": ("Cu O", [(0.25, 0.25, 0), (0, 0.418, 0.25)], 15,
            (4.68, 3.42, 5.13, 90, 99.5, 90)),
    "AlCl3": ("Al Cl Cl", [(0, 0.167, 0), (0.215, 0, 0.219), (0.248, 0.176, 0.225)], 12,
              (5.91, 10.24, 6.15, 90, 108.25, 90)),
    "KOH": ("K O H", [(0.17, 0.25, 0.285), (0.315, 0.25, 0.765), (0.38, 0.25, 0.91)], 11,
            (3.95, 4.00, 5.73, 90, 103.6, 90)),
}  # fmt: skip

CONVENTIONAL = ("MgO", "Si")
"""In the cell that people draw; the others are primitive."""

# lattice constant, supercell, atoms that are replaced, space group
ORDERED = {
    "CaMg3O4": ("MgO", 4.3, [[1, 0, 0], [0, 2, 0], [0, 1, 2]], {"Ca": [0]}, 12),
    "Ca4Mg2O5S": ("MgO", 4.8, [[2, 0, 0], [0, -1, -1], [-1, 2, -1]],
                  {"Ca": [0, 4, 6, 8], "S": [1]}, 2),
    "Ca3Mg3O4S2": ("MgO", 4.8, [[-1, 0, 2], [1, 2, 0], [-1, 2, 1]],
                   {"Ca": [2, 6, 8], "S": [7, 9]}, 2),
    "K3Na3F4Cl2": ("NaF", 5.3, [[-1, 0, 2], [1, 2, 0], [-1, 2, 1]],
                   {"K": [2, 6, 8], "Cl": [7, 9]}, 2),
}  # fmt: skip

MOLECULES = {"CH4": "Td", "NH3": "C3v", "C2H4": "D2h", "C2H6": "D3d", "CO2": "D∞h"}

PHONONS = ("CaF2", "SiC", "CaTiO3 cubic", "Mg", "BeO", "TiB2", "TiS2", "brucite",
           "rutile", "MgF2")  # fmt: skip
"""Primitive cells with degenerate modes at Γ."""


def known() -> dict[str, int | str]:
    """Number of the space group, or symbol of the point group, by name."""
    found: dict[str, int | str] = {name: row[2] for name, row in CRYSTALS.items()}
    return found | {name: row[4] for name, row in ORDERED.items()} | MOLECULES


def build(name: str) -> ase.Atoms:
    """Build a structure, not yet disturbed.

    :param name: one of :func:`known`
    :return: a crystal or a molecule
    """
    if name in MOLECULES:
        return molecule(name)
    if name in ORDERED:
        return _ordered(name)
    symbols, basis, group, cell = CRYSTALS[name]
    made = crystal(
        symbols.split(),
        basis,
        spacegroup=group,
        cellpar=cell,
        primitive_cell=name not in CONVENTIONAL,
    )
    return ase.Atoms(made.numbers, made.positions, cell=made.cell, pbc=True)


def _ordered(name: str) -> ase.Atoms:
    parent, constant, matrix, replaced, _ = ORDERED[name]
    made = make_supercell(bulk(parent, "rocksalt", a=constant), matrix)
    for symbol, places in replaced.items():
        made.symbols[places] = symbol
    return made


def disturbed(name: str, seed: int) -> ase.Atoms:
    """A structure that is strained and rattled within its symmetry.

    :param name: one of :func:`known`
    :param seed: of the disturbance
    :return: symmetric to machine precision
    """
    atoms = build(name)
    symmetry = find_symmetry(atoms, 1e-2)
    atoms = symmetry.refined(atoms)
    rng = np.random.default_rng([seed, sorted(known()).index(name)])
    if atoms.pbc.any():
        strain = rng.uniform(-STRAIN, STRAIN, size=(3, 3))
        strain = symmetry.tensor(atoms, (strain + strain.T) / 2)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    moves = rng.uniform(-RATTLE, RATTLE, size=(len(atoms), 3))
    atoms.positions += symmetry.vectors(atoms, moves)
    return symmetry.refined(atoms)
