"""What the trainer is given: labels, a teacher, or both."""

import ase.io
import numpy as np
import pytest
import torch
from finetune_common import (
    DENSITY,
    FORCE,
    molecules,
    options,
    structures,
    tiny,
    write_world,
)
from metatensor.torch import Labels, TensorBlock, TensorMap

from metatrain_symmetry.data.splits import read_sets
from metatrain_symmetry.finetune.datasets import (
    labelled_sets,
    taught_set,
    unlabelled_systems,
)
from metatrain_symmetry.finetune.options import read_options
from metatrain_symmetry.finetune.teacher import CANDIDATES, Teacher
from metatrain_symmetry.finetune.tensors import mixture


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_world(tmp_path)


@pytest.fixture(scope="module")
def teacher():
    found = Teacher(tiny(), torch.device("cpu"))
    found.points = CANDIDATES[0]
    return found


def training_set(**sections):
    return read_sets(read_options(options(**sections)).sections)[0]


def rows_of(source, teacher, share):
    (found,) = labelled_sets(source, "angstrom", teacher, share)
    return [found[i]._asdict() for i in range(len(found))]


def parts(tensor):
    """Values of a target and its gradients, one after the other."""
    block = tensor.block()
    values = [block.values, *(gradient.values for _, gradient in block.gradients())]
    return torch.cat([part.flatten() for part in values])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_mixture(world, teacher, share):
    source = training_set()
    labels = rows_of(source, None, 0)
    mixed = rows_of(source, teacher, share)
    for number, (one, other) in enumerate(zip(labels, mixed, strict=True)):
        index = source.chosen[number][1]
        means = teacher.mean(one["system"], index)
        for name in ("energy", FORCE, DENSITY):
            expected = (1 - share) * parts(one[name]) + share * parts(means[name])
            torch.testing.assert_close(parts(other[name]), expected)
            samples = [t[name].block().samples for t in (one, other)]
            assert samples[0] == samples[1]
            assert samples[0].column("system").unique().tolist() == [index]


def test_labels_that_are_missing_are_taught(world, teacher):
    frames = structures()
    for atoms in frames:
        atoms.arrays["density"][1] = np.nan
        atoms.arrays[FORCE][0, 1] = np.nan
    ase.io.write("x.xyz", frames)
    source = training_set()
    labels, mixed = rows_of(source, None, 0), rows_of(source, teacher, 0.25)
    for number, (one, other) in enumerate(zip(labels, mixed, strict=True)):
        means = teacher.mean(one["system"], source.chosen[number][1])
        for name, missing in ((FORCE, 1), (DENSITY, 5)):
            given, mean = parts(one[name]), parts(means[name])
            known = given.isfinite()
            assert int((~known).sum()) == missing
            new = parts(other[name])
            assert torch.equal(new[~known], mean[~known])
            expected = 0.75 * given[known] + 0.25 * mean[known]
            torch.testing.assert_close(new[known], expected)


def test_a_target_without_labels_is_taught(world, teacher):
    section = options()["training_set"]
    del section["targets"][DENSITY]
    source = training_set(training_set=section)
    (row, *_) = rows_of(source, teacher, 0.0)
    mean = teacher.mean(row["system"], source.chosen[0][1])
    assert torch.equal(parts(row[DENSITY]), parts(mean[DENSITY]))
    (label, *_) = rows_of(source, None, 0)
    assert torch.equal(parts(row["energy"]), parts(label["energy"]))


def test_structures_without_labels(world, teacher):
    systems = unlabelled_systems({"read_from": "free.xyz"}, "angstrom")
    found = taught_set(systems, teacher)
    for i, atoms in enumerate(molecules(4)):
        row = found[i]._asdict()
        assert np.allclose(row["system"].positions, atoms.positions)
        mean = teacher.mean(row["system"], i, i)
        for name in ("energy", FORCE, DENSITY):
            assert torch.equal(parts(row[name]), parts(mean[name]))
    # in the unit of the model
    (one, *_) = unlabelled_systems(
        {"read_from": "free.xyz", "length_unit": "nm"}, "angstrom"
    )
    assert np.allclose(one.positions, 10 * molecules()[0].positions)


def test_rows_that_are_not_the_same_atoms(world, teacher):
    """Labels in another order, as a file of metatensor may have them."""
    (row, *_) = rows_of(training_set(), None, 0)
    mean = teacher.mean(row["system"], 0)[FORCE]
    block = mean.block()
    samples = Labels(block.samples.names, block.samples.values.flip(0))
    other = TensorBlock(block.values.flip(0), samples, block.components, block.properties)
    turned = TensorMap(mean.keys, [other])
    mixed = mixture(turned, mean, 0.5)
    torch.testing.assert_close(mixed.block().values, turned.block().values)
