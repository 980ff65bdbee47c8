"""Labels of the sweep: read, checked, and sorted as the normal equations take them."""

from typing import Any

import torch
from metatomic.torch import System

from ..data import read_systems
from ..data.labelled import LabelledStructure, labelled
from ..data.splits import StructureSet
from ..models import open_engine
from ..models.engine import Block, Engine
from ..models.live_or_exported import length_unit
from .features import FeatureEngine
from .problems import Problem, blocks_of, counts_per_atom


class Reader:
    """Reads structures one by one, and takes what the readout does not predict off.

    :param engine: of the model
    :param blocks: blocks whose targets are wanted
    """

    def __init__(self, engine: FeatureEngine, blocks: list[Block]) -> None:
        self.engine, self.blocks = engine, blocks
        self.length_unit = length_unit(engine.model)
        # large composition energies would be rounded in float32
        exact: Any = engine
        if engine.dtype != torch.float64:
            exact = open_engine(
                engine.model, engine.targets, (), False, torch.float64, engine.device
            )
        self.exact: Engine = exact

    def read(self, source: StructureSet, index: int) -> LabelledStructure:
        """Read a structure.

        :param source: the set
        :param index: of the structure in it
        :raises ValueError: if the model cannot take it, or if a label is not finite
        :return: the structure, with the targets that it has
        """
        given = source.read(index, self.length_unit)
        name, system = given.name, given.system
        self._check(system, name)
        try:
            raw = given.targets(self.blocks)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        truth = {block: part for block, part in raw.items() if _labelled(block, part, name)}
        if not truth:
            return LabelledStructure(self.engine.prepare(system, name))
        exact = labelled(self.exact, self.exact.prepare(system, name), truth)
        if self.exact is self.engine:
            return exact
        return LabelledStructure(
            self.engine.prepare(system, name), bare_targets=exact.bare_targets
        )

    def _check(self, system: System, name: str) -> None:
        try:
            read_systems([system], self.engine)
        except ValueError as error:
            raise ValueError(str(error).replace("structure 0", name, 1)) from None


def _labelled(block: Block, values: torch.Tensor, name: str) -> bool:
    """Whether there are labels; metatrain takes NaN for a label that is missing."""
    if values.isnan().all():
        return False
    if not values.isfinite().all():
        raise ValueError(
            f"{name}: the labels of target '{block.target}' are not all finite numbers: "
            "correct them, or take the structure out"
        )
    return True


def targets_of(
    engine: FeatureEngine, sample: LabelledStructure, problem: Problem, whole: bool
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Targets of a problem, as its normal equations take them.

    :param engine: of the model
    :param sample: structure and targets
    :param problem: what is solved
    :param whole: whether a per-structure target does not count per atom
    :return: atoms that are samples (of per-structure targets all) and ``(samples, d, P)``;
        None if the structure has none, or not all
    """
    part, prepared = problem.part, sample.structure
    types = prepared.system.types.tolist()
    atoms = torch.tensor([i for i, t in enumerate(types) if problem.scales[t] > 0])
    if not len(atoms):
        return None
    n = 1 if part.kind == "system" else len(types)
    shape = list(engine.model.output_shapes[part.target].values())[problem.dense]
    found = torch.full((n, part.irrep.dimension, shape[-1]), torch.nan).double()
    for place, block in blocks_of(engine, prepared, part.target):
        if place.dense != problem.dense or block.irrep != part.irrep:
            continue
        if block not in sample.bare_targets:
            continue
        values = sample.bare_targets[block]
        if place.atoms is None:
            found[:] = values
        else:
            rows = place.atoms.cpu()[:, None]
            columns = place.properties.cpu() if place.properties is not None else None
            found.transpose(1, 2)[rows, columns] = values.transpose(1, 2)
    rows_wanted = slice(None) if part.kind == "system" else atoms
    chosen = found[rows_wanted][..., list(problem.properties)]
    if chosen.isnan().any():
        return None
    if counts_per_atom(part.target, part.kind, whole):
        chosen = chosen / len(types)
    return atoms, chosen


def labelled_blocks(engine: FeatureEngine) -> list[Block]:
    """Blocks whose labels the sweep needs.

    :param engine: of the model
    :return: all of its targets, no gradients
    """
    return [b for b in engine.blocks if b not in engine.generic.gradient_kinds]
