"""Averages of exported models: closed forms, and explicit averages of another code."""

import ase.build
import numpy as np
import pytest
import torch
from averaged_common import (
    FORCE,
    ask,
    average_of,
    averaged_pair_energy,
    exported,
    inputs,
    pair_force,
)
from common import crystal, molecule, pet_ssh
from metatensor.torch import Labels
from metatomic_ase import MetatomicCalculator
from scipy.spatial.transform import Rotation

from metatrain_symmetry.groups import Irrep, representation


GROUPS = ("T", "O", "I", "Ti", "Ii", "i", "D2i")


def triclinic():
    atoms = ase.build.bulk("MgO", "rocksalt", a=4.21)
    atoms.set_cell([[0.2, 2.3, 2.0], [2.2, 0.1, 1.9], [2.0, 2.1, -0.3]], True)
    atoms.rattle(0.1, seed=2)
    return atoms


STRUCTURES = {"molecule": molecule, "crystal": triclinic}


def vectors(system):
    return system.get_neighbor_list(system.known_neighbor_lists()[0]).values.squeeze(-1)


@pytest.fixture(params=STRUCTURES)
def structure(request):
    return STRUCTURES[request.param]()


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("kind", ["system", "atom"])
def test_energy_forces_and_stress_in_closed_form(group, kind, structure, tmp_path):
    model = average_of(exported(), group, tmp_path / "a.pt")
    positions, strain, system = inputs(structure, model)
    known = averaged_pair_energy(vectors(system), group).sum()
    expected = torch.autograd.grad(known, (positions, strain))
    bare = ask(exported(), [system], {"energy": kind})["energy"].block().values.sum()

    positions, strain, system = inputs(structure, model)
    block = ask(model, [system], {"energy": kind})["energy"].block()
    found = torch.autograd.grad(block.values.sum(), (positions, strain))

    assert len(block.values) == (1 if kind == "system" else len(structure))
    torch.testing.assert_close(block.values.sum(), known, rtol=1e-12, atol=0)
    assert abs(bare - known) > 1e-3 * abs(known)
    for part, right in zip(found, expected, strict=True):
        torch.testing.assert_close(part, right, rtol=1e-11, atol=1e-9)


def test_atomic_energies_and_direct_forces(structure, tmp_path):
    model = average_of(exported(), "I", tmp_path / "a.pt", batch_atoms=50)
    _, _, system = inputs(structure, model)
    r = vectors(system).detach()
    neighbors = system.get_neighbor_list(system.known_neighbor_lists()[0])
    first = neighbors.samples.column("first_atom").long()
    zeros = torch.zeros(len(structure), 3, dtype=torch.float64)
    energies = zeros[:, 0].index_add(0, first, averaged_pair_energy(r, "I"))
    forces = zeros.index_add(0, first, r * (r * r).sum(1, keepdim=True) / 3)
    found = ask(model, [system], {"energy": "atom", FORCE: "atom"})
    torch.testing.assert_close(found["energy"].block().values[:, 0].detach(), energies)
    torch.testing.assert_close(found[FORCE].block().values[..., 0].detach(), forces)
    assert (forces - zeros.index_add(0, first, pair_force(r))).abs().max() > 1e-2


def test_several_systems_and_selected_atoms(tmp_path):
    model = average_of(exported(), "O", tmp_path / "a.pt")
    both = [molecule(), triclinic()]
    chosen = Labels(["system", "atom"], torch.tensor([[0, 1], [0, 4], [1, 0]]))
    given = [inputs(atoms, model) for atoms in both]
    systems = [system for _, _, system in given]
    found = ask(model, systems, {"energy": "system"}, chosen)["energy"].block()
    leaves = [positions for positions, _, _ in given]
    gradients = torch.autograd.grad(found.values.sum(), leaves, retain_graph=True)
    for i, (positions, _, system) in enumerate(given):
        neighbors = system.get_neighbor_list(system.known_neighbor_lists()[0])
        first = neighbors.samples.column("first_atom")
        kept = torch.isin(first, chosen.values[chosen.column("system") == i][:, 1])
        known = averaged_pair_energy(vectors(system)[kept], "O").sum()
        torch.testing.assert_close(found.values[i, 0], known)
        (expected,) = torch.autograd.grad(known, positions)
        torch.testing.assert_close(gradients[i], expected)


def test_units_of_an_engine(tmp_path):
    """Lengths in nm and energies in kJ/mol, as GROMACS asks for them."""
    from metatomic.torch import ModelEvaluationOptions, ModelOutput, System

    model = average_of(exported(), "T", tmp_path / "a.pt")
    _, _, system = inputs(triclinic(), model)
    known = averaged_pair_energy(vectors(system), "T").sum().detach()
    positions = (system.positions.detach() / 10).requires_grad_()
    converted = System(system.types, positions, system.cell.detach() / 10, system.pbc)
    from vesin.metatomic import compute_requested_neighbors

    compute_requested_neighbors(converted, "nm", model)
    options = ModelEvaluationOptions("nm", {"energy": ModelOutput(unit="kJ/mol")})
    block = model([converted], options, check_consistency=True)["energy"].block()
    assert block.values.item() == pytest.approx(known.item() * 96.48533, rel=1e-6)
    (gradient,) = torch.autograd.grad(block.values.sum(), positions)
    in_angstrom, _, system = inputs(triclinic(), model)
    known = averaged_pair_energy(vectors(system), "T").sum()
    (expected,) = torch.autograd.grad(known, in_angstrom)
    torch.testing.assert_close(gradient, expected * 964.8533, rtol=1e-6, atol=1e-3)


# --- a PET with targets of all kinds, against explicit averages ---------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A bare and an averaged PET."""
    from models_common import rich_info

    folder = tmp_path_factory.mktemp("pet")
    model = pet_ssh(rich_info(), d_pet=8, d_node=8, d_feedforward=8).double()
    bare = model.export()
    average_of(bare, "I", folder / "averaged.pt", batch_atoms=30)
    bare.save(str(folder / "bare.pt"))
    return folder


def rotations():
    """The icosahedral group, made from its generators and not by our code."""
    golden = (1 + 5**0.5) / 2
    axis = np.array([0, 1, golden])
    fivefold = Rotation.from_rotvec(2 * np.pi / 5 * axis / np.linalg.norm(axis))
    generators = [fivefold.as_matrix(), np.diag([1.0, -1, -1]), np.diag([-1.0, 1, -1])]
    found = [np.eye(3)]
    for known in found:
        for generator in generators:
            new = generator @ known
            if not any(np.allclose(new, other) for other in found):
                found.append(new)
    assert len(found) == 60
    return found


def rotated(atoms, matrix):
    copy = atoms.copy()
    copy.positions = atoms.positions @ matrix.T
    copy.set_cell(atoms.cell[:] @ matrix.T)
    return copy


def calculated(calculator, atoms):
    copy = atoms.copy()
    copy.calc = calculator
    stress = copy.get_stress(voigt=False) if all(atoms.pbc) else np.zeros((3, 3))
    return copy.get_potential_energy(), copy.get_forces(), stress


@pytest.mark.parametrize("make", [molecule, crystal], ids=["molecule", "crystal"])
def test_pet_in_ase_against_an_explicit_average(make, files):
    atoms, matrices = make(), rotations()
    bare = MetatomicCalculator(str(files / "bare.pt"))
    with torch.jit.optimized_execution(False):
        answers = [calculated(bare, rotated(atoms, m)) for m in matrices]
        average = MetatomicCalculator(str(files / "averaged.pt"))
        energy, forces, stress = calculated(average, atoms)
    each = [f @ m for (_, f, _), m in zip(answers, matrices, strict=True)]
    stresses = [m.T @ s @ m for (_, _, s), m in zip(answers, matrices, strict=True)]
    assert energy == pytest.approx(np.mean([e for e, _, _ in answers]), rel=1e-12)
    np.testing.assert_allclose(forces, np.mean(each, 0), atol=1e-11)
    np.testing.assert_allclose(stress, np.mean(stresses, 0), atol=1e-12)
    assert np.std(each, 0).max() > 1e-4


@pytest.mark.parametrize("make", [molecule, crystal], ids=["molecule", "crystal"])
def test_every_kind_of_target_is_rotated_back(make, files):
    from metatomic.torch import ModelOutput

    atoms, matrices = make(), rotations()
    kinds = {FORCE: "atom", "non_conservative_stress": "system", "mtt::matrix": "system"}
    kinds |= {"mtt::density": "atom", "mtt::scalars": "atom"}
    outputs = {name: ModelOutput(sample_kind=kind) for name, kind in kinds.items()}
    bare = MetatomicCalculator(str(files / "bare.pt"))
    average = MetatomicCalculator(str(files / "averaged.pt"))
    with torch.jit.optimized_execution(False):
        found = average.run_model(atoms, outputs)
        answers = bare.run_model([rotated(atoms, m) for m in matrices], outputs)
    turns = torch.tensor(np.array(matrices))
    for name in outputs:
        for key, block in answers[name].items():
            values = block.values.reshape(60, -1, *block.values.shape[1:])
            if "o3_lambda" in key.names:
                irrep = Irrep(int(key["o3_lambda"]), int(key["o3_sigma"]))
                turns_back = representation(irrep, turns).mT
                values = torch.einsum("nab,nsbp->nsap", turns_back, values)
            elif len(block.components) == 1:
                values = torch.einsum("nba,nsbp->nsap", turns, values)
            elif len(block.components) == 2:
                values = torch.einsum("nba,ndc,nsbdp->nsacp", turns, turns, values)
            mean = found[name].block(key).values
            torch.testing.assert_close(mean, values.mean(0), atol=1e-11, rtol=1e-9)
            # a molecule has no stress
            assert mean.abs().max() > 0 or (
                name == "non_conservative_stress" and make is molecule
            )
