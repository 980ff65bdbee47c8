"""Chunks, running out of memory, values that are not finite; plain functions."""

import pytest
import torch
from models_common import rotations

from metatrain_symmetry.groups.irreps import Irrep
from metatrain_symmetry.models import Block, Engine, FunctionEngine, Prepared, sweep
from metatrain_symmetry.models.sweep import chunk_size


BLOCK = Block("dipole", Irrep(1), "system", "e*A")
POINTS = torch.tensor([[0.0, 0.5, 1.0], [1.0, -1.0, 0.2]], dtype=torch.float64)


def dipole(points):
    return points.sum(1)[:, None, [1, 2, 0], None]


class Small(FunctionEngine):
    """Has memory for a few rotations only."""

    def __init__(self, room, error, **options):
        super().__init__({BLOCK: dipole}, {"positions": lambda points: points}, **options)
        self.room, self.error, self.chunks = room, error, []

    def evaluate(self, structure, matrices, blocks, probes):
        self.chunks.append(len(matrices))
        if len(matrices) > self.room:
            raise self.error
        return super().evaluate(structure, matrices, blocks, probes)


def collect(engine, matrices, budget=10**9):
    structure = engine.prepare(POINTS, "two points")
    found = list(sweep(engine, structure, matrices, engine.blocks, engine.probes, budget))
    starts = [start for start, _ in found]
    targets = torch.cat([values.targets[BLOCK] for _, values in found])
    layers = torch.cat([values.layers["positions"] for _, values in found])
    return starts, targets, layers


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("not enough memory: you tried to allocate 8 bytes"),
    ],
)
def test_halving(error):
    matrices = rotations(20)
    engine = Small(3, error)
    starts, targets, layers = collect(engine, matrices)
    assert engine.chunks[:4] == [20, 10, 5, 2]
    assert starts == list(range(0, 20, 2))
    turned = POINTS @ matrices.transpose(1, 2)
    torch.testing.assert_close(targets, dipole(turned))
    torch.testing.assert_close(layers, turned)


def test_not_even_one():
    with pytest.raises(MemoryError, match="two points: one rotated copy"):
        collect(Small(0, MemoryError()), rotations(3))


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="something else"):
        collect(Small(0, RuntimeError("something else")), rotations(3))


def test_budget():
    engine = Small(100, MemoryError())
    structure = engine.prepare(POINTS)
    size = engine.bytes_per_rotation(structure, engine.probes)
    assert chunk_size(engine, structure, engine.probes, 5 * size) == 5
    assert chunk_size(engine, structure, engine.probes, 0) == 1
    starts, _, _ = collect(engine, rotations(12), 5 * size)
    assert starts == [0, 5, 10]


def test_not_finite():
    def broken(points):
        return torch.where(points > 0, torch.nan, points)

    layer = FunctionEngine({BLOCK: dipole}, {"broken": broken})
    target = FunctionEngine({BLOCK: lambda points: dipole(points) / 0})
    for engine, match in ((layer, "cloud: layer 'broken'"), (target, "cloud: target 'dip")):
        structure = engine.prepare(POINTS, "cloud")
        chunks = sweep(engine, structure, rotations(2), engine.blocks, engine.probes, 10**9)
        with pytest.raises(ValueError, match=match):
            list(chunks)


def test_functions():
    engine: Engine = FunctionEngine({BLOCK: dipole})
    structure = engine.prepare(POINTS)
    torch.testing.assert_close(engine.predict(structure)[BLOCK], dipole(POINTS[None])[0])
    again = engine.prepare(structure.system)
    assert torch.equal(again.points, POINTS)
    with pytest.raises(ValueError, match="give \\(points, 3\\)"):
        engine.prepare(torch.zeros(4, 2))


def test_name_of_a_block():
    assert BLOCK.name == "dipole"
    assert Block("a", Irrep(0), detail="atom_type=6").name == "a[atom_type=6]"


def test_a_structure_of_another_engine_is_refused():
    engine = FunctionEngine()
    system = engine.prepare(POINTS).system
    with pytest.raises(TypeError, match="prepare the structure with the engine"):
        engine.evaluate(Prepared("structure", system, 1, 0), torch.eye(3)[None], [], [])
