"""Representations of O(3) written down by hand, and targets of a small batch."""

import numpy as np
import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatrain.utils.data.target_info import (
    get_energy_target_info,
    get_generic_target_info,
)


# orthonormal, in the order m = -2 .. 2: xy, yz, 3z² - r², xz, x² - y²
HARMONICS = np.zeros((5, 3, 3))
for row, (i, j) in enumerate([(0, 1), (1, 2), (0, 2)]):
    HARMONICS[[0, 1, 3][row], [i, j], [j, i]] = np.sqrt(1 / 2)
HARMONICS[2] = np.diag([-1, -1, 2]) / np.sqrt(6)
HARMONICS[4] = np.diag([1, -1, 0]) / np.sqrt(2)

SIZES = {"scalar": 1, "pseudoscalar": 1, "vector": 3, "tensor": 9, "2+": 5, "2-": 5}
COMPONENTS = {
    "scalar": [],
    "pseudoscalar": [("o3_mu", 1)],
    "vector": [("xyz", 3)],
    "tensor": [("xyz_1", 3), ("xyz_2", 3)],
    "2+": [("o3_mu", 5)],
    "2-": [("o3_mu", 5)],
}
KEYS = {"pseudoscalar": (0, -1), "2+": (2, 1), "2-": (2, -1)}


def representation(kind, matrix):
    """The matrix that acts on a flattened value, from that of an element of O(3)."""
    tensor = np.kron(matrix, matrix)
    sign = np.sign(np.linalg.det(matrix))
    harmonics = HARMONICS.reshape(5, 9)
    return {
        "scalar": np.eye(1),
        "pseudoscalar": sign * np.eye(1),
        "vector": matrix,
        "tensor": tensor,
        "2+": harmonics @ tensor @ harmonics.T,
        "2-": sign * harmonics @ tensor @ harmonics.T,
    }[kind]


def axes(kind):
    """Labels of the components of a value."""
    found = []
    for name, size in COMPONENTS[kind]:
        numbers = torch.arange(size) - (size // 2 if name == "o3_mu" else 0)
        found.append(Labels(name, numbers[:, None]))
    return found


def block(kind, samples, values, names=("system",)):
    """A block of values ``(rows, components, properties)``, components flattened."""
    values = torch.as_tensor(values)
    shape = [len(values), *(size for _, size in COMPONENTS[kind]), values.shape[-1]]
    return TensorBlock(
        values.reshape(shape),
        Labels(list(names), torch.as_tensor(samples)),
        axes(kind),
        Labels.range("property", values.shape[-1]),
    )


def tensor_map(blocks):
    """A target of one block for each kind."""
    if set(blocks) <= set(KEYS):
        keys = Labels(
            ["o3_lambda", "o3_sigma"], torch.tensor([KEYS[kind] for kind in blocks])
        )
    else:
        keys = Labels("_", torch.tensor([[0]]))
    return TensorMap(keys, list(blocks.values()))


def energies(systems, gradients, values):
    """Energies with gradients: ``(kind, samples, values)`` by name."""
    energy = block("scalar", systems, values)
    for name, (kind, samples, numbers) in gradients.items():
        names = ["sample", "atom"] if name == "positions" else ["sample"]
        energy.add_gradient(name, block(kind, samples, numbers, names))
    return tensor_map({"scalar": energy})


def spherical_info(name, *kinds):
    """What metatrain knows of a spherical target."""
    irreps = [dict(zip(("o3_lambda", "o3_sigma"), KEYS[k], strict=True)) for k in kinds]
    return generic_info(name, {"spherical": {"irreps": irreps}})


def generic_info(name, kind):
    """What metatrain knows of a target of atoms."""
    description = {
        "quantity": "",
        "unit": "",
        "type": kind,
        "num_subtargets": 1,
        "sample_kind": "atom",
    }
    return get_generic_target_info(name, description)


def energy_info():
    """What metatrain knows of an energy with forces and stress."""
    description = {"quantity": "energy", "unit": "eV"}
    return get_energy_target_info(
        "energy", description, add_position_gradients=True, add_strain_gradients=True
    )


def packed(matrices):
    """Matrices ``(n, 3, 3)`` as a batch carries them."""
    three = torch.arange(3)[:, None]
    values = TensorBlock(
        torch.as_tensor(matrices),
        Labels("system", torch.arange(len(matrices))[:, None]),
        [Labels("row", three)],
        Labels("column", three),
    )
    return TensorMap(Labels("_", torch.tensor([[0]])), [values])
