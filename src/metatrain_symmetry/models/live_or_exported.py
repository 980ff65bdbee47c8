"""One way to ask a model, whether it is live or exported."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from metatensor.torch import TensorMap
from metatomic.torch import (
    ModelEvaluationOptions,
    ModelOutput,
    NeighborListOptions,
    System,
    is_atomistic_model,
)
from metatrain.utils.neighbor_lists import get_requested_neighbor_lists

from . import irrep_blocks


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Put a model in eval mode for a while.

    :param model: any module; every submodule gets its own mode back
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            # train() would be recursive
            module.training = training


def atomic_types(model: Any) -> list[int]:
    """Elements that a model knows.

    :param model: with metatrain's interface, or exported
    :return: atomic types
    """
    if is_atomistic_model(model):
        return list(model.capabilities().atomic_types)
    return list(model.dataset_info.atomic_types)


def neighbor_requests(model: Any) -> list[NeighborListOptions]:
    """Neighbour lists that a model wants.

    :param model: with metatrain's interface, or exported
    :return: their options
    """
    if is_atomistic_model(model):
        return model.requested_neighbor_lists()
    return get_requested_neighbor_lists(model)


def supported_outputs(model: Any) -> Mapping[str, ModelOutput]:
    """What a model says of its outputs.

    :param model: with metatrain's interface, or exported
    :return: output of each name
    """
    if is_atomistic_model(model):
        return model.capabilities().outputs
    return model.supported_outputs()


def target_info(model: Any, target: str) -> Any:
    """What a live model knows of a target.

    :param model: with metatrain's interface, or exported
    :param target: its name
    :return: metatrain's ``TargetInfo``; None if the model is exported or does not say
    """
    information = getattr(model, "dataset_info", None)
    if information is None or is_atomistic_model(model):
        return None
    return information.targets.get(target)


def length_unit(model: Any) -> str:
    """Unit of length in which a model takes structures.

    :param model: with metatrain's interface, or exported, or none
    :return: empty if it does not say
    """
    if model is None:
        return ""
    if is_atomistic_model(model):
        return str(model.capabilities().length_unit)
    return str(getattr(getattr(model, "dataset_info", None), "length_unit", "") or "")


def sample_kind(model: Any, target: str) -> str:
    """What the samples of a target are.

    :param model: with metatrain's interface, or exported
    :param target: its name
    :return: ``system`` or ``atom``
    """
    info = target_info(model, target)
    if info is not None:
        return info.sample_kind
    # an exported model can give both, and says "atom"
    if irrep_blocks.base_name(target) == "energy" or irrep_blocks.is_stress(target):
        return "system"
    return supported_outputs(model)[target].sample_kind


def additive_models(model: Any) -> list[Any]:
    """Additive models by metatrain's convention, perhaps below a wrapper such as LLPR.

    :param model: with metatrain's interface, or exported
    :return: those that have outputs
    """
    module = model.module if is_atomistic_model(model) else model
    for candidate in (module, getattr(module, "model", None)):
        found = getattr(candidate, "additive_models", None)
        if found is not None:
            # a scripted list cannot be iterated over
            return [part for part in found.children() if len(part.outputs)]
    return []


def call(
    model: Any, systems: list[System], requested: Mapping[str, ModelOutput]
) -> dict[str, TensorMap]:
    """Evaluate a model.

    :param model: with metatrain's interface, or exported
    :param systems: with neighbour lists
    :param requested: the outputs that are wanted
    :return: these, and no others
    """
    if not requested:
        return {}
    if is_atomistic_model(model):
        unit = model.capabilities().length_unit
        options = ModelEvaluationOptions(length_unit=unit, outputs=dict(requested))
        returned = model(systems, options, check_consistency=False)
    else:
        returned = model(systems, dict(requested))
    return {name: returned[name] for name in requested}
