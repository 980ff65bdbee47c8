"""Evaluates any architecture of metatrain and any exported model, by rotating structures.

Slower than :class:`PETEngine`, which rotates inside the model, but it knows nothing of
the architecture. Layers of a live model are collected by forward hooks. What the additive
models of metatrain (composition, ZBL) contribute to the values is evaluated once and
subtracted; their part of the gradients, if any, stays.
"""

import logging
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from metatensor.torch import TensorMap
from metatomic.torch import ModelOutput, System, is_atomistic_model

from ..messages import reason
from . import irrep_blocks, lengths, live_or_exported
from .engine import Block, Prepared, Values, prepared_as
from .gradients import by_target, forces_and_stress, gradient_of
from .layers import Layers
from .live_or_exported import evaluating
from .structures import differentiable, rotate, trial_system, volume, with_neighbors
from .units import normal_unit


# floats that a model keeps for an edge or an atom: generous for the architectures we know
FLOATS_PER_SAMPLE = 20_000


@dataclass
class MetatomicStructure(Prepared):
    """A structure with the neighbour lists of a model.

    :param volume: of the cell, Å³; zero unless periodic in three dimensions
    :param baseline: what the additive models say, once it was asked for
    """

    volume: float
    baseline: dict[Block, torch.Tensor] | None = field(default=None, kw_only=True)


class MetatomicEngine:
    """Engine of any live or exported model.

    :param model: module with metatrain's interface, or ``AtomisticModel``
    :param targets: names of the outputs
    :param gradients: for energies: kinds of gradients, of ``positions`` and ``strain``
    :param dtype: of the model
    :param device: where the model is
    :param probes: layers of a live model: paths of modules that return features of atoms

    >>> from metatrain_symmetry import MetatomicEngine, open_engine
    >>> model = open_engine("model.ckpt").model
    >>> engine = MetatomicEngine(model, ["energy"], {"energy": ["positions"]})
    >>> [f"{block.name} {block.irrep}" for block in engine.blocks]
    ['energy (0,+)', 'conservative_force (1,+)']
    """

    def __init__(
        self,
        model: Any,
        targets: Iterable[str],
        gradients: Mapping[str, Iterable[str]] | None = None,
        dtype: torch.dtype = torch.float64,
        device: str | torch.device = "cpu",
        probes: Iterable[str] = (),
    ) -> None:
        self.model, self._asked = model, list(probes)
        self.dtype, self.device = dtype, torch.device(device)
        self.bases: Mapping[str, torch.Tensor] = {}
        self.targets = list(targets)
        self.gradients = {name: set(kinds) for name, kinds in (gradients or {}).items()}
        self._additive = live_or_exported.additive_models(model)
        self.baseline = "composition of the model" if self._additive else "none"
        self.kinds = {
            name: live_or_exported.sample_kind(model, name) for name in self.targets
        }
        supported = live_or_exported.supported_outputs(model)
        self.units = {name: normal_unit(supported[name].unit) for name in self.targets}

    @cached_property
    def blocks(self) -> list[Block]:
        """Irrep blocks of the targets and of their gradients.

        :raises ValueError: if an output cannot be read as irreps
        """
        found: list[Block] = []
        for name, layout in self._layouts().items():
            found += irrep_blocks.convert(name, layout, self.kinds[name], self.units[name])
            found += [b for b, (target, _) in self.gradient_kinds.items() if target == name]
        return found

    @cached_property
    def gradient_kinds(self) -> dict[Block, tuple[str, str]]:
        """Of each block of a gradient: the energy, and ``positions`` or ``strain``."""
        length = lengths.label(live_or_exported.length_unit(self.model))
        return {
            block: (name, kind)
            for name in self.targets
            for block, kind in irrep_blocks.gradient_blocks(
                name, self.gradients.get(name, ()), self.units[name], length
            ).items()
        }

    @cached_property
    def layers(self) -> Layers:
        """All layers of a live model, found by running it on made-up structures.

        :raises ValueError: if the model is exported, or does not take such structures
        """
        if is_atomistic_model(self.model):
            raise ValueError(
                "layers cannot be measured in an exported model, which hides its modules: "
                "give the checkpoint, or leave out the probes"
            )
        types = live_or_exported.atomic_types(self.model)
        try:
            with evaluating(self.model):
                return Layers.of(self.model, types, self._with_neighbors, self._call_all)
        except Exception as error:
            raise ValueError(
                f"layers of this {type(self.model).__name__} cannot be looked for, since "
                f"it does not take a made-up structure ({reason(error)}): leave out the "
                "probes"
            ) from error

    @cached_property
    def probes(self) -> list[str]:
        """Layers that were asked for; modules that hold several are expanded.

        :raises ValueError: if there is no such layer
        """
        asked = [name for name in self._asked if name != "predictions"]
        return self.layers.expand(asked) if asked else []

    @property
    def usual_probes(self) -> list[str]:
        """Layers to look at unless asked otherwise; none of an exported model."""
        if is_atomistic_model(self.model):
            return []
        try:
            return self.layers.usual
        except ValueError as error:
            logging.info(f"No layers are looked at: {error}")
            return []

    def prepare(self, system: System, name: str = "structure") -> MetatomicStructure:
        """Give a structure its neighbour lists.

        :param system: structure
        :param name: how messages call it
        :return: the prepared structure
        """
        system = self._with_neighbors(system)
        edges = sum(
            len(system.get_neighbor_list(options).samples)
            for options in system.known_neighbor_lists()
        )
        return MetatomicStructure(name, system, len(system), edges, volume(system))

    def bytes_per_rotation(self, structure: Prepared, probes: list[str]) -> int:
        """Upper estimate of the memory of a rotated copy.

        :param structure: prepared by this engine
        :param probes: layers that are wanted
        :return: bytes
        """
        factor = 3 if self.gradients else 1
        floats = FLOATS_PER_SAMPLE * (structure.n_atoms + structure.n_edges)
        known = self.layers.known if probes else {}
        floats += sum(2 * structure.n_atoms * known[path].channels for path in probes)
        return factor * floats * self.dtype.itemsize

    def evaluate(
        self,
        structure: Prepared,
        matrices: torch.Tensor,
        blocks: list[Block],
        probes: list[str],
    ) -> Values:
        """Evaluate rotated copies.

        :param structure: prepared by this engine
        :param matrices: ``(n, 3, 3)``
        :param blocks: of :attr:`blocks`
        :param probes: of :attr:`probes`
        :raises ValueError: if a layer does not return features of these atoms
        :return: values without :attr:`baseline`
        """
        structure = prepared_as(structure, MetatomicStructure)
        systems = rotate(structure.system, matrices)
        paths = self.layers.expand(probes) if probes else []
        sizes = [structure.n_atoms] * len(systems)
        layers: dict[str, torch.Tensor] = {}
        with ExitStack() as stack:
            if paths:
                layers = stack.enter_context(self.layers.collecting(paths, sizes))
            found = self._run(systems, blocks, structure.volume, everything=bool(paths))
        baseline = self._baseline(structure)
        return Values(
            {block: value - baseline.get(block, 0) for block, value in found.items()},
            {path: layers[path] for path in paths},
        )

    def predict(self, structure: Prepared) -> dict[Block, torch.Tensor]:
        """Full prediction in the given frame.

        :param structure: prepared by this engine
        :return: for each block ``(samples, 2 λ + 1, properties)``
        """
        structure = prepared_as(structure, MetatomicStructure)
        found = self._run([structure.system], self.blocks, structure.volume)
        return {block: values[0] for block, values in found.items()}

    def _run(
        self,
        systems: list[System],
        blocks: list[Block],
        cell_volume: float,
        everything: bool = False,
    ) -> dict[Block, torch.Tensor]:
        """Values of ``blocks`` for copies of one structure.

        :param everything: evaluate all targets, since their layers are wanted
        """
        wanted = by_target(blocks, self.gradient_kinds, cell_volume)
        grad = any(wanted.values())
        positions, strains = [], []
        if grad:
            systems, positions, strains = (
                list(parts) for parts in zip(*map(differentiable, systems), strict=True)
            )
        with evaluating(self.model), torch.set_grad_enabled(grad):
            returned = self._call(systems, self.targets if everything else list(wanted))
        found: dict[Block, torch.Tensor] = {}
        for target in wanted:
            tensor = returned[target]
            found |= self._convert(target, tensor, len(systems))
            if wanted[target]:
                energy, n = tensor.block().values, len(systems)
                parts = gradient_of(energy, [*positions, *strains])
                gradients = {
                    "positions": torch.cat(parts[:n]),
                    "strain": torch.stack(parts[n:]),
                }
                found |= forces_and_stress(wanted[target], gradients, n, cell_volume)
        kept = irrep_blocks.drop_missing(found, cell_volume)
        return {block: kept[block].detach() for block in blocks if block in kept}

    def _call(self, systems: list[System], names: list[str]) -> dict[str, TensorMap]:
        return live_or_exported.call(self.model, systems, self._requested(names))

    def _call_all(self, systems: list[System]) -> dict[str, TensorMap]:
        return self._call(systems, self.targets)

    def _with_neighbors(self, system: System) -> System:
        requests = live_or_exported.neighbor_requests(self.model)
        return with_neighbors(system, requests, self.dtype, self.device)

    def _requested(self, names: Iterable[str]) -> dict[str, ModelOutput]:
        return {
            name: ModelOutput(unit=self.units[name], sample_kind=self.kinds[name])
            for name in names
        }

    def _convert(self, target: str, tensor: TensorMap, n: int) -> dict[Block, torch.Tensor]:
        parts = irrep_blocks.convert(target, tensor, self.kinds[target], self.units[target])
        return {
            block: part.reshape(n, len(part) // n, *part.shape[1:])
            for block, part in parts.items()
        }

    def _baseline(self, structure: MetatomicStructure) -> dict[Block, torch.Tensor]:
        """What the additive models say, evaluated once per structure."""
        if structure.baseline is None:
            total: dict[Block, torch.Tensor] = {}
            for additive in self._additive:
                names = [name for name in self.targets if name in additive.outputs]
                with evaluating(additive), torch.no_grad():
                    returned = additive([structure.system], self._requested(names), None)
                for name, tensor in returned.items():
                    for block, part in self._convert(name, tensor, 1).items():
                        total[block] = total.get(block, 0) + part.to(self.dtype)
            structure.baseline = total
        return structure.baseline

    def _layouts(self) -> dict[str, TensorMap]:
        """Blocks of each target, as the model describes them or returns them."""
        infos = {
            name: live_or_exported.target_info(self.model, name) for name in self.targets
        }
        if all(info is not None for info in infos.values()):
            return {name: info.layout for name, info in infos.items()}
        made_up = trial_system(live_or_exported.atomic_types(self.model))
        trial = self.prepare(made_up, "trial structure")
        with evaluating(self.model), torch.no_grad():
            return self._call([trial.system], self.targets)
