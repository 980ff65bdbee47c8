"""Models, structures and references for the tests of the models."""

import ase
import torch
from common import TYPES, crystal, molecule
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import (
    get_energy_target_info,
    get_generic_target_info,
)


def rotations(n=4, seed=0):
    """Random orthogonal matrices, proper and improper by turns."""
    generator = torch.Generator().manual_seed(seed)
    random = torch.randn(n, 3, 3, dtype=torch.float64, generator=generator)
    matrices, _ = torch.linalg.qr(random)
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(n)[:n]
    return matrices * (signs * torch.linalg.det(matrices))[:, None, None]


def left_handed():
    atoms = crystal()
    atoms.set_cell(atoms.cell[[1, 0, 2]])
    return atoms


STRUCTURES = {
    "molecule": molecule,
    "crystal": crystal,
    "left-handed": left_handed,
    "isolated": lambda: ase.Atoms("C", [[0.1, 0.2, 0.3]]),
    "dimer": lambda: ase.Atoms("CO", [[0.1, 0.2, 0.3], [0.7, -0.3, 1.0]]),
}


def generic(kind, sample_kind="atom", quantity="", unit="", n=1):
    options = {"quantity": quantity, "unit": unit, "type": kind}
    options |= {"num_subtargets": n, "sample_kind": sample_kind}
    return options


def irreps(*pairs):
    named = [{"o3_lambda": degree, "o3_sigma": sigma} for degree, sigma in pairs]
    return {"spherical": {"irreps": named}}


def rich_info(*, gradients=False):
    """Targets of all kinds."""
    targets = {
        "energy": get_energy_target_info(
            "energy",
            {"quantity": "energy", "unit": "eV"},
            add_position_gradients=gradients,
            add_strain_gradients=gradients,
        )
    }
    cartesian = {
        "non_conservative_force": generic({"cartesian": {"rank": 1}}, unit="eV/A"),
        "non_conservative_stress": generic({"cartesian": {"rank": 2}}, "system"),
        "mtt::matrix": generic({"cartesian": {"rank": 2}}, "system"),
        "mtt::density": generic(irreps((0, 1), (1, -1), (3, 1)), n=2),
        "mtt::scalars": generic("scalar", "atom", n=3),
    }
    for name, options in cartesian.items():
        targets[name] = get_generic_target_info(name, options)
    return DatasetInfo("Angstrom", TYPES, targets)
