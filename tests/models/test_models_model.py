"""The engine of any architecture, live or exported."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from common import TYPES, crystal, energy_info, molecule, pet
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import ModelOutput, NeighborListOptions, load_atomistic_model
from metatomic.torch.o3 import O3Transformations
from metatomic.torch.o3._decompose import decompose_quantity
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_generic_target_info
from models_common import STRUCTURES, generic, rich_info, rotations

from metatrain_symmetry.data import read_systems
from metatrain_symmetry.models import irrep_blocks, open_engine


def prepared(engine, atoms):
    ((_, system),) = read_systems(atoms, engine)
    return engine.prepare(system)


def assert_equivariant(engine, structure, tolerance=1e-10):
    matrices = rotations()
    values = engine.evaluate(structure, matrices, engine.blocks, []).targets
    identity = torch.eye(3, dtype=torch.float64)[None]
    reference = engine.evaluate(structure, identity, engine.blocks, []).targets
    assert values
    for block, part in values.items():
        degree = block.irrep.o3_lambda
        for index, matrix in enumerate(matrices):
            wigner = O3Transformations(matrix[None], degree).wigner_D_matrices(degree)[0]
            sign = block.irrep.parity if torch.linalg.det(matrix) < 0 else 1
            expected = torch.einsum("ij,sjp->sip", sign * wigner, reference[block][0])
            torch.testing.assert_close(
                part[index], expected.to(part), rtol=0, atol=tolerance
            )


class Pairs(torch.nn.Module):
    """An equivariant architecture that nobody knows: a sum over pairs."""

    def __init__(self):
        super().__init__()
        targets = dict(energy_info(gradients=True).targets)
        dipole = generic({"cartesian": {"rank": 1}}, "system")
        targets["mtt::dipole"] = get_generic_target_info("mtt::dipole", dipole)
        self.dataset_info = DatasetInfo("Angstrom", TYPES, targets)
        self.weight = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def supported_outputs(self):
        return {
            name: ModelOutput(unit=target.unit, sample_kind=target.sample_kind)
            for name, target in self.dataset_info.targets.items()
        }

    def requested_neighbor_lists(self):
        return [NeighborListOptions(cutoff=4.0, full_list=True, strict=True)]

    def forward(self, systems, outputs, selected_atoms=None):
        energies, dipoles = [], []
        for system in systems:
            neighbors = system.get_neighbor_list(self.requested_neighbor_lists()[0])
            vectors = neighbors.values[..., 0]
            weights = system.types[neighbors.samples.column("first_atom").long()]
            decay = self.weight * torch.exp(-vectors.norm(dim=1)) * weights
            energies.append(decay.sum())
            dipoles.append((decay[:, None] * vectors).sum(0))
        values = {
            "energy": torch.stack(energies)[:, None],
            "mtt::dipole": torch.stack(dipoles)[:, :, None],
        }
        layouts = {name: self.dataset_info.targets[name].layout for name in outputs}
        samples = Labels("system", torch.arange(len(systems))[:, None])
        return {
            name: TensorMap(
                layout.keys,
                [
                    TensorBlock(
                        values[name],
                        samples,
                        layout.block().components,
                        layout.block().properties,
                    )
                ],
            )
            for name, layout in layouts.items()
        }


def test_unknown_architecture():
    model = Pairs()
    engine = open_engine(model)
    assert engine.baseline == "none"
    assert model.training
    for structure in (molecule(), crystal()):
        assert_equivariant(engine, prepared(engine, structure))
    names = {block.target for block in engine.blocks}
    assert {"mtt::dipole", "conservative_force", "conservative_stress"} < names


def test_equivariant_architecture():
    """SOAP-BPNN has no A; in a process of its own, since it loads sphericart."""
    script = Path(__file__).parent / "soap_control.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "equivariant" in done.stdout


def test_a_model_without_modules():
    with pytest.raises(ValueError, match="no layer 'EE' in this Pairs: there are none"):
        open_engine(Pairs(), probes=["EE"])
    assert open_engine(Pairs(), probes=["predictions"]).probes == []


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model = pet(rich_info(gradients=True)).to(torch.float64)
    for tensor in model.additive_models[0].model.weights.values():
        for block in tensor.blocks():
            block.values[:] = 3.0
    path = tmp_path_factory.mktemp("exported") / "model.pt"
    live = open_engine(model)
    structures = {name: prepared(live, make()) for name, make in STRUCTURES.items()}
    values = {
        name: live.evaluate(structure, rotations(), live.blocks, []).targets
        for name, structure in structures.items()
    }
    model.eval().export().save(str(path))
    return path, values


def test_exported_model(exported):
    path, expected = exported
    engine = open_engine(path)
    assert engine.baseline == "composition of the model"
    for name in ("molecule", "crystal", "isolated"):
        structure = prepared(engine, STRUCTURES[name]())
        found = engine.evaluate(structure, rotations(), engine.blocks, []).targets
        # an exported model does not say what is of atoms and what of the whole
        reference = {
            (block.target, block.irrep, block.detail): part
            for block, part in expected[name].items()
        }
        assert {(b.target, b.irrep, b.detail) for b in found} == set(reference)
        for block, part in found.items():
            value = reference[block.target, block.irrep, block.detail]
            if part.shape[1] != value.shape[1]:
                part = part.sum(1, keepdim=True)
            torch.testing.assert_close(part, value, rtol=0, atol=1e-10)


def test_exported_model_that_is_loaded(exported):
    path, _ = exported
    engine = open_engine(load_atomistic_model(path), ["energy"], gradients=False)
    assert [block.target for block in engine.blocks] == ["energy"]
    structure = prepared(engine, molecule())
    full = engine.predict(structure)[engine.blocks[0]]
    identity = torch.eye(3, dtype=torch.float64)[None]
    part = engine.evaluate(structure, identity, engine.blocks, []).targets
    composition = full - part[engine.blocks[0]][0]
    torch.testing.assert_close(composition, torch.full_like(full, 27.0))
    with pytest.raises(ValueError, match="give the checkpoint"):
        open_engine(path, dtype=torch.float32)


def test_zbl_is_taken_off_the_values():
    model = pet(energy_info(), zbl=True).to(torch.float64)
    engine = open_engine(model)
    structure = prepared(engine, molecule())
    fast = engine.evaluate(structure, rotations(), engine.blocks, []).targets
    slow = engine.generic.evaluate(structure, rotations(), engine.blocks, []).targets
    for block, part in fast.items():
        torch.testing.assert_close(part, slow[block], rtol=0, atol=1e-10)
    full = engine.predict(structure)[engine.blocks[0]]
    assert (full - fast[engine.blocks[0]][0]).abs() > 1e-3


@pytest.mark.parametrize(
    "name", ["energy", "non_conservative_force", "non_conservative_stress"]
)
def test_convention_is_that_of_metatomic(name):
    model = pet(rich_info()).to(torch.float64).eval()
    engine = open_engine(model)
    structure = prepared(engine, crystal())
    tensor = engine.generic._call([structure.system], [name])[name]
    found = irrep_blocks.convert(name, tensor, "system", "")
    expected = decompose_quantity(name, tensor)
    for block, values in found.items():
        key = {"o3_lambda": block.irrep.o3_lambda, "o3_sigma": block.irrep.o3_sigma}
        torch.testing.assert_close(values, expected.block(key).values)
    assert len(found) == (2 if name == "non_conservative_stress" else 1)


def test_parts_of_a_matrix():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(5, 3, 3, 2, dtype=torch.float64, generator=generator)
    parts = irrep_blocks.split("mtt::matrix", {"_": 0}, ["xyz_1", "xyz_2"], matrix)
    assert [str(irrep) for irrep, _, _ in parts] == ["(0,+)", "(1,-)", "(2,+)"]
    norm = sum((part**2).sum() for _, _, part in parts)
    torch.testing.assert_close(norm, (matrix**2).sum())
    turned = rotations()[1].to(matrix)
    rotated = torch.einsum("ij,sjkp,lk->silp", turned, matrix, turned)
    after = irrep_blocks.split("mtt::matrix", {"_": 0}, ["xyz_1", "xyz_2"], rotated)
    for (irrep, _, before), (_, _, values) in zip(parts, after, strict=True):
        degree = irrep.o3_lambda
        wigner = O3Transformations(turned[None], degree).wigner_D_matrices(degree)[0]
        expected = torch.einsum("ij,sjp->sip", irrep.parity * wigner, before)
        torch.testing.assert_close(values, expected)


def test_details_of_keys():
    values = torch.zeros(2, 3, 1)
    key = {"o3_lambda": 1, "o3_sigma": -1, "atom_type": 6, "n": 2}
    ((irrep, detail, part),) = irrep_blocks.split("t", key, ["o3_mu"], values)
    assert (str(irrep), detail) == ("(1,-)", "atom_type=6,n=2")
    assert part is values
    with pytest.raises(ValueError, match="can be read as irreps"):
        irrep_blocks.split("t", {"o3_lambda_1": 1}, ["o3_mu_1", "o3_mu_2"], values)
