"""Small models, labels and references for the tests of the purify room."""

import sys
from pathlib import Path

import numpy as np
import torch
from common import TYPES, crystal, hypers, molecule
from metatrain.pet import PET
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_generic_target_info

from metatrain_symmetry.data import read_systems
from metatrain_symmetry.data.labelled import LabelledStructure
from metatrain_symmetry.groups import O3Grid
from metatrain_symmetry.purify.accumulate import Sweep
from metatrain_symmetry.purify.features import FeatureEngine
from metatrain_symmetry.purify.problems import find_problems


sys.path.insert(0, str(Path(__file__).parent.parent / "models"))
from models_common import generic, irreps, rich_info  # noqa: F401


TINY = {"d_head": 4, "d_pet": 8, "d_node": 8, "d_feedforward": 8, "num_heads": 2}


def randomise_scales(model, seed=0):
    """Scale factors that differ between types and between properties."""
    generator = torch.Generator().manual_seed(seed)
    for scales in model.scaler.model.scales.values():
        for block in scales.blocks():
            shape = block.values.shape
            drawn = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.5
            block.values[:] = drawn


def toy(info=None, seed=0, **changes):
    """PET of few features in float64, with random scale factors."""
    torch.manual_seed(seed)
    model = PET(hypers("pet", **(TINY | changes)), info or rich_info()).to(torch.float64)
    randomise_scales(model, seed)
    backend = model.backend
    # as if trained: fresh features are all but constant, and hence all but dependent
    layers = [layer.edge_embedder for layer in backend.gnn_layers]
    for heads in (*backend.node_heads.values(), *backend.edge_heads.values()):
        layers += [head[i] for head in heads for i in (0, 2)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.mul_(3)
    return model


def info_of(**targets):
    """Data set of some targets."""
    return DatasetInfo(
        "Angstrom",
        TYPES,
        {name: get_generic_target_info(name, options) for name, options in targets.items()},
    )


def structures(count=3):
    """Molecules and crystals by turns."""
    found = []
    for i in range(count):
        atoms = molecule() if i % 2 == 0 else crystal()
        atoms.rattle(0.1, seed=i)
        found.append(atoms)
    return found


def samples(engine, atoms, seed=0):
    """Structures with random labels."""
    random = np.random.default_rng(seed)
    found = []
    for index, (_, system) in enumerate(read_systems(atoms, engine)):
        prepared = engine.prepare(system, f"structure {index}")
        one = torch.eye(3, dtype=torch.float64)[None]
        values = engine.evaluate(prepared, one, engine.blocks, []).targets
        truth = {
            block: torch.from_numpy(random.normal(size=part.shape[1:]))
            for block, part in values.items()
        }
        found.append(LabelledStructure(prepared, bare_targets=truth))
    return found


def accumulated(model, targets, atoms, grid=None, seed=0, whole=frozenset()):
    """Engine, problems, samples and moments of some structures."""
    engine = FeatureEngine(model, targets)
    problems = find_problems(engine, whole)
    chosen = samples(engine, atoms, seed)
    sweep = Sweep(engine, problems, grid or O3Grid(4), 2**30, whole)
    moments = [sweep_zeros(sweep, problem) for problem in problems]
    for sample in chosen:
        sweep.add(moments, sample)
    return engine, problems, chosen, moments


def sweep_zeros(sweep, problem):
    from metatrain_symmetry.purify.moments import Moments

    return Moments.zeros(
        problem.part.irrep.dimension,
        sweep.engine.width,
        len(problem.properties),
        sweep.engine.device,
    )
