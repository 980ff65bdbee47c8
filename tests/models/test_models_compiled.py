"""Compiled evaluations say what those do that are not, and nothing is compiled twice."""

import json
import shutil

import numpy as np
import pytest
import torch
from ase.calculators.lj import LennardJones
from common import crystal, energy_info, molecule, pet, pet_ssh
from models_common import STRUCTURES, rich_info, rotations

from metatrain_symmetry import symmetry_report
from metatrain_symmetry.data import read_systems
from metatrain_symmetry.models import CalculatorEngine, PETEngine, open_engine
from metatrain_symmetry.models.copies import sharing_weights
from metatrain_symmetry.models.loading import compilable
from metatrain_symmetry.models.pet import compiled


pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None, reason="there is no C++ compiler"
)
LAYERS = ["GE", "EE", "transformer", "GNN", "BBF", "LLF"]
TINY = {
    "d_pet": 8,
    "d_head": 4,
    "d_node": 16,
    "d_feedforward": 8,
    "num_heads": 2,
    "num_gnn_layers": 2,
    "num_attention_layers": 1,
}


def prepared(engine, atoms):
    ((_, system),) = read_systems(atoms, engine)
    return engine.prepare(system)


def opened(model, backend, **options):
    """An engine, and one that is compiled."""
    torch.compiler.reset()
    plain, other = (open_engine(model, **options) for _ in range(2))
    compilable(other).compile(backend)
    return plain, other


def assert_same(plain, other, atoms, n, bound):
    structure = prepared(plain, atoms)
    arguments = structure, rotations(n), plain.blocks, plain.probes
    expected, found = (engine.evaluate(*arguments) for engine in (plain, other))
    for left, right in (
        (expected.targets, found.targets),
        (expected.layers, found.layers),
    ):
        assert list(left) == list(right)
        for name, part in left.items():
            torch.testing.assert_close(right[name], part, rtol=bound, atol=bound)
    shared = [len({id(part) for part in v.layers.values()}) for v in (expected, found)]
    assert shared[0] == shared[1]
    return expected


@pytest.mark.parametrize(
    ("make", "changes", "gradients"),
    [
        (pet, {"featurizer_type": "feedforward"}, False),
        (pet, {"featurizer_type": "residual", "transformer_type": "PostLN"}, True),
        (pet_ssh, {"num_neighbors_adaptive": 4, "system_conditioning": True}, True),
    ],
)
def test_one_graph_for_all_sizes(make, changes, gradients):
    info = rich_info(gradients=True) if gradients else energy_info()
    model = make(info, **TINY, **changes).to(torch.float64)
    plain, other = opened(model, "aot_eager", probes=LAYERS, gradients=gradients)
    with torch.compiler.set_stance("fail_on_recompile"):
        for name, n in (
            ("molecule", 9),
            ("crystal", 20),
            ("molecule", 4),
            ("isolated", 40),
        ):
            assert_same(plain, other, STRUCTURES[name](), n, 1e-11)
        # one copy of a large structure
        assert_same(plain, other, crystal().repeat((3, 3, 2)), 1, 1e-11)


def test_compiled_code_is_called(monkeypatch):
    plain, other = opened(pet(energy_info(), **TINY), "aot_eager", probes=["EE"])
    calls = []
    run = other.compiled.run
    monkeypatch.setattr(
        other.compiled, "run", lambda *given: calls.append(1) or run(*given)
    )
    structure = prepared(other, molecule())
    for n, probes in ((9, other.probes), (9, []), (1, other.probes)):
        other.evaluate(structure, rotations(n), other.blocks, probes)
    assert len(calls) == 1  # neither for fewer layers nor for few atoms
    assert other.compiled.seconds > 0
    assert plain.compiled is None


def test_inductor():
    info = energy_info(gradients=True)
    model = pet(info, **TINY | {"num_gnn_layers": 1}).to(torch.float64)
    plain, other = opened(model, "inductor", probes=["EE", "LLF"])
    with torch.compiler.set_stance("fail_on_recompile"):
        for atoms, n in ((molecule(), 9), (crystal(), 20)):
            assert_same(plain, other, atoms, n, 1e-11)
    # the weights are those of the model
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.1)
    assert_same(plain, other, molecule(), 8, 1e-11)


def test_report(tmp_path, monkeypatch):
    compile = PETEngine.compile
    monkeypatch.setattr(PETEngine, "compile", lambda engine: compile(engine, "eager"))
    torch.compiler.reset()
    model = pet(energy_info(), **TINY).to(torch.float64)
    options = {"lambda_max": 2, "degree": 4, "probes": ["EE"], "progress": False}
    found = []
    for flag in (False, True):
        folder = tmp_path / str(flag)
        report = symmetry_report(model, [molecule()], folder, compile=flag, **options)
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["compiled"] is flag
        assert (summary["compile_s"] or 0) > 0 if flag else summary["compile_s"] is None
        found.append(report)
    plain, other = found
    np.testing.assert_allclose(other.equivariance.A, plain.equivariance.A, rtol=1e-9)
    np.testing.assert_allclose(other.characters.share, plain.characters.share, atol=1e-12)


def test_weights_are_shared_but_not_their_gradients():
    linear = torch.nn.Linear(3, 2)
    copy = sharing_weights(linear)
    assert copy.weight.data_ptr() == linear.weight.data_ptr()
    assert linear.weight.requires_grad
    assert not copy.weight.requires_grad


def test_flat_linear():
    layer = torch.nn.Linear(3, 2).to(torch.float64)
    other = sharing_weights(layer)
    other.__class__ = compiled.FlatLinear
    for shape in ((3,), (5, 3), (4, 1, 3), (0, 2, 3)):
        x = torch.randn(shape, dtype=torch.float64)
        torch.testing.assert_close(other(x), layer(x))


def test_what_cannot_be_compiled():
    long_range = {"enable": True, "use_ewald": True, "smearing": 1.4}
    long_range |= {"kspace_resolution": 1.33, "interpolation_nodes": 5}
    model = pet(energy_info(), **TINY, long_range=long_range)
    with pytest.raises(ValueError, match=r"long-range.*leave out --compile"):
        compilable(open_engine(model))
    exported = open_engine(pet(energy_info(), **TINY).export())
    with pytest.raises(ValueError, match=r"an exported model.*leave out --compile"):
        compilable(exported)
    with pytest.raises(ValueError, match=r"a calculator of ASE.*leave out --compile"):
        compilable(CalculatorEngine(LennardJones()))


def test_no_compiler(monkeypatch):
    from torch._inductor import cpp_builder, exc

    def missing():
        raise exc.InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", missing)
    with pytest.raises(ValueError, match=r"install g\+\+, or name yours .*CXX"):
        symmetry_report(
            pet(energy_info(), **TINY), [molecule()], compile=True, progress=False
        )


def test_a_failure_is_one_sentence(monkeypatch):
    engine = open_engine(pet(energy_info(), **TINY))

    def fail(*given):
        raise RuntimeError("no such kernel\nand more")

    monkeypatch.setattr(compiled.Forward, "forward", fail)
    torch.compiler.reset()
    with pytest.raises(ValueError, match=r"cannot be compiled \(.*leave out --compile"):
        engine.compile("eager")
