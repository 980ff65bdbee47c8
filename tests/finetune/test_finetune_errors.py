"""A and the oriented RMSE of labelled structures."""

import math

import numpy as np
import pytest
import torch
from finetune_common import structures, tiny
from metatomic.torch import systems_to_torch

from metatrain_symmetry import symmetry_report
from metatrain_symmetry.data import read_systems
from metatrain_symmetry.data.labelled import LabelledStructure
from metatrain_symmetry.finetune.errors import errors
from metatrain_symmetry.finetune.held_out import engine_of
from metatrain_symmetry.finetune.work import JUDGE
from metatrain_symmetry.groups import Irrep
from metatrain_symmetry.groups.design import GroupPoints
from metatrain_symmetry.models.engine import Block, Prepared, Values


VECTOR = Block("force", Irrep(1), "atom", "eV/A")
ENERGY = Block("energy", Irrep(0), "system", "eV")
SHIFT = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)  # y, z, x
TILT = 0.7


class Shifted:
    """Predicts positions plus a vector of the laboratory, and an energy with a slope."""

    dtype, device = torch.float64, torch.device("cpu")
    blocks, probes, bases = [VECTOR, ENERGY], [], {}

    def prepare(self, system, name="structure"):
        return Prepared(name, system, len(system), 0)

    def bytes_per_rotation(self, structure, probes):
        return 100

    def evaluate(self, structure, matrices, blocks, probes):
        points = structure.system.positions @ matrices.transpose(1, 2)
        vectors = points[..., [1, 2, 0]] + SHIFT
        height = points[:, 0, 2] * TILT
        found = {VECTOR: vectors[..., None], ENERGY: height[:, None, None, None]}
        return Values({block: found[block] for block in blocks}, {})


def data_of(labels):
    """Structures, each labelled by functions of its positions."""
    engine, found = Shifted(), []
    for i, atoms in enumerate(structures(3)):
        system = systems_to_torch(atoms, dtype=torch.float64)
        bare = labels(i, system.positions[:, [1, 2, 0]])
        found.append(LabelledStructure(engine.prepare(system), bare_targets=bare))
    return engine, found


def test_a_vector_of_the_laboratory():
    """ε = y + ρ⁻¹ c: its mean is y, so that A² = RMSE² = |c|²/3 with labels y."""
    offset = torch.tensor([0.1, 0.0, -0.4], dtype=torch.float64)
    engine, data = data_of(
        lambda i, y: {VECTOR: (y + offset)[..., None], ENERGY: torch.zeros(1, 1, 1)}
    )
    found = errors(engine, data, JUDGE, frozenset(), 2**30)
    A = math.sqrt(float(SHIFT.square().sum()) / 3)
    bias = float(offset.square().sum()) / 3
    assert math.isclose(found[VECTOR].A, A, rel_tol=1e-10)
    assert math.isclose(found[VECTOR].rmse, math.sqrt(A**2 + bias), rel_tol=1e-10)
    assert math.isclose(found[VECTOR].share, A**2 / (A**2 + bias), rel_tol=1e-10)
    assert (found[VECTOR].samples, found[VECTOR].structures) == (6, 3)
    # energies are per atom: the height of an atom has a variance of |r|²/3
    squares = [float(d.structure.system.positions[0].square().sum()) for d in data]
    A = TILT * math.sqrt(np.mean(squares) / 3) / 2
    assert math.isclose(found[ENERGY].A, A, rel_tol=1e-10)
    assert math.isclose(found[ENERGY].rmse, A, rel_tol=1e-10)
    whole = errors(engine, data, JUDGE, frozenset(["energy"]), 2**30)
    assert math.isclose(whole[ENERGY].A, 2 * A, rel_tol=1e-10)


def test_labels_that_are_missing_do_not_count():
    def labels(i, y):
        y = (y + i)[..., None].clone()
        y[0] = math.nan
        if i == 1:
            y[:] = math.nan
        return {VECTOR: y}

    engine, data = data_of(labels)
    found = errors(engine, data, JUDGE, frozenset(), 2**30)
    assert list(found) == [VECTOR]
    A = math.sqrt(float(SHIFT.square().sum()) / 3)
    # the structures 0 and 2 are left, with biases of 0 and of 2 along every axis
    assert math.isclose(found[VECTOR].rmse, math.sqrt(A**2 + 2), rel_tol=1e-10)
    assert (found[VECTOR].samples, found[VECTOR].structures) == (2, 2)


def test_a_is_that_of_a_report():
    """Of all targets and gradients, measured on a grid of degree 10."""
    model = tiny()
    engine = engine_of(model)
    frames = structures(2)
    data = []
    for _, system in read_systems(frames, engine):
        prepared = engine.prepare(system)
        one = torch.eye(3, dtype=torch.float64)[None]
        values = engine.evaluate(prepared, one, engine.blocks, []).targets
        bare = {block: part[0] for block, part in values.items()}
        data.append(LabelledStructure(prepared, bare_targets=bare))
    table = symmetry_report(
        model, frames, probes=[], lambda_max=2, degree=10, estimator="grid",
        progress=False, budget=None,
    ).equivariance  # fmt: skip
    judged = errors(engine, data, JUDGE, frozenset(), 2**30)
    exact = errors(engine, data, GroupPoints("I"), frozenset(), 2**30)
    assert len(judged) == len(engine.blocks) == 6
    for block, one in exact.items():
        of_block = table.o3_lambda == block.irrep.o3_lambda
        rows = table[of_block & (table.target == block.target)]
        column = "A_per_atom" if block.target == "energy" else "A"
        A = float(np.sqrt((rows[column] ** 2).mean()))
        assert one.A == pytest.approx(A, rel=0.01), block
        # two frames of a smaller orbit scatter, by 7 % as measured
        assert judged[block].A == pytest.approx(A, rel=0.1), block
