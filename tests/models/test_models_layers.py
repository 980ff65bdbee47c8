"""Layers of an architecture that nobody knows: found by hooks, exactly known answers."""

import copy
import re

import pytest
import torch
from common import TYPES, crystal, energy_info, molecule, pet
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import ModelOutput, NeighborListOptions
from metatrain.llpr import LLPRUncertaintyModel
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from models_common import rotations

from metatrain_symmetry import Settings, analyze, symmetry_report
from metatrain_symmetry.data import read_systems
from metatrain_symmetry.models import open_engine, per_atom, usual_probes
from metatrain_symmetry.models.copies import copied


CUTOFF = 3.0


class Field(torch.nn.Module):
    """A scalar and a vector of each atom, in a list; the vector of a hidden edge sum."""

    def forward(self, vectors, centers, n):
        distance = vectors.norm(dim=1, keepdim=True)
        weight = torch.exp(-distance) * (CUTOFF - distance) ** 2
        scalar = vectors.new_zeros(n, 1).index_add(0, centers, weight)
        vector = vectors.new_zeros(n, 3).index_add(0, centers, weight * vectors)
        return [scalar, vector]


class Blocks(torch.nn.Module):
    """The vector and its outer product with itself, as blocks with atoms as samples."""

    def forward(self, vector, samples):
        square = vector[:, :, None] * vector[:, None]
        square = (
            square - torch.eye(3).to(vector) * vector.square().sum(1)[:, None, None] / 3
        )
        values = [vector[:, [1, 2, 0], None], square.reshape(len(vector), 9, 1)]
        keys = Labels(["o3_lambda", "o3_sigma"], torch.tensor([[1, 1], [2, 1]]))
        blocks = [
            TensorBlock(
                value,
                samples,
                [Labels("component", torch.arange(value.shape[1])[:, None])],
                Labels.single(),
            )
            for value in values
        ]
        return TensorMap(keys, blocks)


class Overwriting(torch.nn.Module):
    """Destroys its input, as activations in place do."""

    def forward(self, tensor):
        return tensor.mul_(0.0).add_(1.0)


class Slots(torch.nn.Module):
    """A slot for each neighbour, filled up, as in PET: no features of atoms."""

    def forward(self, scalar, centers):
        return scalar.expand(-1, int(torch.bincount(centers).max()))


class Network(torch.nn.Module):
    """What has a layer of each kind."""

    def __init__(self):
        super().__init__()
        names = ("edges", "same", "twice", "tilted", "idle", "total", "whole")
        for name in names:
            setattr(self, name, torch.nn.Identity())
        self.field, self.blocks = Field(), Blocks()
        self.overwriting, self.slots = Overwriting(), Slots()
        self.species = torch.nn.Embedding(100, 4, dtype=torch.float64)

    def forward(self, types, vectors, centers, samples):
        vectors = self.edges(vectors)
        scalar, vector = self.field(vectors, centers, len(types))
        self.blocks(vector, samples)
        self.species(types.long())
        self.same(vector)
        self.twice(self.twice(scalar))
        self.slots(scalar, centers)
        # along z the vector counts: not equivariant
        broken = self.tilted(scalar + vector[:, 2:])
        energy = broken.sum(0)
        self.overwriting(broken)
        return self.total(energy)


class Model(torch.nn.Module):
    """An energy, by the interface of metatrain."""

    def __init__(self):
        super().__init__()
        self.dataset_info = DatasetInfo("Angstrom", TYPES, energy_info().targets)
        self.network = Network()
        self.options = NeighborListOptions(CUTOFF, full_list=True, strict=True)

    def requested_neighbor_lists(self):
        return [self.options]

    def supported_outputs(self):
        return {"energy": ModelOutput(unit="eV", sample_kind="system")}

    def forward(self, systems, outputs, selected_atoms=None):
        vectors, centers, indices, n = [], [], [], 0
        for i, system in enumerate(systems):
            neighbors = system.get_neighbor_list(self.options)
            vectors.append(neighbors.values[..., 0])
            centers.append(neighbors.samples.column("first_atom").long() + n)
            indices.append(torch.stack([torch.full((len(system),), i),
                                        torch.arange(len(system))], 1))  # fmt: skip
            n += len(system)
        samples = Labels(["system", "atom"], torch.cat(indices))
        types = torch.cat([system.types for system in systems])
        total = self.network(types, torch.cat(vectors), torch.cat(centers), samples)
        # the structures of this test are alike: each has its share
        values = (total / len(systems)).expand(len(systems), 1)
        layout = self.dataset_info.targets["energy"].layout
        block = TensorBlock(
            values,
            Labels("system", torch.arange(len(systems))[:, None]),
            [],
            layout.block().properties,
        )
        return {"energy": TensorMap(layout.keys, [block])} if outputs else {}


def prepared(engine, atoms):
    ((_, system),) = read_systems(atoms, engine)
    return engine.prepare(system)


def test_what_is_found():
    """In the order of the network; aliases once, no constants unless asked for."""
    engine = open_engine(Model())
    assert list(engine.layers.known) == [
        "network.field[0]", "network.field[1]", "network.blocks", "network.species",
        "network.same", "network.tilted", "network.overwriting",
    ]  # fmt: skip
    assert engine.usual_probes == usual_probes(engine, ["EE"])
    assert engine.usual_probes == [
        "network.field[0]", "network.field[1]", "network.blocks", "network.tilted",
    ]  # fmt: skip
    # the model is left as it was
    assert not any(module._forward_hooks for module in engine.model.modules())
    assert engine.model.training


@pytest.mark.parametrize("atoms", [molecule(), crystal()], ids=["molecule", "crystal"])
def test_layers_of_known_irreps(atoms):
    """A scalar, a vector, blocks of both degrees, and a mixture with known shares."""
    probes = ["network.field", "network.blocks", "network.tilted", "network.species"]
    engine = open_engine(Model(), None, probes)
    structure = prepared(engine, atoms)
    settings = Settings(lambda_max=3, estimator="grid", degree=6)
    table = analyze(engine, [structure], settings=settings, progress=False).characters
    shares = table.pivot_table("share", "probe", "channel", observed=True)
    values = engine.evaluate(structure, torch.eye(3)[None], [], engine.probes).layers
    scalar, vector = values["network.field[0]"][0], values["network.field[1]"][0]
    square = torch.einsum("ni,nj->nij", vector, vector)
    square -= torch.eye(3) * vector.square().sum(1)[:, None, None] / 3
    parts = [float(part.square().sum()) for part in (scalar, vector, square)]
    expected = {
        "network.field[0]": {"(0,+)": 1.0},
        "network.field[1]": {"(1,+)": 1.0},
        "network.blocks": {
            "(1,+)": parts[1] / (parts[1] + parts[2]),
            "(2,+)": parts[2] / (parts[1] + parts[2]),
        },
        # one component of a vector has a third of its norm
        "network.tilted": {
            "(0,+)": parts[0] / (parts[0] + parts[1] / 3),
            "(1,+)": parts[1] / 3 / (parts[0] + parts[1] / 3),
        },
        "network.species": {"(0,+)": 1.0},
    }
    for probe, channels in expected.items():
        for channel in shares.columns.drop("residual", errors="ignore"):
            wanted = channels.get(channel, 0.0)
            assert shares.loc[probe, channel] == pytest.approx(wanted, abs=1e-10), probe


def test_layers_are_those_of_the_rotated_copies():
    """Copies keep their order, and what is overwritten later was kept before."""
    probes = ["network.field[1]", "network.tilted"]
    engine = open_engine(Model(), None, probes)
    structure = prepared(engine, molecule())
    matrices = rotations(3)
    found = engine.evaluate(structure, matrices, engine.blocks, probes).layers
    one = engine.evaluate(structure, torch.eye(3)[None], [], probes).layers
    turned = one["network.field[1]"] @ matrices.transpose(1, 2)
    torch.testing.assert_close(found["network.field[1]"], turned)
    assert (found["network.tilted"] != 1).all()
    assert engine.bytes_per_rotation(structure, probes) > engine.bytes_per_rotation(
        structure, []
    )


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ("network.feld", "no layer 'network.feld' in this Model: did you mean network.fi"),
        ("EE", "there is no layer 'EE' in this Model: there are network.field"),
        (
            "network.edges",
            r"'network.edges' returns a tensor of the shape \(\d+, 3\) for 9",
        ),
        (
            "network.total",
            r"returns a tensor of the shape \(1,\) for 9 atoms, which cannot",
        ),
        ("network.slots", r"returns a tensor of the shape \(9, \d+\) for 9 atoms, which"),
        ("network.twice", "'network.twice' is not called exactly once"),
        ("network.idle", "'network.idle' is never evaluated by this model"),
    ],
)
def test_what_cannot_be_probed(probe, message):
    with pytest.raises(ValueError, match=message) as error:
        open_engine(Model(), None, [probe])
    assert "\n" not in str(error.value)
    assert re.search("network.(field|same|species)", str(error.value))  # what there is


def test_a_container_means_what_is_in_it():
    model = Model()
    model.part = torch.nn.ModuleDict({"network": model.network})
    del model.network
    model.network = model.part["network"].__call__
    engine = open_engine(model, None, ["part", "predictions", "part.network.same"])
    assert engine.probes == list(engine.layers.known)
    assert len(engine.probes) == 7


def test_a_wrapper_of_a_pet():
    """LLPR: the generic engine sees atoms in PET's layers, and leaves out its slots."""
    model = LLPRUncertaintyModel(get_default_hypers("llpr")["model"], energy_info())
    model.set_wrapped_model(pet(energy_info()).to(torch.float64))
    usual = open_engine(model).usual_probes
    assert "model.backend.gnn_layers.0[0]" in usual
    assert not any(path.endswith("[1]") for path in usual)  # edges
    engine = open_engine(model, ["energy"], usual)
    for atoms in (molecule(), crystal()):
        structure = prepared(engine, atoms)
        found = engine.evaluate(structure, rotations(2), engine.blocks, usual).layers
        for path, part in found.items():
            assert part.shape[:2] == (2, len(atoms))
            assert part.shape[2] == engine.layers.known[path].channels


def test_report_takes_the_usual_layers():
    report = symmetry_report(Model(), molecule(), lambda_max=2, progress=False, budget=30)
    table = report.characters
    assert table[table.kind != "output"].probe.unique().tolist() == [
        "network.field[0]", "network.field[1]", "network.blocks", "network.tilted",
    ]  # fmt: skip


def blocks(rows, width=2, names=("system", "atom")):
    """A TensorMap with one block for each list of samples; values count upwards."""
    found, start = [], 1.0
    for samples in rows:
        values = torch.arange(start, start + width * len(samples)).reshape(-1, width)
        start += values.numel()
        labels = Labels(list(names), torch.tensor(samples).reshape(-1, len(names)))
        found.append(TensorBlock(values, labels, [], Labels.range("property", width)))
    return TensorMap(Labels("center_type", torch.arange(len(rows))[:, None]), found)


def test_blocks_of_species_share_their_channels():
    """Rows stand where their atoms are in the batch, whatever the order of samples."""
    tensor = blocks([[[1, 0], [0, 1]], [[0, 0]]])
    found = per_atom.features(tensor, (2, 1))
    assert found.tolist() == [[5.0, 6.0], [3.0, 4.0], [1.0, 2.0]]


@pytest.mark.parametrize(
    "value",
    [
        blocks([[[0, 0], [0, 1]]]),  # an atom is missing
        blocks([[[0, 0], [0, 1], [0, 2]]]),  # the first structure has no third atom
        blocks([[[0, 0], [0, 1], [2, 0]]]),  # nor is there a third structure
        blocks([[[0, 0], [0, 1]]], names=("system", "first_atom")),
        torch.zeros(4, 2),
        torch.zeros(3, dtype=torch.long),
        torch.tensor(1.0),
        None,
        "text",
    ],
)
def test_no_features_of_atoms(value):
    assert per_atom.features(value, (2, 1)) is None


@torch.jit.script
def doubled(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def test_models_with_compiled_functions_can_be_copied():
    """As SOAP-BPNN has them: the monitor measures copies."""
    model = torch.nn.Linear(2, 2)
    model.function = doubled
    twin = copied(model)
    assert twin.function is doubled
    assert twin.weight is not model.weight
    assert torch.equal(twin.weight, model.weight)
    with pytest.raises(Exception, match="pickled"):
        copy.deepcopy(model)  # nothing is left behind in Python's own tables
