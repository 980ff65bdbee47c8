"""Validation structures with their labels, as the errors take them."""

import torch
from metatrain.pet import PET

from ..data.labelled import LabelledStructure, labelled
from ..data.splits import StructureSet
from ..data.systems import read_systems
from ..models import PETEngine, open_engine
from ..models.engine import Block, Engine
from ..models.live_or_exported import length_unit


def engine_of(model: PET, dtype: torch.dtype | None = None) -> PETEngine:
    """Engine for all targets of a model and the gradients that it was trained on.

    :param model: PET, or what inherits from it
    :param dtype: None for that of the model
    """
    device = next(model.backend.parameters()).device
    engine = open_engine(model, None, (), "auto", dtype, device)
    assert isinstance(engine, PETEngine)
    return engine


def read_labelled(engine: PETEngine, source: StructureSet) -> list[LabelledStructure]:
    """Read all structures of a set, and take the composition off their labels.

    :param engine: of the model
    :param source: the set
    :raises ValueError: if the model cannot take one, or if a label is infinite
    :return: structures that have labels
    """
    exact: Engine = engine
    if engine.dtype != torch.float64:
        # large composition energies would be rounded in float32
        exact = engine_of(engine.model, torch.float64)
    unit = length_unit(engine.model)
    found = []
    for index in range(len(source)):
        given = source.read(index, unit)
        try:
            read_systems([given.system], engine)
            truth = given.targets(engine.blocks)
        except ValueError as error:
            text = str(error).removeprefix("structure 0").lstrip(": ")
            raise ValueError(f"{given.name}: {text}") from error
        known = {b: v for b, v in truth.items() if not v.isnan().all()}
        for block, values in known.items():
            if values.isinf().any():
                raise ValueError(
                    f"{given.name}: the labels of target '{block.target}' are not all "
                    "finite numbers: correct them, or take the structure out"
                )
        if known:
            bare = labelled(exact, exact.prepare(given.system, given.name), known)
            prepared = engine.prepare(given.system, given.name)
            found.append(LabelledStructure(prepared, bare_targets=bare.bare_targets))
    return found


def term_of_loss(engine: PETEngine) -> dict[Block, str]:
    """How metatrain's loss calls the term of a block: its key in ``LossAggregator.losses``.

    :param engine: of the model
    :return: such as ``energy``, and ``energy_grad_positions`` for its forces
    """
    found = {block: block.target for block in engine.blocks}
    for block, (target, kind) in engine.generic.gradient_kinds.items():
        found[block] = f"{target}_grad_{kind}"
    return found
