"""The sweep: moments of a whole set, streamed over structures and rotations."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm

from ..data.labelled import LabelledStructure
from ..data.splits import StructureSet
from ..groups import O3, O3Grid
from ..measure.kept import Kept, digest, digest_of_structure, digest_of_tensor
from ..measure.structure import Representations
from ..models.sweep import sweep
from ..processes import Processes
from .features import FeatureEngine
from .labels import Reader, targets_of
from .moments import Moments, OrbitSums
from .problems import Problem, sample_weights


KEEP = 20.0
"""Seconds between two times that the sums are kept."""


@dataclass
class _State:
    """How far a sweep has come.

    :param done: structures
    :param structures: digest of all of them
    """

    done: int = 0
    structures: str = ""

    def take(self, sample: LabelledStructure) -> None:
        """Count a structure."""
        self.done += 1
        labels = [
            (repr(block), digest_of_tensor(values))
            for block, values in sample.bare_targets.items()
        ]
        here = digest_of_structure([sample], 0)
        self.structures = digest(self.structures, here, labels)


class Sweep:
    """Evaluates structures along a grid and sums the moments of all problems.

    :param engine: of the model
    :param problems: what is solved afterwards
    :param grid: the orbit
    :param memory: budget of one evaluation, in bytes
    :param whole: per-structure targets that do not count per atom
    :param processes: which share the structures
    :param kept: where the sums are kept now and then; None for nowhere
    """

    def __init__(
        self,
        engine: FeatureEngine,
        problems: Sequence[Problem],
        grid: O3Grid,
        memory: int,
        whole: frozenset[str] = frozenset(),
        processes: Processes | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.kept = kept
        self.engine, self.problems, self.grid = engine, list(problems), grid
        self.memory, self.whole = memory, whole
        self.processes = processes or Processes()
        self.rotated = Representations(O3(), grid, engine.device)
        self.weights = grid.weights.to(engine.device)

    def run(self, source: StructureSet, reader: Reader, bar: tqdm) -> list[Moments]:
        """Sweep over a set.

        :param source: the structures
        :param reader: of their targets
        :param bar: shows the rotations done
        :raises ValueError: see :meth:`Reader.read`, or if a feature is not finite
        :return: for each problem its moments, of all processes
        """
        found = [
            Moments.zeros(
                p.part.irrep.dimension,
                self.engine.width,
                len(p.properties),
                self.engine.device,
            )
            for p in self.problems
        ]
        self._add_all(found, source, reader, bar)
        self.processes.add_up(tensor for one in found for tensor in one.tensors)
        return found

    def _add_all(
        self, found: list[Moments], source: StructureSet, reader: Reader, bar: tqdm
    ) -> None:
        """Take all structures of this process, from where an earlier run was killed."""
        state = self._kept(found, source, reader, bar)
        saved, mine = time.monotonic(), self.processes.mine(len(source))
        for place in range(state.done, len(mine)):
            self.processes.check()
            sample = reader.read(source, mine[place])
            self.add(found, sample, bar)
            state.take(sample)
            if self.kept is not None and (
                time.monotonic() - saved >= KEEP or state.done == len(mine)
            ):
                saved = time.monotonic()
                sums = [tensor.cpu() for one in found for tensor in one.tensors]
                self.kept.put((state, sums), *self._identity(source))

    def _identity(self, source: StructureSet) -> tuple[object, ...]:
        return "sums", source.name, self.processes.rank, self.processes.size

    def _kept(
        self, found: list[Moments], source: StructureSet, reader: Reader, bar: tqdm
    ) -> "_State":
        """Fill in the sums of an earlier run, if they are of the same structures."""
        known = None if self.kept is None else self.kept.get(*self._identity(source))
        if known is None:
            return _State()
        state, sums = known
        again, mine = _State(), self.processes.mine(len(source))
        for index in mine[: state.done]:
            again.take(reader.read(source, index))
        bar.clear()  # a line of its own
        if again != state:
            logging.info(f"the {source.name} set has changed: its sums begin anew")
            return _State()
        logging.info(f"{source.name} set: {state.done} of {len(mine)} structures are there")
        for tensor, old in zip((t for f in found for t in f.tensors), sums, strict=True):
            tensor.copy_(old)
        bar.update(state.done * len(self.grid.matrices))
        return again

    def add(
        self, moments: list[Moments], sample: LabelledStructure, bar: tqdm | None = None
    ) -> None:
        """Take one structure.

        :param moments: of each problem
        :param sample: structure and targets
        :param bar: shows the rotations done
        """
        chosen = {}
        for i, problem in enumerate(self.problems):
            whole = problem.part.target in self.whole
            wanted = targets_of(self.engine, sample, problem, whole)
            if wanted is not None:
                chosen[i] = wanted
        if not chosen:
            return
        sums = self._orbit(sample, {i: atoms for i, (atoms, _) in chosen.items()}, bar)
        for i, (_, y) in chosen.items():
            group, rotated = sums[i]
            moments[i].add(
                torch.as_tensor(group.S), group.rotated(rotated), y.to(self.engine.device)
            )

    def _orbit(
        self, sample: LabelledStructure, atoms: dict[int, torch.Tensor], bar: tqdm | None
    ) -> dict[int, tuple[OrbitSums, int]]:
        """Sums of one orbit, shared where features and irrep are the same."""
        groups: dict[object, list[int]] = {}
        for i in atoms:
            groups.setdefault(self.problems[i].group, []).append(i)
        weights = {
            group: self._atom_weights(sample, self.problems[members[0]])
            for group, members in groups.items()
        }
        sums = {group: OrbitSums() for group in groups}
        # problems of one group and irrep share T: the first of them names it
        leader = {
            i: self._leader(i, members) for members in groups.values() for i in members
        }
        targets = list(dict.fromkeys(self.problems[i].part.target for i in atoms))
        steps = sweep(
            self.engine, sample.structure, self.grid.matrices, [], targets, self.memory
        )
        for start, values in steps:
            n = len(values.layers[targets[0]])
            part = slice(start, start + n)
            for group, members in groups.items():
                features = self._features(values.layers, members[0], atoms, weights[group])
                sums[group].add_square(features, self.weights[part])
                for i in dict.fromkeys(leader[i] for i in members):
                    rho = self.rotated[self.problems[i].part.irrep][part]
                    sums[group].add_rotated(i, features, self.weights[part], rho)
            if bar is not None:
                bar.update(n)
        return {
            i: (sums[group], leader[i])
            for group, members in groups.items()
            for i in members
        }

    def _leader(self, i: int, members: list[int]) -> int:
        irrep = self.problems[i].part.irrep
        return next(j for j in members if self.problems[j].part.irrep == irrep)

    def _atom_weights(self, sample: LabelledStructure, problem: Problem) -> torch.Tensor:
        whole = problem.part.target in self.whole
        return sample_weights(problem, sample.structure, whole).to(self.engine.device)

    def _features(
        self,
        layers: dict[str, torch.Tensor],
        i: int,
        atoms: dict[int, torch.Tensor],
        weights: torch.Tensor,
    ) -> torch.Tensor:
        """Weighted features of the samples, ``(n, samples, K)``, float64."""
        part = self.problems[i].part
        values = layers[part.target].to(torch.float64)
        if part.kind == "system":
            return (weights @ values).unsqueeze(1)
        chosen = atoms[i].to(values.device)
        if len(chosen) < values.shape[1]:
            values, weights = values[:, chosen], weights[chosen]
        return values * weights[:, None]
