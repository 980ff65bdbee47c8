"""A small model whose averages are known, and ways to ask exported models."""

import warnings
from typing import Dict, List, Optional

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelCapabilities,
    ModelEvaluationOptions,
    ModelMetadata,
    ModelOutput,
    NeighborListOptions,
    System,
)
from vesin.metatomic import compute_requested_neighbors

from metatrain_symmetry.groups import named_group
from metatrain_symmetry.symmetrise.export import averaged


CUTOFF = 3.5
FORCE = "non_conservative_force"


def pair_energy(r: torch.Tensor) -> torch.Tensor:
    """Of pairs ``(n, 3)``: isotropic, and parts of degree 2, 4 and 3 beside it."""
    x, y, z = r[:, 0], r[:, 1], r[:, 2]
    square = (r * r).sum(1)
    return square + 0.5 * z * z + 0.3 * z**4 + 0.7 * x * y * z


def averaged_pair_energy(r, group):
    """Closed form: what is left of each part in the average over a group."""
    x, y, z = r.unbind(1)
    if group in ("i", "D2i"):  # leave squares of coordinates as they are
        return pair_energy(r) - 0.7 * x * y * z
    square = (r * r).sum(1)
    fourth = square**2 / 5 if group.startswith("I") else (x**4 + y**4 + z**4) / 3
    # x y z is an invariant of T, and of no other of these groups
    third = x * y * z if group == "T" else 0 * x
    return square + 0.5 * square / 3 + 0.3 * fourth + 0.7 * third


def pair_force(r: torch.Tensor) -> torch.Tensor:
    """A direct vector of pairs; its average over T, O and I is ``r |r|² / 3``."""
    return r * (r[:, 2] ** 2).unsqueeze(1)


class Pairs(torch.nn.Module):
    """Energies and direct forces as sums over pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(1, dtype=torch.float64))

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:
        return [NeighborListOptions(CUTOFF, False, True)]

    def forward(
        self,
        systems: List[System],
        outputs: Dict[str, ModelOutput],
        selected_atoms: Optional[Labels],
    ) -> Dict[str, TensorMap]:
        energies: List[torch.Tensor] = []
        forces: List[torch.Tensor] = []
        samples: List[torch.Tensor] = []
        for i, system in enumerate(systems):
            options = system.known_neighbor_lists()[0]
            neighbors = system.get_neighbor_list(options)
            first = neighbors.samples.column("first_atom").to(torch.long)
            r = neighbors.values.squeeze(-1)
            zeros = torch.zeros_like(system.positions)
            energies.append(zeros[:, 0].index_add(0, first, pair_energy(r)))
            forces.append(zeros.index_add(0, first, pair_force(r)))
            atoms = torch.arange(len(system), device=zeros.device)
            samples.append(torch.stack([torch.full_like(atoms, i), atoms], 1))
        labels = Labels(["system", "atom"], torch.cat(samples).to(torch.int32))
        energy, force = torch.cat(energies), torch.cat(forces)
        if selected_atoms is not None:
            kept = labels.select(selected_atoms)
            labels = Labels(labels.names, labels.values[kept])
            energy, force = energy[kept], force[kept]
        key = Labels(["_"], torch.zeros(1, 1, dtype=torch.int32, device=energy.device))
        no_components: List[Labels] = []
        results: Dict[str, TensorMap] = {}
        if "energy" in outputs:
            values = energy.unsqueeze(1)
            if outputs["energy"].sample_kind == "system":
                index = labels.column("system").to(torch.long)
                total = torch.zeros(len(systems), 1, dtype=values.dtype)
                values = total.to(values).index_add(0, index, values)
                rows = torch.arange(len(systems), device=values.device).reshape(-1, 1)
                one_each = Labels(["system"], rows.to(torch.int32))
                block = TensorBlock(values, one_each, no_components, _one("energy", values))
            else:
                block = TensorBlock(values, labels, no_components, _one("energy", values))
            results["energy"] = TensorMap(key, [block])
        if "non_conservative_force" in outputs:
            xyz = Labels("xyz", torch.arange(3, device=energy.device).reshape(-1, 1))
            name = "non_conservative_force"
            block = TensorBlock(force.unsqueeze(-1), labels, [xyz], _one(name, force))
            results[name] = TensorMap(key, [block])
        return results


def _one(name: str, values: torch.Tensor) -> Labels:
    return Labels([name], torch.zeros(1, 1, dtype=torch.int32, device=values.device))


def capabilities(**changes):
    outputs = {
        "energy": ModelOutput(unit="eV", sample_kind="atom"),
        FORCE: ModelOutput(unit="eV/Angstrom", sample_kind="atom"),
    }
    options = {
        "outputs": outputs,
        "atomic_types": [1, 6, 8, 12],
        "interaction_range": CUTOFF,
        "length_unit": "Angstrom",
        "supported_devices": ["cuda", "cpu"],
        "dtype": "float64",
    }
    return ModelCapabilities(**(options | changes))


def exported(module=None, **changes):
    metadata = ModelMetadata(name="pairs", description="Known averages.")
    return AtomisticModel((module or Pairs()).eval(), metadata, capabilities(**changes))


def average_of(model, group, path, batch_atoms=64):
    """Average a model, save it and load the file."""
    averaged(model, named_group(group), batch_atoms).save(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from metatomic.torch import load_atomistic_model

        return load_atomistic_model(str(path))


def inputs(atoms, model):
    """Positions, strain and the system that they make."""
    positions = torch.tensor(atoms.positions, requires_grad=True)
    strain = torch.eye(3, dtype=torch.float64, requires_grad=True)
    system = System(
        torch.tensor(atoms.numbers, dtype=torch.int32),
        positions @ strain,
        torch.tensor(atoms.cell[:]) @ strain,
        torch.tensor(atoms.pbc),
    )
    compute_requested_neighbors(system, "Angstrom", model)
    return positions, strain, system


def ask(model, systems, outputs, selected_atoms=None):
    """Call an exported model; ``outputs`` are sample kinds by name."""
    options = ModelEvaluationOptions(
        length_unit="Angstrom",
        outputs={name: ModelOutput(sample_kind=kind) for name, kind in outputs.items()},
        selected_atoms=selected_atoms,
    )
    return model(systems, options, check_consistency=True)
