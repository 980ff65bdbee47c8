"""From a model to one that averages inside, ready to be saved."""

from typing import Any

import torch
from metatensor.torch import TensorMap
from metatomic.torch import (
    AtomisticModel,
    ModelCapabilities,
    ModelMetadata,
    ModelOutput,
    NeighborListOptions,
    is_atomistic_model,
)
from metatomic.torch.o3 import O3Transformations
from metatomic.torch.o3._transformations import max_o3_lambda_in_tensor

from ..groups import NamedGroup
from ..messages import reason
from ..models import irrep_blocks, live_or_exported
from ..models.loading import is_auxiliary
from ..models.structures import trial_system, with_neighbors
from ..models.units import is_energy
from .averaged_model import AveragedModel


BATCH_ATOMS = 64
"""Rotated copies share an evaluation up to this many atoms, by default."""

DEGREE = 8
"""Largest degree of outputs and inputs, where none can be tried out."""

MARK = "averaged over"
"""Key of the metadata that says what a model is averaged over."""

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def averaged(
    model: Any, group: NamedGroup, batch_atoms: int = BATCH_ATOMS
) -> AtomisticModel:
    """Average a model over a finite group.

    :param model: with metatrain's interface, or exported
    :param group: not the trivial one
    :param batch_atoms: rotated copies share an evaluation up to this many atoms; one copy
        is always evaluated
    :raises ValueError: if the model cannot be averaged
    :return: the average, with the names, units, inputs, dtype and devices of the model
    """
    exported = model if is_atomistic_model(model) else model.export()
    before = exported.metadata().extra.get(MARK)
    if before is not None:
        raise ValueError(
            f"the model is averaged already, over the {before}: give the model that it was "
            "made from"
        )
    capabilities = exported.capabilities()
    elements = O3Transformations(group.elements, largest_degree(exported))
    module = AveragedModel(
        exported.module,
        elements.to(_DTYPES[capabilities.dtype]),
        energies(exported),
        batch_atoms,
        dict(exported._requested_inputs),
        [_copied(options) for options in exported.requested_neighbor_lists()],
    )
    return AtomisticModel(
        module.eval(),
        _metadata(exported.metadata(), group),
        _capabilities(exported, capabilities),
    )


def declared(model: AtomisticModel) -> list[str]:
    """Outputs as the model names them, without the other spellings metatomic adds.

    :param model: exported
    :return: names
    """
    return list(model._model_capabilities_outputs_names)


def energies(model: AtomisticModel) -> list[str]:
    """Outputs that forces and stress may be asked of.

    :param model: exported
    :return: the standard energy and its variants, and other targets in a unit of energy
    """
    outputs, names = model.capabilities().outputs, declared(model)
    return [
        name
        for name in names
        if not is_auxiliary(name, names)
        and (irrep_blocks.base_name(name) == "energy" or is_energy(outputs[name].unit))
    ]


def largest_degree(model: AtomisticModel) -> int:
    """Find the largest degree of the spherical outputs, from one small evaluation.

    :param model: exported
    :raises ValueError: if the model cannot be evaluated here, or an output not be rotated
    :return: the degree; :data:`DEGREE` for a model that wants to know more than positions
    """
    if model._requested_inputs:
        return DEGREE
    return max((_degree(name, tensor) for name, tensor in _trial(model).items()), default=0)


def _degree(name: str, tensor: TensorMap) -> int:
    """Largest degree of one output, 0 for scalars and Cartesian components."""
    try:
        return max(0, max_o3_lambda_in_tensor(tensor))
    except Exception as error:
        raise ValueError(
            f"the output '{name}' cannot be rotated, because its components are not those "
            f"of vectors or spherical tensors ({reason(error)}): give a model without it"
        ) from error


def _trial(model: AtomisticModel) -> dict[str, TensorMap]:
    """All outputs for a made-up structure."""
    device = _device(list(model.capabilities().supported_devices))
    dtype = _DTYPES[model.capabilities().dtype]
    system = with_neighbors(
        trial_system(live_or_exported.atomic_types(model)),
        live_or_exported.neighbor_requests(model),
        dtype,
        device,
    )
    outputs = {
        name: ModelOutput(sample_kind=live_or_exported.sample_kind(model, name))
        for name in declared(model)
    }
    try:
        return live_or_exported.call(model.to(device), [system], outputs)
    except Exception as error:
        raise ValueError(
            f"the model fails on a small structure of its elements ({reason(error)}): give "
            "a model that can be evaluated here"
        ) from error


def _device(supported: list[str]) -> torch.device:
    """Where the model can be evaluated on this computer."""
    here = {"cpu": True, "cuda": torch.cuda.is_available()}
    for name in ("cpu", "cuda"):
        if name in supported and here[name]:
            return torch.device(name)
    raise ValueError(
        f"the model runs on {' and '.join(supported)} only, which this computer does not "
        "have: symmetrise it on one that does"
    )


def _copied(options: NeighborListOptions) -> NeighborListOptions:
    """Request for a neighbour list: ``AtomisticModel`` writes into what it is given."""
    copy = NeighborListOptions(options.cutoff, options.full_list, options.strict)
    for requestor in options.requestors():
        copy.add_requestor(requestor)
    return copy


def _capabilities(
    model: AtomisticModel, capabilities: ModelCapabilities
) -> ModelCapabilities:
    """Those of the model; explicit gradients are not averaged."""
    outputs = {
        name: ModelOutput(
            unit=capabilities.outputs[name].unit,
            sample_kind=capabilities.outputs[name].sample_kind,
            explicit_gradients=[],
            description=capabilities.outputs[name].description,
        )
        for name in declared(model)
    }
    return ModelCapabilities(
        outputs=outputs,
        atomic_types=capabilities.atomic_types,
        interaction_range=capabilities.interaction_range,
        length_unit=capabilities.length_unit,
        supported_devices=capabilities.supported_devices,
        dtype=capabilities.dtype,
    )


def _metadata(metadata: ModelMetadata, group: NamedGroup) -> ModelMetadata:
    """Those of the model, with a sentence about the average."""
    over = f"{group.title} ({group.size} elements)"
    sentence = f"Averaged over the {over} by metatrain-symmetry."
    return ModelMetadata(
        name=metadata.name,
        description=f"{metadata.description} {sentence}".strip(),
        authors=metadata.authors,
        references=metadata.references,
        extra={**metadata.extra, MARK: over},
    )
