"""Names of layers, and what they stand for."""

import pytest
import torch
from common import TYPES, energy_info, pet, pet_ssh
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_generic_target_info
from models_common import generic, rich_info

from metatrain_symmetry.models import GROUPS, group_of, open_engine
from metatrain_symmetry.models.pet.catalogue import Catalogue


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue.of(pet(energy_info()).backend, ["energy"])


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("GE", ["gnn_layers.0.edge_embedder", "gnn_layers.1.edge_embedder"]),
        ("CE", ["node_embedders.0"]),
        ("NE", ["edge_embedder", "gnn_layers.1.neighbor_embedder"]),
        ("EE", ["gnn_layers.0.compress", "gnn_layers.1.compress"]),
        (
            "transformer",
            [
                f"gnn_layers.{i}.trans.layers.0_{kind}"
                for i in (0, 1)
                for kind in ("node", "edge")
            ],
        ),
        ("GNN", [f"gnn_layers.{i}_{kind}" for i in (0, 1) for kind in ("node", "edge")]),
        ("BBF", ["node_backbone.0", "edge_backbone.0"]),
        ("LLF", ["node_heads.energy.0", "edge_heads.energy.0"]),
        ("predictions", []),
    ],
)
def test_groups(catalogue, group, expected):
    found = catalogue.expand([group])
    assert sorted(found) == sorted(expected)
    assert {group_of(path) for path in found} <= {group}


def test_every_group_of_every_model():
    for make in (pet, pet_ssh):
        for featurizer in ("feedforward", "residual"):
            backend = make(energy_info(), featurizer_type=featurizer).backend
            found = Catalogue.of(backend, ["energy"])
            layers = {group: found.expand([group]) for group in GROUPS}
            assert not layers.pop("predictions")
            assert all(layers.values())
            readouts = 1 if featurizer == "feedforward" else 2
            assert len(layers["CE"]) == readouts
            assert len(layers["LLF"]) == 2 * readouts


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gnn_layers", [f"gnn_layers.{i}_{k}" for i in (0, 1) for k in ("node", "edge")]),
        ("gnn_layers.1", ["gnn_layers.1_node", "gnn_layers.1_edge"]),
        ("gnn_layers.1_edge", ["gnn_layers.1_edge"]),
        ("node_heads", ["node_heads.energy.0"]),
        ("edge_heads.energy", ["edge_heads.energy.0"]),
        ("gnn_layers.0.compress.0", ["gnn_layers.0.compress.0"]),
        ("combination_mlps", ["combination_mlps.0", "combination_mlps.1"]),
    ],
)
def test_modules(catalogue, name, expected):
    assert catalogue.expand([name]) == expected


def test_each_once(catalogue):
    names = ["EE", "gnn_layers.0.compress", "EE"]
    assert catalogue.expand(names) == ["gnn_layers.0.compress", "gnn_layers.1.compress"]


@pytest.mark.parametrize(
    ("name", "kind", "part"),
    [
        ("node_embedders.0", "node", "all"),
        ("edge_embedder", "edge", "all"),
        ("gnn_layers.0_node", "node", "all"),
        ("gnn_layers.0.trans.layers.0_node", "node", "all"),
        ("gnn_layers.0.trans.layers.0_edge", "edge", "all"),
        ("gnn_layers.0.trans.layers.0.attention", "tokens", "all"),
        ("gnn_layers.0.trans.layers.0.attention_node", "tokens", "node"),
        ("gnn_layers.0.trans.layers.0.attention.output_linear_edge", "tokens", "edge"),
    ],
)
def test_kinds(catalogue, name, kind, part):
    probe = catalogue.probes[name]
    assert (probe.kind, probe.part) == (kind, part)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("gnn_layers.0.compres", "gnn_layers.0.compress"),
        ("gnn_layers.7_node", "gnn_layers.1_node"),
        ("GEE", "GE"),
        ("node_heads.enrgy.0", "node_heads.energy.0"),
        ("x", "transformer"),
    ],
)
def test_near_matches(catalogue, name, near):
    with pytest.raises(ValueError, match="did you mean") as raised:
        catalogue.expand([name])
    assert near in str(raised.value)


def test_never_evaluated(catalogue):
    with pytest.raises(ValueError, match="never evaluated"):
        catalogue.expand(["gnn_layers.0.neighbor_embedder"])
    backend = pet(energy_info(), featurizer_type="residual").backend
    with pytest.raises(ValueError, match="never evaluated"):
        Catalogue.of(backend).expand(["gnn_layers_post_mp_node.0"])


def test_last_layers_of_the_chosen_targets():
    backend = pet(rich_info()).backend
    found = Catalogue.of(backend, ["mtt::density", "energy"]).expand(["LLF"])
    assert sorted(found) == [
        "edge_heads.energy.0",
        "edge_heads.mtt::density.0",
        "node_heads.energy.0",
        "node_heads.mtt::density.0",
    ]
    assert all(group_of(path) == "LLF" for path in found)
    assert group_of("gnn_layers.0.trans.layers.0.mlp") == ""


def test_names_of_targets():
    target = get_generic_target_info("mtt::a_node", generic("scalar"))
    info = DatasetInfo("Angstrom", TYPES, {"mtt::a_node": target})
    backend = pet(info).backend
    path = "node_heads.mtt::a_node.0"
    assert Catalogue.of(backend).expand([path]) == [path]
    assert Catalogue.of(backend).expand(["node_heads.mtt::a_node"]) == [path]


def test_backend_is_left_alone():
    backend = pet(energy_info()).backend
    before = [parameter.clone() for parameter in backend.parameters()]
    catalogue = Catalogue.of(backend, ["energy"])
    with (
        pytest.raises(RuntimeError, match="stop"),
        catalogue.collecting(backend, catalogue.expand(["GNN"])),
    ):
        raise RuntimeError("stop")
    assert all(not module._forward_hooks for module in backend.modules())
    assert all(map(torch.equal, before, backend.parameters()))


def test_subspaces_follow_the_weights():
    """A monitor opens an engine once, and the weights of its copy change."""
    engine = open_engine(pet(energy_info()), probes=["GE"])
    name = "gnn_layers.0.edge_embedder"
    layer = engine.model.backend.get_submodule(name)
    with torch.no_grad():
        layer.weight.normal_()
    image, basis = layer.weight.detach().double(), engine.bases[name]
    torch.testing.assert_close(basis @ (basis.T @ image), image)
