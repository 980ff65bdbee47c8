"""Errors of an exported model on the parts of its data, with metatrain's own functions."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from metatrain.utils.data import CollateFn, get_dataset, unpack_batch
from metatrain.utils.evaluate_model import evaluate_model
from metatrain.utils.io import load_model
from metatrain.utils.metrics import RMSEAccumulator
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists_transform,
)
from metatrain.utils.per_atom import average_by_num_atoms
from metatrain.utils.transfer import batch_to
from omegaconf import OmegaConf

from examples.quickstart.names import PARTS, ROWS
from metatrain_symmetry.progress import progress


def evaluate(run: Path, outputs: Path) -> dict[str, dict[str, float]]:
    """Compute the errors of the exported model on each part of the data.

    :param run: folder of the run, with ``model.pt``
    :param outputs: metatrain's folder, with the expanded options and the indices
    :return: root mean square errors in meV/atom or meV/Å for each part and row
    """
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    options: Any = OmegaConf.load(outputs / "options_restart.yaml")
    dataset, targets, _ = get_dataset(options["training_set"][0])
    model = load_model(run / "model.pt")
    batch_size = options["architecture"]["training"]["batch_size"]
    scores = {}
    with progress(len(PARTS), "evaluation", "part", leave=False) as bar:
        for part in PARTS:
            indices = np.loadtxt(outputs / "indices" / f"{part}.txt", dtype=int, ndmin=1)
            subset = torch.utils.data.Subset(dataset, indices.tolist())
            scores[part] = part_errors(model, subset, targets, batch_size)
            bar.update(1)
    return scores


def part_errors(
    model: Any, dataset: Any, targets: dict[str, Any], batch_size: int
) -> dict[str, float]:
    """Compute the errors of an exported model on one part of the data.

    :param model: exported model
    :param dataset: structures and their targets
    :param targets: name and description of every target
    :param batch_size: structures evaluated together
    :return: root mean square errors in meV/atom or meV/Å, named as in ``names.ROWS``
    """
    neighbors = get_system_with_neighbor_lists_transform(
        get_requested_neighbor_lists(model)
    )
    loader = torch.utils.data.DataLoader(
        dataset, batch_size, collate_fn=CollateFn(list(targets), callables=[neighbors])
    )
    dtype = next(model.parameters()).dtype
    rmse = RMSEAccumulator()
    for batch in loader:
        systems, truth, _ = batch_to(*unpack_batch(batch), dtype=dtype)
        predicted = evaluate_model(model, systems, targets, is_training=False)
        rmse.update(
            average_by_num_atoms(predicted, systems, per_structure_keys=[]),
            average_by_num_atoms(truth, systems, per_structure_keys=[]),
        )
    errors = rmse.finalize(not_per_atom=["positions_gradients"])
    return {row: 1000 * errors[row] for row in ROWS if row in errors}
