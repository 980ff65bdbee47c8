"""Derivatives of averaged exports: memory, finite differences, and what is refused."""

import weakref

import numpy as np
import pytest
import torch
from averaged_common import FORCE, ask, average_of, exported, inputs
from common import crystal, molecule, pet_ssh
from metatomic.torch.o3 import SymmetrizedModel
from metatomic_ase import MetatomicCalculator
from models_common import rich_info
from torch.autograd.graph import saved_tensors_hooks

from metatrain_symmetry.groups import named_group
from metatrain_symmetry.symmetrise.export import averaged


STEP = 1e-4  # Å, and for the strain


class Saved:
    """Bytes that autograd keeps, now and at most."""

    def __init__(self):
        self.now = self.most = 0

    def pack(self, tensor):
        # not its graph: outputs that are saved would keep themselves alive
        holder, size = Holder(tensor.detach()), tensor.numel() * tensor.element_size()
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(holder, self._released, size)
        return holder

    def _released(self, size):
        self.now -= size


class Holder:
    def __init__(self, kept):
        self.kept = kept


def saved_bytes(model):
    """Most bytes kept by one evaluation with forces and stress."""
    positions, strain, system = inputs(crystal(), model)
    saved = Saved()
    with saved_tensors_hooks(saved.pack, lambda holder: holder.kept):
        energy = ask(model, [system], {"energy": "system"})["energy"].block().values
        torch.autograd.grad(energy.sum(), (positions, strain))
    return saved.most


@pytest.fixture(scope="module")
def small_pet():
    model = pet_ssh(rich_info(), d_pet=8, d_node=8, d_feedforward=8).double()
    return model.export()


def test_no_graph_grows_with_the_number_of_rotations(small_pet):
    bare = saved_bytes(small_pet)
    ours = {
        group: saved_bytes(averaged(small_pet, named_group(group), batch_atoms=1))
        for group in ("T", "O", "Ii")
    }
    # rotating positions, cell and neighbours, and the sum at the end
    assert max(ours.values()) < 1.3 * bare
    assert max(ours.values()) == min(ours.values())
    # the way of metatomic, to see that graphs are counted
    wrapped = SymmetrizedModel.wrap(
        small_pet, max_angular_momentum_target=3, max_angular_momentum_grid=3, batch_size=1
    )
    assert saved_bytes(wrapped) > 10 * bare


def test_batches_hold_as_many_atoms_as_asked(small_pet):
    one = saved_bytes(averaged(small_pet, named_group("T"), batch_atoms=2))
    three = saved_bytes(averaged(small_pet, named_group("T"), batch_atoms=7))
    assert 2.5 * one < three < 3.5 * one


@pytest.mark.parametrize("make", [molecule, crystal], ids=["molecule", "crystal"])
def test_forces_and_stress_are_finite_differences(make, small_pet, tmp_path):
    average_of(small_pet, "O", tmp_path / "a.pt")
    calculator = MetatomicCalculator(str(tmp_path / "a.pt"))
    atoms = make()

    def energy(atom=0, axis=0, step=0.0, strain=0.0):
        moved = atoms.copy()
        moved.positions[atom, axis] += step
        moved.set_cell(moved.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
        moved.calc = calculator
        return moved.get_potential_energy()

    with torch.jit.optimized_execution(False):
        atoms.calc = calculator
        forces = atoms.get_forces()
        for atom, axis in ((0, 0), (1, 1), (1, 2)):
            up, down = (energy(atom, axis, sign * STEP) for sign in (1, -1))
            assert (down - up) / (2 * STEP) == pytest.approx(forces[atom, axis], abs=2e-7)
        assert np.abs(forces).max() > 1e-2
        if not all(atoms.pbc):
            return
        stress = atoms.get_stress(voigt=False) * atoms.get_volume()
        for i, j in ((0, 0), (0, 1), (2, 1)):
            strain = np.zeros((3, 3))
            strain[i, j] = strain[j, i] = STEP
            slope = (energy(strain=strain) - energy(strain=-strain)) / (2 * STEP)
            expected = stress[i, j] if i == j else 2 * stress[i, j]
            assert slope == pytest.approx(expected, abs=2e-6)


# --- what is not known is infinite, and never wrong -----------------------------------


@pytest.fixture(scope="module", params=["float64", "float32"])
def average(request, tmp_path_factory):
    model = exported(dtype=request.param)
    path = tmp_path_factory.mktemp("average") / "a.pt"
    return average_of(model.to(getattr(torch, request.param)), "T", path)


def asked(average, kinds):
    """Outputs, and the positions to differentiate them by."""
    from metatomic.torch import System
    from vesin.metatomic import compute_requested_neighbors

    atoms, dtype = crystal(), getattr(torch, average.capabilities().dtype)
    positions = torch.tensor(atoms.positions, dtype=dtype, requires_grad=True)
    system = System(
        torch.tensor(atoms.numbers, dtype=torch.int32),
        positions,
        torch.tensor(atoms.cell[:], dtype=dtype),
        torch.tensor(atoms.pbc),
    )
    compute_requested_neighbors(system, "Angstrom", average)
    return positions, ask(average, [system], kinds)


def never_finite(values, positions):
    (gradient,) = torch.autograd.grad(values, positions)
    return not gradient.isfinite().any()


def test_one_atomic_energy_has_no_derivative_of_its_own(average):
    positions, found = asked(average, {"energy": "atom"})
    values = found["energy"].block().values[:, 0]
    weights = torch.tensor([1.0, 1.001], dtype=values.dtype)
    assert never_finite((values * weights).sum(), positions)
    positions, found = asked(average, {"energy": "atom"})
    (gradient,) = torch.autograd.grad(3 * found["energy"].block().values.sum(), positions)
    assert gradient.isfinite().all()


def test_direct_forces_have_no_derivative(average):
    positions, found = asked(average, {FORCE: "atom"})
    values = found[FORCE].block().values
    assert values.isfinite().all()
    assert never_finite(values[0, 0, 0], positions)


def test_there_is_no_second_derivative(average):
    positions, found = asked(average, {"energy": "system"})
    energy = found["energy"].block().values.sum()
    (gradient,) = torch.autograd.grad(energy, positions, create_graph=True)
    assert gradient.isfinite().all()
    (second,) = torch.autograd.grad(gradient[0, 0], positions)
    assert not second[0, 0].isfinite()


def test_without_gradients_there_is_no_graph(average):
    with torch.no_grad():
        _, found = asked(average, {"energy": "atom", FORCE: "atom"})
    assert not any(tensor.block().values.requires_grad for tensor in found.values())
