"""Batches with copies cost what metatrain's own batches cost."""

import numpy as np
import pytest
import scipy.stats
import torch
from metatomic.torch import System
from metatrain.utils.data import CombinedDataLoader, Dataset, build_train_dataloaders

from metatrain_symmetry.training.penalty.batches import (
    Switch,
    ThinnedBatches,
    thinned_loaders,
)
from metatrain_symmetry.training.penalty.schedule import Schedule


def schedule(copies, start=0.0, num_epochs=4, epoch=0):
    options = {"weight": 8.0, "copies": copies, "start": start, "ramp": 0.0}
    return Schedule(options, num_epochs, epoch)


def structures(sizes):
    """A data set; the first coordinate of a structure is its index."""
    systems = [
        System(
            types=torch.ones(size, dtype=torch.int32),
            positions=torch.full((size, 3), float(index), dtype=torch.float64),
            cell=torch.zeros(3, 3, dtype=torch.float64),
            pbc=torch.tensor([False] * 3),
        )
        for index, size in enumerate(sizes)
    ]
    return Dataset.from_dict({"system": systems})


def loader(dataset, plan, switch=None, batch_size=8, atoms=None, num_workers=0):
    """metatrain's loader of batches, thinned; a batch says how many copies it has."""

    def collate(batch):
        return plan.copies, [int(one["system"].positions[0, 0]) for one in batch]

    found = build_train_dataloaders(
        train_datasets=[dataset],
        train_distributed_samplers=[None],
        collate_fn_train=collate,
        batch_size=batch_size,
        max_atoms_per_batch=atoms,
        min_atoms_per_batch=0,
        num_workers=num_workers,
    )
    original = len(found[0][0])
    switch = switch or Switch(lambda epoch: None)
    loaders, samplers = thinned_loaders(found, atoms is not None, plan, switch)
    assert samplers[-1] is switch
    # the schedule of the learning rate counts these
    assert len(loaders[0]) == original
    return CombinedDataLoader(loaders, shuffle=True), samplers


@pytest.mark.parametrize("copies", [2, 3, 4, 8])
def test_as_many_batches_and_no_more_evaluations(copies):
    batches, _ = loader(structures([1] * 40), schedule(copies))
    for _ in range(3):
        found = list(batches)
        assert len(found) == 5
        for count, indices in found:
            assert count == copies
            assert len(indices) == 8 // copies
            assert len(indices) * count <= 8
        together = [index for _, indices in found for index in indices]
        assert len(set(together)) == len(together)


def test_every_structure_has_its_turn():
    count, epochs = 24, 160
    batches, _ = loader(structures([1] * count), schedule(4))
    seen = np.zeros(count)
    for _ in range(epochs):
        for _, indices in batches:
            seen[indices] += 1
    assert seen.sum() == epochs * 3 * 2
    # two of eight in every epoch; one in a million for any of the structures to be outside
    least, most = scipy.stats.binom.interval(1 - 1e-6 / count, epochs, 2 / 8)
    assert least <= seen.min()
    assert seen.max() <= most


SIZES = [3, 5, 2, 9, 4, 7, 1, 6, 8, 2, 3, 4]


@pytest.mark.parametrize("copies", [2, 3])
def test_packed_by_atoms(copies):
    plan = schedule(copies)
    batches, samplers = loader(structures(SIZES), plan, atoms=20)
    original = [set(batch) for batch in samplers[0].all_batches]
    seen = set()
    for epoch in range(60):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        found = list(batches)
        assert len(found) == len(original)
        for count, indices in found:
            (batch,) = (one for one in original if set(indices) <= one)
            room = sum(SIZES[i] for i in batch)
            smallest = min(SIZES[i] for i in batch)
            used = count * sum(SIZES[i] for i in indices)
            # there is one structure at least, the smallest one if none would fit
            assert used <= room or used == count * smallest
            seen |= set(indices)
    fits = {i for b in original for i in b if copies * SIZES[i] <= sum(SIZES[j] for j in b)}
    assert seen >= fits
    assert len(fits) > len(SIZES) / 2


def test_a_structure_that_never_fits():
    """A batch of one structure keeps it, whatever its copies cost."""
    one = ThinnedBatches([[0], [1, 2]], [30, 20, 12].__getitem__, schedule(3))
    assert list(one) == [[0], [2]]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_full_batches_until_the_penalty_begins(num_workers):
    """With workers as well, which are started before metatrain announces an epoch."""
    begun = []
    plan = schedule(4, start=0.5)
    switch = Switch(begun.append)
    dataset = structures([1] * 16)
    batches, samplers = loader(dataset, plan, switch, num_workers=num_workers)
    for epoch in range(4):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        found = []
        for count, indices in batches:
            found.append((count, len(indices)))
            assert plan.weight == (0.0 if epoch < 2 else 8.0)
        assert found == [(1, 8) if epoch < 2 else (4, 2)] * 2
    assert begun == [0, 1, 2, 3]


@pytest.mark.parametrize(("epoch", "expected"), [(1, [1, 4]), (2, [4, 4])])
def test_a_restart_goes_on_with_the_schedule(epoch, expected):
    batches, _ = loader(structures([1] * 8), schedule(4, start=0.5, epoch=epoch))
    assert [count for _ in range(2) for count, _ in batches] == expected


def test_without_copies_batches_are_metatrain_s():
    plans = schedule(4, start=1.0), schedule(4, start=0.5)
    found = []
    for plan in plans:
        torch.manual_seed(3)
        found.append(list(loader(structures([1] * 24), plan)[0]))
    torch.manual_seed(3)
    (own,), _ = build_train_dataloaders(
        train_datasets=[structures([1] * 24)],
        train_distributed_samplers=[None],
        collate_fn_train=lambda b: (1, [int(one["system"].positions[0, 0]) for one in b]),
        batch_size=8,
        max_atoms_per_batch=None,
        min_atoms_per_batch=0,
        num_workers=0,
    )
    assert found[0] == found[1] == list(CombinedDataLoader([own], shuffle=True))
