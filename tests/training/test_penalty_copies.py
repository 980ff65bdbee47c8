"""Copies of structures and targets, against rotations made by hand."""

import numpy as np
import pytest
import torch
from metatomic.torch import System
from metatrain.utils.augmentation import O3Augmenter
from penalty_common import block, energies, representation, spherical_info, tensor_map

from metatrain_symmetry.training.penalty.copies import (
    ROTATIONS,
    CopyingAugmenter,
    repeated,
    rotations_of,
)
from metatrain_symmetry.training.penalty.schedule import Schedule


LABELS = [7, 3, 12]
SIZES = [2, 3, 1]
ATOMS = [(label, atom) for label, n in zip(LABELS, SIZES, strict=True) for atom in range(n)]
INFO = {"harmonics": spherical_info("harmonics", "2+", "2-")}


def schedule(copies):
    options = {"weight": 1.0, "copies": max(2, copies), "start": 0.0, "ramp": 0.0}
    return Schedule(options, 4, 0 if copies > 1 else -1)


@pytest.fixture
def batch():
    """Three structures, and what belongs to them."""
    random = np.random.default_rng(0).normal
    systems = [
        System(
            types=torch.arange(1, n + 1),
            positions=torch.tensor(random(size=(n, 3))),
            cell=torch.tensor(random(size=(3, 3))),
            pbc=torch.tensor([True] * 3),
        )
        for n in SIZES
    ]
    parents = np.repeat(np.arange(3), SIZES)
    forces = np.stack([parents, [atom for _, atom in ATOMS]], axis=1)
    structures = np.array(LABELS)[:, None]
    atoms = ["system", "atom"]
    targets = {
        "energy": energies(
            structures,
            {
                "positions": ("vector", forces, random(size=(6, 3, 1))),
                "strain": ("tensor", np.arange(3)[:, None], random(size=(3, 9, 1))),
            },
            random(size=(3, 1)),
        ),
        "charge": tensor_map(
            {"scalar": block("scalar", ATOMS, random(size=(6, 1)), atoms)}
        ),
        "dipole": tensor_map(
            {"vector": block("vector", ATOMS, random(size=(6, 3, 2)), atoms)}
        ),
        "stress": tensor_map(
            {"tensor": block("tensor", structures, random(size=(3, 9, 1)))}
        ),
        "harmonics": tensor_map(
            {
                kind: block(kind, ATOMS, random(size=(6, 5, 2)), atoms)
                for kind in ("2+", "2-")
            }
        ),
    }
    mask = block("scalar", ATOMS, torch.arange(6)[:, None] % 2 == 0, atoms)
    return systems, targets, {"charge_mask": tensor_map({"scalar": mask})}


KINDS = {
    "energy": ["scalar"],
    "charge": ["scalar"],
    "dipole": ["vector"],
    "stress": ["tensor"],
    "harmonics": ["2+", "2-"],
}


def by_hand(kind, values, structure, matrices):
    """Every copy of a structure's rows, one copy after the other.

    :param structure: place of each row's structure in the batch
    :param matrices: by structure and copy
    """
    rows = []
    for place, of_structure in enumerate(matrices):
        for matrix in of_structure:
            mine = values[structure == place]
            flat = mine.reshape(len(mine), -1, mine.shape[-1])
            turned = np.einsum("ab,nbp->nap", representation(kind, matrix), flat)
            rows.append(turned.reshape(mine.shape))
    return np.concatenate(rows)


@pytest.mark.parametrize("copies", [2, 3])
def test_copies_are_the_rotated_original(batch, copies):
    systems, targets, masks = batch
    augmenter = CopyingAugmenter(schedule(copies), INFO)
    new_systems, new_targets, extra = augmenter.apply_random_augmentations(*batch)
    matrices = extra[ROTATIONS].block().values.numpy().reshape(3, copies, 3, 3)
    assert len(np.unique(matrices.round(9), axis=0).reshape(-1, 9)) == 3 * copies
    assert set(np.sign(np.linalg.det(matrices)).ravel()) == {-1.0, 1.0}
    for place, system in enumerate(systems):
        for copy in range(copies):
            new = new_systems[place * copies + copy]
            turn = matrices[place, copy].T
            np.testing.assert_allclose(
                new.positions.numpy(), system.positions.numpy() @ turn, atol=1e-12
            )
            np.testing.assert_allclose(
                new.cell.numpy(), system.cell.numpy() @ turn, atol=1e-12
            )
            assert new.types.tolist() == system.types.tolist()
    for name, kinds in KINDS.items():
        for kind, old, new in zip(
            kinds, targets[name].blocks(), new_targets[name].blocks(), strict=True
        ):
            column = old.samples.column("system").tolist()
            structure = np.array([LABELS.index(label) for label in column])
            expected = by_hand(kind, old.values.numpy(), structure, matrices)
            np.testing.assert_allclose(new.values, expected, atol=1e-12)
            for gradient, tensors in [("positions", "vector"), ("strain", "tensor")]:
                if gradient not in old.gradients_list():
                    continue
                values = old.gradient(gradient).values.numpy()
                parents = old.gradient(gradient).samples.column("sample").numpy()
                expected = by_hand(tensors, values, parents, matrices)
                found = new.gradient(gradient)
                np.testing.assert_allclose(found.values, expected, atol=1e-12)
    # a mask is copied, not rotated
    columns = np.array([label for label, _ in ATOMS])
    old = masks["charge_mask"].block().values.numpy()
    expected = [old[columns == label] for label in LABELS for _ in range(copies)]
    assert (extra["charge_mask"].block().values.numpy() == np.concatenate(expected)).all()


def test_labels_of_the_copies(batch):
    _, targets, _ = batch
    atoms = repeated(targets["charge"], 3, 2).block().samples
    counted = [(copy, atom) for copy in range(6) for atom in range(SIZES[copy // 2])]
    assert atoms.values.tolist() == [list(row) for row in counted]
    energy = repeated(targets["energy"], 3, 2).block()
    assert energy.samples.values[:, 0].tolist() == list(range(6))
    # each gradient row belongs to the energy of its copy
    assert energy.gradient("positions").samples.values.tolist() == atoms.values.tolist()
    assert energy.gradient("strain").samples.values[:, 0].tolist() == list(range(6))


def test_a_structure_without_rows(batch):
    """A block that knows two of three structures, beside one that knows all."""
    _, targets, _ = batch
    full = targets["harmonics"].block({"o3_sigma": 1})
    part = block("2-", ATOMS[:2] + ATOMS[5:], full.values[[0, 1, 5]], ["system", "atom"])
    both = tensor_map({"2+": full.copy(), "2-": part})
    found = repeated(both, 3, 2).block({"o3_sigma": -1})
    assert found.samples.column("system").tolist() == [0, 0, 1, 1, 4, 5]
    assert torch.equal(found.values, full.values[[0, 1, 0, 1, 5, 5]])


def test_without_copies_it_is_metatrain_bit_by_bit(batch):
    torch.manual_seed(5)
    systems, targets, extra = O3Augmenter(INFO).apply_random_augmentations(*batch)
    torch.manual_seed(5)
    ours = CopyingAugmenter(schedule(1), INFO).apply_random_augmentations(*batch)
    assert list(ours[2]) == list(extra) == ["charge_mask"]
    assert rotations_of(ours[2], 2) is None
    for one, other in zip(ours[0], systems, strict=True):
        assert torch.equal(one.positions, other.positions)
    for name, target in targets.items():
        for one, other in zip(ours[1][name].blocks(), target.blocks(), strict=True):
            assert one.samples == other.samples
            assert torch.equal(one.values, other.values)
            for gradient in other.gradients_list():
                pair = (b.gradient(gradient).values for b in (one, other))
                assert torch.equal(*pair)
