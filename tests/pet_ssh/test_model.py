"""What ``pet_ssh`` promises beyond metatrain's own tests."""

import ase
import ase.build
import numpy as np
import pytest
import torch
from common import (
    crystal,
    energy_info,
    hypers,
    molecule,
    pet,
    pet_ssh,
    predict,
    spherical_info,
    systems,
)
from metatomic.torch import ModelOutput
from metatrain.utils.architectures import import_architecture

from metatrain_symmetry.pet_ssh import PetSSH, Trainer
from metatrain_symmetry.pet_ssh.modules.geometry_embedding import GeometryEmbedding


EVERY_EMBEDDING = [
    {"l_max": 4},
    {"l_max": 0},
    {"l_max": 8, "normalization": "LayerNorm", "keep_distance": False},
    {"l_max": 2, "normalization": "RMSNorm", "length_scale": 1},
    {"l_max": 3, "normalization": None},
    {"l_max": 3, "normalization": "distance", "keep_distance": False, "length_scale": 1},
]
FEATURIZERS = ["feedforward", "residual"]
isolated = ase.Atoms("O", positions=[[0.1, 0.2, 0.3]])
far_apart = ase.Atoms("CO", positions=[[0, 0, 0], [0, 0, 40.0]])
one_atom_cell = ase.build.bulk("C", "sc", a=2.1)


def test_classes_live_with_us():
    architecture = import_architecture("pet_ssh")
    assert architecture.__model__ is PetSSH
    assert architecture.__trainer__ is Trainer
    assert PetSSH.__module__.startswith("metatrain_symmetry.")


@pytest.mark.parametrize("featurizer_type", FEATURIZERS)
def test_l_max_null_is_pet(featurizer_type):
    info = energy_info()
    reference = pet(info, featurizer_type=featurizer_type)
    model = pet_ssh(info, embedding={"l_max": None}, featurizer_type=featurizer_type)
    ours, theirs = dict(model.named_parameters()), dict(reference.named_parameters())
    assert list(ours) == list(theirs)
    # the same random numbers were drawn
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    model.load_state_dict(reference.state_dict())
    for dtype in (torch.float32, torch.float64):
        structures = [molecule(), crystal()]
        expected = predict(reference, structures, dtype=dtype)
        assert torch.equal(predict(model, structures, dtype=dtype), expected)


@pytest.mark.parametrize("options", EVERY_EMBEDDING)
@pytest.mark.parametrize("featurizer_type", FEATURIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches_are_the_sum_of_their_systems(options, featurizer_type, dtype):
    """With isolated atoms, no neighbours at all, single-atom cells, empty batches."""
    model = pet_ssh(energy_info(), embedding=options, featurizer_type=featurizer_type)
    structures = [isolated, molecule(), one_atom_cell, crystal(), far_apart]
    together = predict(model, structures, dtype=dtype)
    alone = [predict(model, [structure], dtype=dtype) for structure in structures]
    assert torch.isfinite(together).all()
    torch.testing.assert_close(together, torch.cat(alone))
    scripted = torch.jit.script(model.to(dtype).eval())
    outputs = {"energy": ModelOutput(sample_kind="system")}
    for batch in ([isolated], [far_apart, isolated], structures):
        energies = scripted(systems(batch, model, dtype), outputs)["energy"]
        expected = predict(model, batch, dtype=dtype)
        torch.testing.assert_close(energies.block().values, expected)


def test_isolated_atoms_have_no_forces():
    model = pet_ssh(energy_info()).double().eval()
    (system,) = systems([far_apart], model, gradients=True)
    outputs = {"energy": ModelOutput(sample_kind="system")}
    energy = model([system], outputs)["energy"].block().values.sum()
    assert (
        not energy.requires_grad
        or not torch.autograd.grad(
            energy, system.positions, allow_unused=True, materialize_grads=True
        )[0].any()
    )


@pytest.mark.parametrize("o3_lambda", [0, 2, 5, 8])
@pytest.mark.parametrize("o3_sigma", [1, -1])
def test_spherical_targets(o3_lambda, o3_sigma):
    model = pet_ssh(spherical_info(o3_lambda, o3_sigma), embedding={"l_max": 4})
    values = predict(model, [molecule()], "mtt::density", kind="atom")
    assert values.shape == (len(molecule()), 2 * o3_lambda + 1, 1)
    assert torch.isfinite(values).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"num_neighbors_adaptive": 4},
        {"num_neighbors_adaptive": 4, "adaptive_cutoff_method": "grid"},
        {"long_range": {"enable": True, "use_ewald": True}},
        {"zbl": True},
        {"transformer_type": "PostLN", "normalization": "LayerNorm"},
        {"system_conditioning": True},
        {"num_gnn_layers": 3, "cutoff_function": "Cosine"},
    ],
    ids=lambda changes: "-".join(changes),
)
@pytest.mark.parametrize("featurizer_type", FEATURIZERS)
def test_options_of_pet(changes, featurizer_type):
    """Every option goes with harmonics, eager and exported alike."""
    changes = dict(changes)
    if "long_range" in changes:
        changes["long_range"] = hypers()["long_range"] | changes["long_range"]
    model = pet_ssh(energy_info(), featurizer_type=featurizer_type, **changes)
    structures = [crystal(), molecule()]
    expected = predict(model, structures)
    assert torch.isfinite(expected).all()
    outputs = {"energy": ModelOutput(sample_kind="system")}
    exported = torch.jit.script(model)
    actual = exported(systems(structures, model), outputs)["energy"].block().values
    torch.testing.assert_close(actual, expected)


def test_the_embedding_is_used():
    """Harmonics change the prediction, and higher ones change it again."""
    values = [
        float(predict(pet_ssh(energy_info(), embedding={"l_max": l}), [molecule()])[0])
        for l in (None, 1, 4)
    ]
    assert len({round(value, 6) for value in values}) == 3


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("normalization", ["harmonics", None])
def test_closed_form_of_the_embedding(scale, normalization):
    """W0 [x, y, z, r] + b + W R(u), written out for degree one."""
    torch.manual_seed(0)
    module = GeometryEmbedding(6, 1, scale, normalization, True).double()
    vectors = torch.randn(3, 5, 3, dtype=torch.float64)
    r = vectors.norm(dim=-1, keepdim=True)
    u = vectors / scale
    y00, y1 = np.sqrt(1 / (4 * np.pi)), np.sqrt(3 / (4 * np.pi))
    harmonics = torch.cat([torch.full_like(r, y00), y1 * u[..., [1, 2, 0]]], dim=-1)
    if normalization:  # Unsoeld: a function of r alone
        harmonics = harmonics / ((1 + 3 * (r / scale) ** 2) / (16 * np.pi)).sqrt()
    edges = torch.cat([vectors, r], dim=-1)
    expected = (
        edges @ module.cartesian.weight.T
        + module.cartesian.bias
        + harmonics @ module.linear.weight.T
    )
    torch.testing.assert_close(module(edges), expected, rtol=1e-12, atol=1e-12)


def test_closed_form_of_the_embedding_that_holds_the_distance():
    """LayerNorm(b + W (r / s) [1, y, z, x]), written out for degree one."""
    torch.manual_seed(0)
    module = GeometryEmbedding(6, 1, 1.5, "distance", False).double()
    vectors = torch.randn(3, 5, 3, dtype=torch.float64)
    vectors[1, 2] = 0  # as padding is
    r = vectors.norm(dim=-1, keepdim=True)
    harmonics = torch.cat([r, vectors[..., [1, 2, 0]]], dim=-1) / 1.5
    features = harmonics @ module.linear.weight.T + module.linear.bias
    centred = features - features.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)
    expected = centred / (variance + module.norm.eps).sqrt()
    edges = torch.cat([vectors, r], dim=-1).requires_grad_()
    found = module(edges)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    found.square().sum().backward()
    assert torch.isfinite(edges.grad).all()


@pytest.mark.parametrize("l_max", [1, 3])
def test_default_embedding_holds_the_irreps_up_to_l_max_and_no_other(l_max):
    """On a sphere the embedding is a polynomial of degree l_max, exactly."""
    torch.manual_seed(0)
    module = GeometryEmbedding(4, l_max, 1.5, "harmonics", False).double()
    nodes, weights = np.polynomial.legendre.leggauss(12)
    phi = 2 * np.pi * np.arange(24) / 24
    sine = np.sqrt(1 - nodes**2)
    grid = np.stack(
        [
            np.outer(sine, np.cos(phi)),
            np.outer(sine, np.sin(phi)),
            np.outer(nodes, np.ones(24)),
        ],
        axis=-1,
    )
    sphere = 1.7 * torch.from_numpy(grid.reshape(1, -1, 3))
    values = module(torch.cat([sphere, torch.full_like(sphere[..., :1], 1.7)], -1))[0]
    weight = torch.from_numpy(np.repeat(weights, 24) * 2 * np.pi / 24)
    harmonics = module.harmonics.__class__(8)(sphere[0] / 1.7)
    coefficients = harmonics.T @ (weight[:, None] * values)
    shares = [float((coefficients[l * l : (l + 1) ** 2] ** 2).sum()) for l in range(9)]
    assert min(shares[: l_max + 1]) > 1e-3
    assert max(shares[l_max + 1 :]) < 1e-20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"l_max": -1}, "l_max must be a whole number from 0 to 24"),
        ({"l_max": 2.0}, "l_max must be a whole number"),
        ({"l_max": True}, "l_max must be a whole number"),
        ({"l_max": 25}, "l_max must be a whole number"),
        ({"lmax": 3}, "has no option 'lmax': did you mean l_max"),
        ({"normalization": "bounded"}, "'harmonics', 'LayerNorm', 'RMSNorm' or 'distance'"),
        ({"length_scale": 0}, "length_scale must be a positive length"),
        ({"length_scale": float("nan")}, "length_scale must be a positive length"),
        (
            {"l_max": 20, "length_scale": 0.3, "normalization": "LayerNorm"},
            "too small for l_max = 20",
        ),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        pet_ssh(energy_info(), embedding=options)
