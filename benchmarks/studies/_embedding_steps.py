"""What an embedding costs and what it begins with, measured on models without training."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import ase.io
import numpy as np
import torch
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info, get_generic_target_info
from tqdm import tqdm

from benchmarks import ssh_step
from benchmarks._timing import in_turns
from benchmarks.studies._embedding_start import Start
from benchmarks.studies._embeddings import FORMS, used
from metatrain_symmetry.pet_ssh import PetSSH


if TYPE_CHECKING:
    from benchmarks.studies.one_embedding import FormTraining

PLAIN = "PET"
SIZES = {
    "d_pet": 48, "d_head": 48, "d_node": 96, "d_feedforward": 96, "num_heads": 4,
    "num_attention_layers": 1,
}  # fmt: skip
"""Of the timed models: those of the study ``density``."""
REPEATS = 15
"""Of every timed training step."""


def model_of(embedding: str, options: dict[str, Any], info: DatasetInfo) -> PetSSH:
    """A model with random weights.

    :param embedding: name of a form; other names for what the options say
    :param options: of the model, defaults for the others
    :param info: atomic types and targets
    """
    hypers = get_default_hypers("pet_ssh")["model"]
    geometry = hypers["geometry_embedding"] | options.get("geometry_embedding", {})
    hypers |= options | {"geometry_embedding": geometry}
    with used(FORMS.get(embedding)):
        return PetSSH(hypers, info)


def steps(embeddings: Iterable[str], quick: bool) -> dict[str, float]:
    """Processor time of a training step on energies and forces of 16 molecules, in turns.

    :param embeddings: names; PET is timed as well
    :param quick: one repeat only
    :return: median over the repeats of the ratio to PET's
    """
    structures = ssh_step.molecules()
    types = sorted({int(number) for atoms in structures for number in atoms.numbers})
    target = get_energy_target_info(
        "energy", {"quantity": "energy", "unit": "eV"}, add_position_gradients=True
    )
    info = DatasetInfo("Angstrom", types, {"energy": target})
    actions: dict[str, Callable[[], None]] = {}
    for name in dict.fromkeys([PLAIN, *embeddings]):
        geometry = {"l_max": None if name == PLAIN else 4}
        model = model_of(name, {**SIZES, "geometry_embedding": geometry}, info)
        systems, _ = ssh_step.prepare(structures, model)
        actions[name] = ssh_step.training_step(model, systems, info)
    for action in actions.values():  # warm up
        action()
    repeats = 1 if quick else REPEATS
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for name in tqdm(in_turns(actions, repeats), total=repeats * len(actions)):
        begin = time.process_time()
        actions[name]()
        seconds[name].append(time.process_time() - begin)
    plain = np.array(seconds[PLAIN])
    return {name: float(np.median(np.array(s) / plain)) for name, s in seconds.items()}


def at_the_start(
    trainings: list[FormTraining], quick: bool
) -> dict[tuple[str, float, int], float]:
    """What could be read of the pseudo-scalar from new models.

    :param trainings: of the pseudo-scalar, on the same data
    :param quick: few structures
    :return: R² by embedding, temperature and seed
    """
    if not trainings:
        return {}
    section = trainings[0].options["training_set"]
    ((name, target),) = section["targets"].items()
    frames = list(ase.io.iread(section["systems"]["read_from"], ":"))
    values = np.array([atoms.info[target["key"]] for atoms in frames])
    types = sorted({int(number) for atoms in frames for number in atoms.numbers})
    layout = get_generic_target_info(name, {"num_subtargets": 1, **target})
    info = DatasetInfo("Angstrom", types, {name: layout})
    start, found = None, {}
    for training in tqdm(trainings, unit="model"):
        torch.manual_seed(training.seed)
        options = training.options["architecture"]["model"]
        model = model_of(training.embedding, options, info)
        if start is None:
            start = Start(frames, values, model, *((8, 600) if quick else ()))
        key = (training.embedding, training.temperature, training.seed)
        found[key] = start.readable(model, name)
    return found
