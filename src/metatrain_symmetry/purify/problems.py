"""What is solved for: the readouts of a model, sorted into problems that decouple.

Units are those that the user reads. Per-atom targets of metatrain are scaled per atomic
type, so features and targets are taken with these scales: the rows of S, T and b carry
them, squared. Properties whose scales are proportional to each other share S and Q.
Per-structure targets count per atom, as in metatrain's loss and log, unless they are
stresses or the model was trained with them among its ``per_structure_targets``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from ..groups import Irrep
from ..models import irrep_blocks
from ..models.engine import Block, Prepared, prepared_as
from ..models.pet.dense_blocks import Place
from ..models.pet.structure import PETStructure
from ..models.structures import trial_system
from .features import FeatureEngine


# the name for which PET divides by the volume and symmetrises
VOLUME_TARGET = "non_conservative_stress"


@dataclass(frozen=True)
class Part:
    """An irrep part of a target: what gets one α and one row in the tables.

    :param target: name of the target
    :param irrep: the irrep
    :param kind: ``system`` or ``atom``
    :param unit: unit of A and RMSE
    """

    target: str
    irrep: Irrep
    kind: str
    unit: str

    def __str__(self) -> str:
        return f"{self.target} {self.irrep}"


@dataclass(frozen=True)
class Problem:
    """One system of normal equations.

    :param part: what it belongs to
    :param dense: index of PET's dense block
    :param key: name of the block in the last layers
    :param basis: from Cartesian or spherical components to those of the irrep, orthonormal
        rows, ``(d, components)``
    :param properties: indices of the properties
    :param factors: physical over raw predictions, per property, beside ``scales``
    :param scales: per atomic type, zero for types that are not among the samples
    """

    part: Part
    dense: int
    key: str
    basis: torch.Tensor
    properties: tuple[int, ...]
    factors: torch.Tensor
    scales: dict[int, float]

    @property
    def group(self) -> tuple[str, tuple[tuple[int, float], ...]]:
        """What problems with the same features and samples share."""
        return self.part.target, tuple(self.scales.items())


def find_problems(
    engine: FeatureEngine, per_structure: Iterable[str] = ()
) -> list[Problem]:
    """Sort the readouts of a model into problems.

    :param engine: of the model
    :param per_structure: per-structure targets that do not count per atom
    :return: problems of all targets of the engine
    """
    types = list(engine.model.dataset_info.atomic_types)
    trial = engine.prepare(trial_system(types), "trial structure")
    whole = set(per_structure)
    return [
        problem
        for target in engine.targets
        for problem in _of_target(engine, target, trial, types, target in whole)
    ]


def _of_target(
    engine: FeatureEngine, target: str, trial: PETStructure, types: list[int], whole: bool
) -> list[Problem]:
    model, kind = engine.model, engine.generic.kinds[target]
    unit = engine.generic.units[target]
    if counts_per_atom(target, kind, whole):
        unit = f"{unit}/atom" if unit else "1/atom"
    shapes = list(model.output_shapes[target].items())
    scales = trial.scales[target]
    present = _present(trial.places[target], scales)
    problems = []
    for dense, (key, shape) in enumerate(shapes):
        # scales are the same for all components: a target stays covariant
        profile = scales[dense].reshape(len(types), -1, shape[-1])[:, 0]
        profile = (profile * present[dense]).to("cpu", torch.float64)
        place = next(p for p in trial.places[target] if p.dense == dense)
        for irrep, basis in _bases(target, place, shape[:-1]):
            part = Part(target, irrep, kind, unit)
            for properties in _proportional(profile):
                column = profile[:, properties[0]]
                size = column.abs().max()
                relative = (column / size).tolist()
                factors = profile[:, properties].abs().amax(0)
                problems.append(
                    Problem(
                        part, dense, key, basis, tuple(properties), factors,
                        dict(zip(types, relative, strict=True)),
                    )
                )  # fmt: skip
    return problems


def counts_per_atom(target: str, kind: str, whole: bool) -> bool:
    """Whether errors of a per-structure target are divided by the number of atoms.

    :param target: its name
    :param kind: ``system`` or ``atom``
    :param whole: whether it was asked not to be
    :return: true for what grows with the structure
    """
    return kind == "system" and not whole and not irrep_blocks.is_stress(target)


def _present(places: list[Place], scales: list[torch.Tensor]) -> list[torch.Tensor]:
    """For each dense block which types have which properties, ``(types, P)``."""
    masks = [torch.zeros_like(part.flatten(1, -2)[:, 0]) for part in map(_two, scales)]
    for place in places:
        mask = masks[place.dense]
        if place.atoms is None:
            mask[:] = 1
        else:
            mask[place.atoms[:, None].to(mask.device), place.properties] = 1
    return masks


def _two(part: torch.Tensor) -> torch.Tensor:
    """At least one axis of components."""
    return part.unsqueeze(1) if part.ndim == 2 else part


def _bases(
    target: str, place: Place, components: list[int]
) -> list[tuple[Irrep, torch.Tensor]]:
    """Change of basis of each irrep part, ``(d, components)``, float64."""
    size = 1
    for length in components:
        size *= length
    unit = torch.eye(size, dtype=torch.float64).reshape(size, *components, 1)
    parts = irrep_blocks.split(target, place.key, place.components, unit)
    return [(irrep, values[..., 0].T.contiguous()) for irrep, _, values in parts]


def _proportional(profile: torch.Tensor) -> list[list[int]]:
    """Properties with proportional scales, ``(types, P)``; those without any left out."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for index, column in enumerate(profile.T):
        size = column.abs().max()
        if size > 0:
            shape = tuple(round(value, 9) for value in (column / size).tolist())
            groups.setdefault(shape, []).append(index)
    return list(groups.values())


def sample_weights(problem: Problem, structure: Prepared, whole: bool) -> torch.Tensor:
    """Weights of the features of atoms, before the sum over atoms if there is one.

    :param problem: of the part
    :param structure: prepared
    :param whole: whether a per-structure target does not count per atom
    :return: ``(atoms,)``, float64
    """
    types = structure.system.types.tolist()
    weights = torch.tensor([problem.scales[t] for t in types], dtype=torch.float64)
    if problem.part.target == VOLUME_TARGET:
        weights = weights / prepared_as(structure, PETStructure).volume
    if counts_per_atom(problem.part.target, problem.part.kind, whole):
        weights = weights / structure.n_atoms
    return weights


def blocks_of(
    engine: FeatureEngine, structure: Prepared, target: str
) -> list[tuple[Place, Block]]:
    """Blocks that a structure has of a target, and where they stand.

    :param engine: of the model
    :param structure: prepared by it
    :param target: name of the target
    :return: one entry per place and irrep
    """
    kind, unit = engine.generic.kinds[target], engine.generic.units[target]
    found = []
    for place in prepared_as(structure, PETStructure).places[target]:
        shape = list(engine.model.output_shapes[target].values())[place.dense]
        probe = torch.zeros(1, *shape)
        if place.properties is not None:
            probe = probe[..., place.properties.cpu()]
        for irrep, detail, _ in irrep_blocks.split(
            target, place.key, place.components, probe
        ):
            found.append((place, Block(target, irrep, kind, unit, detail)))
    return found
