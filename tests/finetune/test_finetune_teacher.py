"""The model averaged over a group."""

import numpy as np
import pytest
import torch
from finetune_common import DENSITY, FORCE, molecules, structures, tiny
from metatomic.torch import ModelOutput, systems_to_torch
from metatomic.torch.o3 import O3Transformations
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

from metatrain_symmetry.finetune import teacher as room
from metatrain_symmetry.finetune.teacher import CANDIDATES, Teacher
from metatrain_symmetry.groups.frames import random_frame


CPU = torch.device("cpu")


def system_of(atoms):
    return systems_to_torch(atoms, dtype=torch.float64)


def asked(model, atoms, matrix):
    """Energy, its derivatives, direct force and λ = 2 of a structure that numpy rotates."""
    atoms = atoms.copy()
    atoms.set_cell(atoms.cell[:] @ matrix.T)
    atoms.positions = atoms.positions @ matrix.T
    system = system_of(atoms)
    strain = torch.eye(3, dtype=torch.float64, requires_grad=True)
    system.positions = (system.positions @ strain).detach() @ strain
    system.cell = system.cell @ strain
    get_system_with_neighbor_lists(system, get_requested_neighbor_lists(model))
    outputs = {
        "energy": ModelOutput(sample_kind="system"),
        FORCE: ModelOutput(sample_kind="atom"),
        DENSITY: ModelOutput(sample_kind="atom"),
    }
    positions = system.positions
    found = model([system], outputs)
    energy = found["energy"].block().values
    by_position, by_strain = torch.autograd.grad(energy.sum(), [positions, strain])
    values = [energy, by_position, by_strain]
    values += [found[name].block().values[..., 0] for name in (FORCE, DENSITY)]
    return [part.detach().numpy() for part in values]


def by_hand(model, atoms, matrices):
    """Mean of what is rotated back, one matrix after the other."""
    total = None
    for matrix in matrices:
        energy, force, strain, direct, density = asked(model, atoms, matrix.numpy())
        wigner = O3Transformations(matrix[None], 2).wigner_D_matrices(2)[0].numpy()
        back = [
            energy,
            force @ matrix.numpy(),
            matrix.numpy().T @ strain @ matrix.numpy(),
            direct @ matrix.numpy(),
            # (2,+) does not change sign under inversion
            density @ wigner,
        ]
        total = back if total is None else [a + b for a, b in zip(total, back, strict=True)]
    return [part / len(matrices) for part in total]


@pytest.mark.parametrize("make", [structures, molecules])
def test_a_mean_is_one_rotation_after_the_other(make, monkeypatch):
    monkeypatch.setattr(room, "CPU_SIZE", 100)  # several chunks, of unlike sizes
    model, (atoms,) = tiny(), make(1)
    teacher = Teacher(model, CPU)
    teacher.points = CANDIDATES[0]
    found = teacher.mean(system_of(atoms), 7, label=5)
    matrices = teacher.points.orbit(0, random_frame(7)).matrices
    expected = by_hand(tiny().eval(), atoms, matrices)
    block = found["energy"].block()
    values = [
        block.values,
        block.gradient("positions").values[..., 0],
        block.gradient("strain").values[0, ..., 0],
        found[FORCE].block().values[..., 0],
        found[DENSITY].block().values[..., 0],
    ]
    for one, other in zip(values, expected, strict=True):
        assert one.dtype == torch.float64
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-9, atol=1e-10)
    # with composition, and under the name that labels have
    assert abs(float(block.values)) > 0.1 * len(atoms)
    assert block.samples.column("system").tolist() == [5]
    atoms_of = found[FORCE].block().samples.values.tolist()
    assert atoms_of == [[5, i] for i in range(len(atoms))]
    gradient = block.gradient("positions").samples
    assert gradient.values.tolist() == [[0, i] for i in range(len(atoms))]


def test_a_teacher_leaves_model_and_structure_alone():
    model, (atoms,) = tiny(dtype=torch.float32), structures(1)
    before = {k: v.clone() for k, v in model.state_dict().items() if torch.is_tensor(v)}
    system = system_of(atoms)
    mean = Teacher(model, CPU).mean(system, 0)
    assert mean["energy"].block().values.dtype == torch.float64
    assert system.known_neighbor_lists() == []
    assert model.training
    assert all(
        torch.equal(v, before[k]) for k, v in model.state_dict().items() if k in before
    )


def directly(model, atoms, points, frames=12):
    """Share of A that is left in the direct force, over many frames."""
    teacher = Teacher(model, CPU)
    teacher.points = points
    system = system_of(atoms)
    means = torch.stack(
        [teacher.mean(system, 1000 + i)[FORCE].block().values for i in range(frames)]
    )
    left = float(means.var(dim=0).sum())
    teacher.points = CANDIDATES[-1]
    values = teacher._values(system, 3)[FORCE]
    return (left / float(values.var(dim=0, correction=0).sum())) ** 0.5


def test_the_orbit_that_is_chosen(monkeypatch):
    model, frames = tiny(), structures(2)
    systems = [system_of(atoms) for atoms in frames]
    teacher = Teacher(model, CPU)
    left = teacher.choose_points(systems)
    assert left <= room.EXACT_ENOUGH
    assert directly(model, frames[0], teacher.points) <= 1.5 * room.EXACT_ENOUGH
    monkeypatch.setattr(room, "EXACT_ENOUGH", 1e-3)
    strict = Teacher(model, CPU)
    less = strict.choose_points(systems)
    chosen = [CANDIDATES.index(one.points) for one in (teacher, strict)]
    assert chosen[1] > chosen[0]
    assert less < left


def test_what_is_left_is_what_frames_scatter():
    """Estimated with three frames on each of 6 structures; with eight random ones here."""
    model, frames = tiny(), structures(6)
    teacher = Teacher(model, CPU)
    teacher.points = CANDIDATES[0]
    systems = [system_of(atoms) for atoms in frames]
    estimate = teacher._left(systems)
    assert estimate < 1
    between = within = 0.0
    exact = Teacher(model, CPU)
    for system in systems[:3]:
        means = [teacher.mean(system, 500 + i)[FORCE].block().values for i in range(8)]
        between += float(torch.stack(means).var(dim=0).sum())
        within += float(exact._values(system, 9)[FORCE].var(dim=0, correction=0).sum())
    # the largest over all targets is at least that of one, up to the noise of three frames
    assert estimate > 0.6 * (between / within) ** 0.5
