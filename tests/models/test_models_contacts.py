"""What the orbit room uses of metatrain and metatomic is still what it was."""

import inspect

import metatomic.torch.o3 as o3
import pytest
import torch
from common import energy_info, molecule, pet, systems
from metatrain.pet import PET
from metatrain.pet import model as pet_model
from metatrain.pet.modules.backend import PETBackend
from metatrain.pet.modules.structures import concatenate_structures
from metatrain.scaler import Scaler
from metatrain.utils.data.atomic_basis_helpers import sparsify_atomic_basis_target
from metatrain.utils.data.system_to_ase import system_to_ase
from metatrain.utils.io import load_model
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

from metatrain_symmetry.models.pet.catalogue import Catalogue
from metatrain_symmetry.models.pet.trial_batch import trial_batch


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            PETBackend.preprocess,
            "self positions centers neighbors species cells cell_shifts system_indices "
            "cutoff_width_adaptive",
        ),
        (PETBackend.calculate_features, "self batch_data capture_diagnostics"),
        (
            PETBackend.predict,
            "self node_features_list edge_features_list batch_data cells system_indices "
            "requested_output_names",
        ),
        (
            PET._calculate_long_range_features,
            "self systems node_features_list edge_distances padding_mask",
        ),
        (pet_model._extract_charge_spin_multiplicity, "systems device"),
        (concatenate_structures, "systems neighbor_list_options"),
        (
            Scaler.apply_scales,
            "self systems outputs remove selected_atoms use_per_target_scales "
            "use_per_property_scales",
        ),
        (
            sparsify_atomic_basis_target,
            "systems tensor layout atom_types_batch sparse_properties",
        ),
        (get_system_with_neighbor_lists, "system neighbor_lists"),
        (get_requested_neighbor_lists, "module"),
        (system_to_ase, "system"),
        (load_model, "path extensions_directory hf_token"),
        (o3.O3Transformations.__init__, "self matrices max_angular_momentum"),
        (o3.O3Transformations.transform_systems, "self systems add_inversion"),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_signature(function, expected):
    found = " ".join(inspect.signature(function).parameters)
    assert found == expected, f"{function.__qualname__} now takes: {found}"


@pytest.mark.parametrize(
    "name",
    [
        "backend.d_pet",
        "backend.d_node",
        "backend.d_head",
        "backend.d_feedforward",
        "backend.num_heads",
        "backend.num_gnn_layers",
        "backend.num_attention_layers",
        "backend.num_readout_layers",
        "backend.node_heads",
        "backend.system_conditioning",
        "additive_models",
        "component_labels",
        "cutoff_width_adaptive",
        "dataset_info.targets",
        "dataset_info.atomic_types",
        "key_labels",
        "long_range",
        "output_shapes",
        "property_labels",
        "requested_nl",
        "scaler",
    ],
)
def test_attribute(name):
    part = pet(energy_info())
    for step in name.split("."):
        assert hasattr(part, step), f"PET has no {name} any more"
        part = getattr(part, step)


def test_batch():
    model = pet(energy_info()).to(torch.float64)
    arrays = concatenate_structures(systems([molecule()], model), model.requested_nl)
    assert len(arrays) == 8, "concatenate_structures returns something else now"
    batch = model.backend.preprocess(*arrays[:7], model.cutoff_width_adaptive)
    conditions = {"charge", "spin_multiplicity", "system_indices"}
    expected = set(trial_batch(model.backend)) - conditions
    more = {"atomic_cutoffs_stats", "centers", "neighbors", "nef_to_edges_neighbor"}
    expected |= more | {"cell_shifts"}
    assert set(batch) == expected, "preprocess returns other tensors now: see copies.py"
    atoms, slots = batch["edge_vectors"].shape[:2]
    reverse = batch["reverse_neighbor_index"]
    assert reverse.shape == (atoms, slots), "the reverse index has another shape"
    real = reverse[batch["padding_mask"]]
    vectors = batch["edge_vectors"]
    opposite = vectors.reshape(-1, 3)[real]
    assert torch.allclose(opposite, -vectors[batch["padding_mask"]]), (
        "the reverse index no longer counts atoms times slots: see copies.py"
    )


@pytest.mark.parametrize("conditioning", [False, True])
def test_layers(conditioning):
    model = pet(energy_info(), system_conditioning=conditioning)
    probes = Catalogue.of(model.backend, ["energy"]).probes
    for path in ("gnn_layers.0_node", "edge_backbone.0", "node_heads.energy.0"):
        assert path in probes, f"PET's backend has no layer {path} any more"
