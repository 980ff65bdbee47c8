"""PETs with harmonics as branches of metatrain have them, and their checkpoints."""

import copy
import math

import sphericart.torch
import torch
from common import energy_info, pet
from torch import nn


L_MAX = 3
NEW, OLD = "geometry_embedding_l_max", "geometry_embedding_lmax"
OPTIONS = {
    NEW: {"head_type": "per_target", "num_head_layers": 2, "shallow_ensemble": None,
          "readout_type": {"atom_type_gating": False, "hypers": {}}},
    OLD: {"readout_type": None},
}  # fmt: skip
VERSIONS = {NEW: 19, OLD: 15}


class Embedding(nn.Module):
    """An embedding of either form, with the harmonics of sphericart."""

    def __init__(self, d_pet, per_degree):
        super().__init__()
        kinds = sphericart.torch
        kind = kinds.SphericalHarmonics if per_degree else kinds.SolidHarmonics
        self.harmonics = kind(l_max=L_MAX)
        self.per_degree = per_degree
        self.map = nn.Linear((L_MAX + 1) ** 2, d_pet)
        self.norm = nn.LayerNorm(d_pet)
        with torch.no_grad():
            self.norm.weight.uniform_(0.5, 1.5)
            self.norm.bias.normal_()

    def forward(self, edges):
        vectors, r = edges[..., :3].reshape(-1, 3), edges[..., 3:]
        if self.per_degree:
            up = torch.tensor([[0.0, 0.0, 1.0]], dtype=vectors.dtype)
            vectors = torch.where(vectors.norm(dim=1, keepdim=True) == 0, up, vectors)
        values = self.harmonics.compute(vectors).reshape(*edges.shape[:2], -1)
        if self.per_degree:
            degrees = [l for l in range(L_MAX + 1) for _ in range(2 * l + 1)]
            sizes = [math.sqrt(4 * math.pi / (2 * l + 1)) for l in degrees]
            values = r * values * torch.tensor(sizes, dtype=values.dtype)
        return self.norm(self.map(values))


def branch_model(name):
    """A PET with harmonics, and a checkpoint of it as a branch of metatrain writes it.

    :param name: of the option, which tells the form
    """
    model = pet(energy_info()).double()
    for layer in model.backend.gnn_layers:
        layer.edge_embedder = Embedding(model.d_pet, name == NEW).double()
    checkpoint = copy.deepcopy(model.get_checkpoint()) | {"epoch": 3}
    hypers = checkpoint["model_data"]["model_hypers"]
    hypers |= OPTIONS[name] | {name: L_MAX}
    checkpoint["model_ckpt_version"] = VERSIONS[name]
    checkpoint |= {"trainer_ckpt_version": 15, "optimizer_state_dict": {}}
    for key in ("model_state_dict", "best_model_state_dict"):
        checkpoint[key] = _renamed(checkpoint[key], name)
    return model, checkpoint


def _renamed(state, name):
    """Names of the branch: that with the old form has no backend, and lists of readouts."""
    found = {}
    for key, value in state.items():
        key = key.replace("edge_embedder.map.", "edge_embedder.")
        key = key.replace("edge_embedder.norm.", "rmsnorm.")
        if name == OLD:
            key = key.removeprefix("backend.")
            for own in ("weight", "bias"):
                if "_last_layers." in key and key.endswith(f".{own}"):
                    several = {"weight": "weights.0", "bias": "biases.0"}[own]
                    key, value = key.removesuffix(own) + several, value[None]
        found[key] = value
    if name == NEW:
        found["backend.gnn_layers.0.geometry_norm_factors"] = torch.ones(16)
        found["backend.gnn_layers.0.spherical_harmonics.F"] = torch.ones(10)
    return found
