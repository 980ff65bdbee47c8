"""One structure on one orbit: A of its blocks, powers of its blocks and layers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from ..groups import O3, Group, Irrep, Orbit
from ..groups.base import folds
from ..models.engine import Block, Engine, Prepared
from ..models.sweep import sweep
from .deviation import Asymmetry, Deviation
from .equivariance import Equivariance, EquivarianceSums, pooled
from .resolver import Resolver, Spectrum


@dataclass
class Measured:
    """What one orbit says about one structure.

    :param equivariance: A of each block
    :param spectra: of blocks and layers
    :param asymmetry: spectra of ``ε(g) = ρ(g)⁻¹ f(g x)``, per component, sample and
        property
    """

    equivariance: dict[Block, Equivariance] = field(default_factory=dict)
    spectra: dict[Block | str, Spectrum] = field(default_factory=dict)
    asymmetry: dict[Block, Spectrum] = field(default_factory=dict)

    def along(self, orbit: Orbit | None) -> None:
        """Say what the spectra come from: orbits in other frames say the same of them.

        :param orbit: from now on; None to send or keep the rest without it
        """
        for spectrum in (*self.spectra.values(), *self.asymmetry.values()):
            spectrum.orbit = orbit

    @property
    def deviations(self) -> dict[Block, Deviation]:
        """What circles say of the error of A."""
        return {
            block: Deviation(found.powers, found.squares)
            for block, found in self.asymmetry.items()
            if found.squares is not None
        }

    def sharing(self, orbits: dict[object, Orbit]) -> "Measured":
        """The same, with orbits that other structures have too.

        Which point set it was is all that is asked of an orbit later. Its matrices in
        the frame of one structure would take most of the memory of many.

        :param orbits: one of each kind; missing ones are added
        """
        return Measured(
            self.equivariance,
            {key: _sharing(one, orbits) for key, one in self.spectra.items()},
            {key: _sharing(one, orbits) for key, one in self.asymmetry.items()},
        )


def _sharing(found: Spectrum, orbits: dict[object, Orbit]) -> Spectrum:
    return replace(found, orbit=_shared(found.orbit, orbits))


def _shared(orbit: Orbit | None, orbits: dict[object, Orbit]) -> Orbit | None:
    if orbit is None:
        return None
    if folds(orbit):
        return orbits.setdefault((orbit.points, orbit.lambda_max), orbit)
    return orbits.setdefault(orbit.kind, orbit)


class Representations:
    """Matrices ``ρ(g)`` of an orbit, computed once for each irrep.

    :param group: whose elements they are
    :param orbit: the elements
    :param device: where the matrices are wanted
    """

    def __init__(self, group: Group, orbit: Orbit, device: torch.device) -> None:
        self.group = group
        self.orbit = orbit
        self.device = device
        self._known: dict[Irrep, torch.Tensor] = {}

    def __getitem__(self, irrep: Irrep) -> torch.Tensor:
        if irrep not in self._known:
            matrices = self.group.representation(irrep, self.orbit.matrices)
            self._known[irrep] = matrices.to(self.device)
        return self._known[irrep]


def measure_structure(
    engine: Engine,
    structure: Prepared,
    orbit: Orbit,
    blocks: list[Block],
    probes: list[str],
    *,
    group: Group | None = None,
    spectra: bool = True,
    equivariance: bool = True,
    centres: Mapping[Block, torch.Tensor] | None = None,
    asymmetry: bool = False,
    memory: int = 2**31,
    seed: int = 0,
    representations: Representations | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> Measured:
    """Evaluate a structure along an orbit and accumulate A and the powers.

    :param engine: what evaluates the model
    :param structure: as prepared by the engine
    :param orbit: group elements and weights
    :param blocks: irrep blocks of the targets
    :param probes: layers
    :param group: of which they are, None for O(3)
    :param spectra: whether to resolve by irrep
    :param equivariance: whether to compute A; on circles this takes two or more
    :param centres: mean of each block, to resolve the deviations from it too
    :param asymmetry: whether to resolve the values rotated back, also without ``centres``
    :param memory: budget of one evaluation, and of the sums, each, in bytes
    :param seed: of the sketches
    :param representations: of this orbit, to be shared between structures
    :param progress: called with the number of elements done
    :return: A of the blocks, powers of blocks and probes
    """
    weights = orbit.weights.to(engine.device)
    rotated = representations or Representations(group or O3(), orbit, engine.device)
    sums: dict[Block, _Replicates] = {}
    resolver: Resolver | None = None
    turned: Asymmetry | None = None
    if (asymmetry or centres) and orbit.resolves:
        turned = Asymmetry(engine, orbit, centres or {}, memory // 4, seed)
    matrices = orbit.matrices
    for start, values in sweep(engine, structure, matrices, blocks, probes, memory):
        count = len(next(iter([*values.targets.values(), *values.layers.values()])))
        part = slice(start, start + count)
        if equivariance:
            for block, tensor in values.targets.items():
                accumulator = sums.setdefault(block, _Replicates(orbit))
                accumulator.add(tensor, rotated[block.irrep][part], weights[part])
        if turned is not None:
            known = {block: rotated[block.irrep][part] for block in values.targets}
            turned.add(values.targets, known)
        if spectra:
            if resolver is None:
                resolver = Resolver(engine, orbit, values, memory, seed)
            resolver.add(values)
        progress(count)
    return Measured(
        {block: accumulator.finish() for block, accumulator in sums.items()},
        resolver.finish() if resolver is not None else {},
        turned.finish() if turned is not None else {},
    )


class _Replicates:
    """Sums for A, one for each replicate of an orbit."""

    def __init__(self, orbit: Orbit) -> None:
        if orbit.replicates == 1:
            raise ValueError("one circle does not determine A: take two or more")
        self.size = len(orbit.matrices) // max(1, orbit.replicates)
        self.sums: list[EquivarianceSums] = []
        self.taken = 0

    def add(
        self, values: torch.Tensor, matrices: torch.Tensor, weights: torch.Tensor
    ) -> None:
        while len(values):
            if self.taken % self.size == 0:
                reference = self.sums[0].reference if self.sums else None
                self.sums.append(EquivarianceSums(reference))
            take = min(len(values), self.size - self.taken % self.size)
            self.sums[-1].add(values[:take], matrices[:take], weights[:take])
            self.taken += take
            values, matrices, weights = values[take:], matrices[take:], weights[take:]

    def finish(self) -> Equivariance:
        return pooled(self.sums)
