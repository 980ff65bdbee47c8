"""Errors of the checkpoints that a benchmark run left, on its validation set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from metatensor.torch import TensorMap
from metatrain.utils.data import get_dataset
from metatrain.utils.evaluate_model import evaluate_model
from metatrain.utils.io import model_from_checkpoint
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)
from metatrain.utils.omegaconf import expand_dataset_config
from omegaconf import OmegaConf

from metatrain_symmetry.plugin.hook import install


# prediction and target of one validation structure
Pair = tuple[TensorMap, TensorMap]


def evaluate(task: str, options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Evaluate the model of the last epoch.

    :param task: ``"xtb"`` or ``"lambda8"``
    :param options: metatrain's options of the run
    :param folder: where the run happened
    :return: named results; energies in meV per atom, forces in meV/Å
    """
    install()  # checkpoints of pet_ssh are unknown to metatrain without it
    torch.set_num_threads(1)
    samples, info = validation_samples(options)
    (name,) = info
    model = last_model(folder / "model.ckpt")
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    last = predict(model, samples, info, name)
    if task == "xtb":
        return {"parameters": parameters, **energy_errors(last)}
    first_alive = None
    for epoch, checkpoint in checkpoints(folder):
        pairs = predict(last_model(checkpoint), samples, info, name)
        if first_alive is None and spherical_errors(pairs)["norm_ratio"] > 0.9:
            first_alive = epoch
    return {
        "parameters": parameters,
        **spherical_errors(last),
        "epoch_norm_ratio_0.9": first_alive,
    }


def validation_samples(options: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Read the validation set as metatrain does.

    :param options: metatrain's options of the run
    :return: structures with their targets, and the description of the targets
    """
    (section,) = expand_dataset_config(OmegaConf.create(options["training_set"]))
    dataset, info, _ = get_dataset(section)
    return [dataset[i] for i in options["validation_set"]["indices"]], info


def last_model(checkpoint: Path) -> torch.nn.Module:
    """Load the weights of the last epoch, not the best ones.

    :param checkpoint: file that metatrain wrote
    :return: the model, which adds compositions and scales
    """
    content = torch.load(checkpoint, weights_only=False, map_location="cpu")
    return model_from_checkpoint(content, context="restart").eval()


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """List the checkpoints that were made during a run.

    :param folder: where the run happened
    :return: epoch, counted from 0, and file, in order
    """
    files = folder.glob("outputs/*/*/model_*.ckpt")
    return sorted((int(file.stem.removeprefix("model_")), file) for file in files)


def predict(
    model: torch.nn.Module, samples: list[Any], info: dict[str, Any], name: str
) -> list[Pair]:
    """Predict a target, with its gradients, one structure at a time.

    :param model: model in evaluation mode
    :param samples: structures with their targets
    :param info: description of the targets
    :param name: name of the target
    :return: prediction and target of each structure
    """
    neighbors = get_requested_neighbor_lists(model)
    pairs = []
    for sample in samples:
        system = get_system_with_neighbor_lists(sample.system, neighbors)
        outputs = evaluate_model(model, [system.to(torch.float32)], info, is_training=False)
        pairs.append((outputs[name], sample._asdict()[name]))
    return pairs


def root_mean_square(differences: list[torch.Tensor]) -> float:
    """Root mean square over all numbers of some tensors.

    :param differences: tensors of any shapes
    """
    return torch.cat([d.flatten() for d in differences]).square().mean().sqrt().item()


def energy_errors(pairs: list[Pair]) -> dict[str, float]:
    """Errors of energies and forces.

    :param pairs: predictions and targets, in eV and eV/Å
    :return: root mean square errors in meV per atom and in meV/Å
    """
    energies, forces = [], []
    for prediction, target in pairs:
        given, wanted = prediction.block(), target.block()
        gradients = wanted.gradient("positions").values
        forces.append(given.gradient("positions").values.detach() - gradients)
        energies.append((given.values.detach() - wanted.values) / len(gradients))
    return {
        "energy_rmse": 1000 * root_mean_square(energies),
        "force_rmse": 1000 * root_mean_square(forces),
    }


def spherical_errors(pairs: list[Pair]) -> dict[str, float]:
    """Error and size of predictions, each relative to the target.

    :param pairs: predictions and targets
    :return: root mean square error relative to that of predicting zero, and norm of all
        predictions divided by the norm of all targets
    """
    given = [prediction.block().values.detach().double() for prediction, _ in pairs]
    wanted = [target.block().values for _, target in pairs]
    size = root_mean_square(wanted)
    differences = [g - w for g, w in zip(given, wanted, strict=True)]
    return {
        "relative_rmse": root_mean_square(differences) / size,
        "norm_ratio": root_mean_square(given) / size,
    }
