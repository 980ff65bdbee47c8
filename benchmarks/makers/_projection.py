"""Projection of electron densities on one shell of angular momentum 8 per atom.

A molecule gets an RHF/6-31G* density ρ with pyscf. Its projection on one Gaussian per
atom, ``c_m = ∫ ρ(R + r) N |r|^8 exp(-α |r|²) Y_8m(r) dr`` with α = 1 / bohr², is a target
of 17 components per atom that transforms as (λ, σ) = (8, +1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ase import Atoms
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import systems_to_torch
from metatrain.utils.augmentation import O3Augmenter
from metatrain.utils.data.target_info import get_generic_target_info
from omegaconf import OmegaConf
from pyscf import dft, gto, scf
from pyscf.df.incore import aux_e2
from scipy.spatial.transform import Rotation


LAMBDA = 8
EXPONENT = 1.0  # 1 / bohr²
BASIS = "6-31g*"
TARGET_NAME = "mtt::density_l8"
TARGET_OPTIONS = {
    "quantity": "",
    "unit": "",
    "sample_kind": "atom",
    "num_subtargets": 1,
    "type": {
        "spherical": {"irreps": [{"o3_lambda": LAMBDA, "o3_sigma": 1}], "product": None}
    },
}


def density(atoms: Atoms) -> tuple[Any, np.ndarray]:
    """Solve the restricted Hartree-Fock equations.

    :param atoms: neutral closed-shell molecule, positions in Å
    :return: pyscf molecule and density matrix of shape ``(n_ao, n_ao)``
    """
    geometry = list(zip(atoms.get_chemical_symbols(), atoms.positions, strict=True))
    molecule = gto.M(atom=geometry, basis=BASIS, unit="Angstrom", verbose=0)
    # tight: λ = 8 must be covariant far below the error of any model
    field = scf.RHF(molecule).set(conv_tol=1e-11, conv_tol_grad=1e-7)
    field.kernel()
    if not field.converged:
        raise RuntimeError(f"no convergence for {atoms.info.get('name', atoms)}")
    return molecule, field.make_rdm1()


def auxiliary(molecule: Any) -> Any:
    """Put one shell of angular momentum 8 on each atom.

    :param molecule: pyscf molecule
    :return: pyscf molecule with these shells as its only basis functions
    """
    shells = {symbol: [[LAMBDA, [EXPONENT, 1.0]]] for symbol in set(molecule.elements)}
    return gto.M(atom=molecule.atom, basis=shells, unit="Angstrom", verbose=0)


def project(atoms: Atoms) -> np.ndarray:
    """Project the density of a molecule on the auxiliary shells, analytically.

    :param atoms: neutral closed-shell molecule, positions in Å
    :return: coefficients of shape ``(n_atoms, 17)``, m = -8..8: pyscf orders m so for
        every ℓ above 1, and its signs are those of metatrain (see `covariance_error`)
    """
    molecule, matrix = density(atoms)
    overlaps = aux_e2(molecule, auxiliary(molecule), intor="int3c1e_sph", aosym="s1")
    coefficients = np.einsum("uvp,uv->p", overlaps, matrix)
    return coefficients.reshape(len(atoms), 2 * LAMBDA + 1)


def quadrature_error(atoms: Atoms) -> float:
    """Compare the analytical projection with an integral on a molecular grid.

    :param atoms: molecule to check, positions in Å
    :return: largest absolute difference, relative to the largest coefficient
    """
    molecule, matrix = density(atoms)
    grid = dft.gen_grid.Grids(molecule)
    grid.level, grid.prune = 6, None
    grid.build()
    orbitals = molecule.eval_gto("GTOval_sph", grid.coords)
    rho = np.einsum("gu,gu->g", orbitals @ matrix, orbitals)
    shells = auxiliary(molecule).eval_gto("GTOval_sph", grid.coords)
    reference = project(atoms)
    difference = shells.T @ (rho * grid.weights) - reference.ravel()
    return float(np.abs(difference).max() / np.abs(reference).max())


def covariance_error(atoms: Atoms, seed: int) -> float:
    """Compare recomputed coefficients with what metatrain's augmentation makes.

    :param atoms: molecule to check, positions in Å
    :param seed: random seed of the rotation, which is followed by an inversion
    :return: largest absolute difference, relative to the largest coefficient
    """
    info = get_generic_target_info(TARGET_NAME, OmegaConf.create(TARGET_OPTIONS))
    matrix = -Rotation.random(None, np.random.default_rng(seed)).as_matrix()
    systems, targets, _ = O3Augmenter({TARGET_NAME: info}).apply_augmentations(
        systems_to_torch([atoms], dtype=torch.float64),
        {TARGET_NAME: as_tensor_map([project(atoms)])},
        [torch.tensor(matrix)],
    )
    moved = atoms.copy()
    moved.positions = systems[0].positions.numpy()
    reference = project(moved)
    predicted = targets[TARGET_NAME].block().values.squeeze(-1).numpy()
    return float(np.abs(predicted - reference).max() / np.abs(reference).max())


def as_tensor_map(coefficients: list[np.ndarray]) -> TensorMap:
    """Store per-atom coefficients as metatrain's ``metatensor`` reader expects them.

    :param coefficients: one array of shape ``(n_atoms, 17)`` for each structure
    :return: tensor map with one block, values of shape ``(sum of n_atoms, 17, 1)``
    """
    samples = [(i, a) for i, values in enumerate(coefficients) for a in range(len(values))]
    orders = torch.arange(-LAMBDA, LAMBDA + 1).reshape(-1, 1)
    block = TensorBlock(
        values=torch.tensor(np.concatenate(coefficients)).unsqueeze(-1),
        samples=Labels(["system", "atom"], torch.tensor(samples)),
        components=[Labels(["o3_mu"], orders)],
        properties=Labels([TARGET_NAME.removeprefix("mtt::")], torch.tensor([[0]])),
    )
    keys = Labels(["o3_lambda", "o3_sigma"], torch.tensor([[LAMBDA, 1]]))
    return TensorMap(keys, [block])


def species_rms(
    structures: list[Atoms], coefficients: list[np.ndarray]
) -> dict[int, float]:
    """Root mean square of the coefficients of each chemical element.

    :param structures: the molecules
    :param coefficients: one array of shape ``(n_atoms, 17)`` for each molecule
    :return: atomic number to root mean square
    """
    numbers = np.concatenate([atoms.numbers for atoms in structures])
    values = np.concatenate(coefficients)
    return {
        int(number): float(np.sqrt(np.mean(values[numbers == number] ** 2)))
        for number in np.unique(numbers)
    }
