"""The fast engine says what the whole model says of rotated structures."""

import copy

import ase
import pytest
import torch
from common import TYPES, crystal, energy_info, molecule, pet, pet_ssh
from metatensor.torch import TensorBlock, TensorMap
from metatomic.torch import ModelOutput
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_generic_target_info
from metatrain.utils.evaluate_model import evaluate_model
from models_common import STRUCTURES, generic, rich_info, rotations

from metatrain_symmetry.data import read_systems
from metatrain_symmetry.groups.irreps import Irrep
from metatrain_symmetry.models import Block, open_engine
from metatrain_symmetry.models.structures import rotate


LAYERS = ["GE", "CE", "NE", "EE", "transformer", "GNN", "BBF", "LLF"]


def double(make, info, **changes):
    return make(info, **changes).to(torch.float64)


def prepared(engine, atoms):
    ((_, system),) = read_systems(atoms, engine)
    return engine.prepare(system)


def assert_same_targets(engine, reference, structure, matrices):
    values = engine.evaluate(structure, matrices, engine.blocks, []).targets
    expected = reference.evaluate(structure, matrices, reference.blocks, []).targets
    assert list(values) == list(expected)
    assert values
    for block, part in values.items():
        torch.testing.assert_close(part, expected[block], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (pet, {"featurizer_type": "feedforward"}),
        (pet, {"featurizer_type": "residual", "transformer_type": "PostLN"}),
        (pet, {"num_neighbors_adaptive": 4}),
        (pet_ssh, {"featurizer_type": "residual"}),
        (pet_ssh, {"num_neighbors_adaptive": 6}),
    ],
)
def test_whole_model(name, make, changes):
    model = double(make, rich_info(gradients=True), **changes)
    engine = open_engine(model, probes=LAYERS)
    structure = prepared(engine, STRUCTURES[name]())
    matrices = rotations()
    assert_same_targets(engine, engine.generic, structure, matrices)
    layers = engine.evaluate(structure, matrices, [], engine.probes).layers
    outputs = {f"mtt::feature::{p}": ModelOutput(sample_kind="atom") for p in engine.probes}
    model.eval()
    with torch.no_grad():
        for index, system in enumerate(rotate(structure.system, matrices)):
            expected = model([system], outputs)
            for path in engine.probes:
                reference = expected[f"mtt::feature::{path}"].block().values
                torch.testing.assert_close(
                    layers[path][index], reference, rtol=0, atol=1e-10
                )


def test_system_conditioning():
    model = double(pet, energy_info(), system_conditioning=True)
    for parameter in model.backend.system_conditioning.parameters():
        torch.nn.init.normal_(parameter)
    engine = open_engine(model)
    atoms = molecule()
    neutral = prepared(engine, atoms)
    atoms.info |= {"charge": 1, "spin_multiplicity": 2}
    charged = prepared(engine, atoms)
    assert_same_targets(engine, engine.generic, charged, rotations())
    values = [
        engine.evaluate(s, rotations(1), engine.blocks, []).targets[engine.blocks[0]]
        for s in (neutral, charged)
    ]
    assert (values[0] - values[1]).abs() > 1e-6


@pytest.mark.parametrize("structure", [molecule, crystal])
def test_long_range(structure):
    long_range = {"enable": True, "use_ewald": True, "smearing": 1.4}
    long_range |= {"kspace_resolution": 1.33, "interpolation_nodes": 5}
    model = double(pet, energy_info(gradients=True), long_range=long_range)
    engine = open_engine(model)
    assert len(engine.blocks) == 4
    assert_same_targets(engine, engine.generic, prepared(engine, structure()), rotations(2))


def test_tokens_inside_attention():
    model = double(pet, energy_info())
    path = "gnn_layers.1.trans.layers.0.attention"
    probes = [path, f"{path}_node", f"{path}_edge"]
    engine = open_engine(model, probes=probes)
    structure = prepared(
        engine, ase.Atoms("COHH", [[0, 0, 0], [1, 0, 0], [6, 0, 0.1], [4, 1, 0]])
    )
    matrix = rotations(3)
    layers = engine.evaluate(structure, matrix, [], probes).layers
    caught = {}
    module = model.backend.get_submodule(path)
    handle = module.register_forward_hook(lambda m, i, out: caught.update(out=out))
    model.eval()
    options = model.requested_nl
    for index, system in enumerate(rotate(structure.system, matrix)):
        with torch.no_grad():
            model([system], {"energy": ModelOutput(sample_kind="system")})
        tokens = caught["out"]
        pairs = system.get_neighbor_list(options).samples.values
        # edges of an atom fill its slots in the order of the list
        slots = [int((pairs[:k, 0] == pairs[k, 0]).sum()) for k in range(len(pairs))]
        edges = tokens[pairs[:, 0].long(), torch.tensor(slots) + 1]
        torch.testing.assert_close(layers[f"{path}_node"][index], tokens[:, 0])
        torch.testing.assert_close(layers[f"{path}_edge"][index], edges)
        torch.testing.assert_close(layers[path][index], torch.cat([tokens[:, 0], edges]))
    handle.remove()
    assert tokens.shape[1] > 2


def energy(engine, atoms):
    values = engine.evaluate(
        prepared(engine, atoms), torch.eye(3)[None].double(), engine.blocks[:1], []
    )
    return float(values.targets[engine.blocks[0]])


@pytest.mark.parametrize("adaptive", [None, 4])
def test_gradients_by_differences(adaptive):
    model = double(pet, energy_info(), num_neighbors_adaptive=adaptive)
    engine = open_engine(model, gradients=True)
    atoms, step = crystal(), 1e-4
    values = engine.evaluate(
        prepared(engine, atoms), torch.eye(3)[None].double(), engine.blocks, []
    ).targets
    found = {(block.target, block.irrep): part[0] for block, part in values.items()}
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[1, 2] += sign * step
        energies.append(energy(engine, moved))
    force = -(energies[0] - energies[1]) / (2 * step)
    vector = found["conservative_force", Irrep(1)]
    assert vector[1, 1, 0].item() == pytest.approx(force, abs=1e-6)
    energies = []
    for sign in (1, -1):
        strained = atoms.copy()
        strained.set_cell(atoms.cell[:] * [1, 1, 1 + sign * step], scale_atoms=True)
        energies.append(energy(engine, strained))
    stress = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
    scalar = found["conservative_stress", Irrep(0)][0, 0, 0]
    tensor = found["conservative_stress", Irrep(2)][0, 2, 0]
    zz = scalar / 3**0.5 + tensor * (2 / 3) ** 0.5
    assert zz.item() == pytest.approx(stress, abs=1e-6)


def test_gradients_of_metatrain():
    info = energy_info(gradients=True)
    model = double(pet_ssh, info)
    engine = open_engine(model)
    structure, matrices = prepared(engine, crystal()), rotations(2)
    values = engine.evaluate(structure, matrices, engine.blocks, []).targets
    systems = rotate(structure.system, matrices)
    block = evaluate_model(model.eval(), systems, info.targets, False)["energy"].block()
    forces = -block.gradient("positions").values[:, [1, 2, 0]].reshape(2, -1, 3, 1)
    units = {b.target: b.unit for b in values}
    assert units["conservative_force"] == "eV/A"
    assert units["conservative_stress"] == "eV/A^3"
    force = next(part for b, part in values.items() if b.target == "conservative_force")
    torch.testing.assert_close(force, forces)
    stress = block.gradient("strain").values / structure.volume
    trace = stress.diagonal(dim1=1, dim2=2).sum(-1) / 3**0.5
    scalar = values[engine.blocks[2]]
    torch.testing.assert_close(scalar.flatten(), trace.flatten())


def test_gradients_of_another_energy():
    target = get_generic_target_info(
        "mtt::u", generic("scalar", "system", quantity="energy", unit="meV")
    )
    model = double(pet, DatasetInfo("Angstrom", TYPES, {"mtt::u": target}))
    engine = open_engine(model, gradients=True)
    names = {block.target for block in engine.blocks}
    assert names == {"mtt::u", "conservative_force/mtt::u", "conservative_stress/mtt::u"}
    assert_same_targets(engine, engine.generic, prepared(engine, crystal()), rotations(2))


def with_scales(model):
    """Other scales for each atomic type and property."""
    for name, scales in model.scaler.model.scales.items():
        for index, block in enumerate(scales.blocks()):
            values = block.values
            values[:] = torch.arange(values.numel()).reshape(values.shape) * 0.3 + 0.5
            values += index
        model.scaler.model.scales[name] = scales
    return model


def with_composition(model):
    for tensor in model.additive_models[0].model.weights.values():
        for block in tensor.blocks():
            block.values[:] = torch.arange(block.values.numel()).reshape(block.values.shape)
    return model


def test_scales_and_composition():
    model = with_composition(with_scales(double(pet, rich_info(gradients=True))))
    engine = open_engine(model)
    structure, matrices = prepared(engine, crystal()), rotations()
    assert_same_targets(engine, engine.generic, structure, matrices)
    block = engine.blocks[0]
    identity = torch.eye(3, dtype=torch.float64)[None]
    without = engine.evaluate(structure, identity, [block], []).targets[block][0]
    composition = engine.predict(structure)[block] - without
    # Mg and O are the fifth and the fourth type
    torch.testing.assert_close(composition, torch.full_like(composition, 4.0 + 3.0))
    unscaled = open_engine(double(pet, rich_info(gradients=True)))
    raw = unscaled.evaluate(prepared(unscaled, crystal()), identity, [block], []).targets[
        block
    ][0]
    torch.testing.assert_close(without, raw * 0.5)


def test_prediction_is_that_of_the_model():
    model = with_composition(with_scales(double(pet, rich_info())))
    engine = open_engine(model)
    structure = prepared(engine, molecule())
    outputs = {"energy": ModelOutput(sample_kind="system")}
    expected = model.eval()([structure.system], outputs)["energy"].block().values
    block = Block("energy", Irrep(0), "system", "eV")
    torch.testing.assert_close(engine.predict(structure)[block][:, 0], expected)


def atomic_basis_info():
    irreps = {
        number: [
            {"o3_lambda": 0, "o3_sigma": 1, "num": 1 + number % 3},
            {"o3_lambda": 2, "o3_sigma": 1, "num": 2},
        ]
        for number in (1, 6, 8)
    }
    options = generic({"spherical": {"irreps": irreps}})
    target = get_generic_target_info("mtt::basis", options)
    return DatasetInfo("Angstrom", [1, 6, 8], {"mtt::basis": target})


def test_atomic_basis():
    model = with_composition(with_scales(double(pet, atomic_basis_info())))
    engine = open_engine(model)
    structure = prepared(engine, molecule())
    assert_same_targets(engine, engine.generic, structure, rotations())
    values = engine.evaluate(structure, rotations(), engine.blocks, []).targets
    samples = {b.detail: part.shape[1] for b, part in values.items()}
    assert samples == {"atom_type=1": 6, "atom_type=6": 2, "atom_type=8": 1}


def test_other_components():
    model = pet(rich_info())
    layout = model.dataset_info.targets["mtt::matrix"].layout
    block = layout.block()
    axes = [block.components[0], block.components[1].rename("xyz_2", "o3_mu_2")]
    broken = TensorBlock(block.values, block.samples, axes, block.properties)
    model.dataset_info.targets["mtt::matrix"].layout = TensorMap(layout.keys, [broken])
    with pytest.raises(ValueError, match="can be read as irreps"):
        open_engine(model)


def test_model_is_not_modified():
    model = pet(rich_info(gradients=True))
    model.train()
    model.backend.gnn_layers[0].eval()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    scale = model.scaler.model.scales["energy"].block().values.dtype
    engine = open_engine(model, probes=LAYERS)
    engine.evaluate(prepared(engine, molecule()), rotations(), engine.blocks, engine.probes)
    double_engine = open_engine(model, dtype=torch.float64)
    assert double_engine.dtype == torch.float64
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(not module._forward_hooks for module in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert model.scaler.model.scales["energy"].block().values.dtype == scale
    assert next(model.parameters()).dtype == torch.float32


def test_edges_at_the_cutoff_and_any_chunk():
    model = double(pet, energy_info(gradients=True))
    engine = open_engine(model, probes=["EE"])
    cubic = ase.Atoms("Mg", cell=[4.5] * 3, pbc=True)
    structure, matrices = prepared(engine, cubic), rotations(7)
    whole = engine.evaluate(structure, matrices, engine.blocks, engine.probes)
    for start, stop in ((0, 3), (3, 4), (4, 7)):
        part = engine.evaluate(
            structure, matrices[start:stop], engine.blocks, engine.probes
        )
        for block, values in part.targets.items():
            torch.testing.assert_close(values, whole.targets[block][start:stop])
        for path, values in part.layers.items():
            torch.testing.assert_close(values, whole.layers[path][start:stop])


def test_memory_estimate_is_an_upper_one():
    model = pet(energy_info(gradients=True))
    engine = open_engine(model, probes=LAYERS)
    structure = prepared(engine, molecule())
    some = engine.bytes_per_rotation(structure, [])
    layers = engine.evaluate(structure, rotations(), [], engine.probes).layers
    size = sum(part.numel() * part.element_size() for part in layers.values()) / 4
    assert engine.bytes_per_rotation(structure, engine.probes) >= some + size
