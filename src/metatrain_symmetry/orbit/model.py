"""Evaluates any architecture of metatrain and any exported model, by rotating structures.

Slower than :class:`PETEngine`, which rotates inside the model, but it knows nothing of
the architecture. What the additive models of metatrain (composition, ZBL) contribute to
the values is evaluated once and subtracted; their part of the gradients, if any, stays.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from metatensor.torch import TensorMap
from metatomic.torch import (
    ModelEvaluationOptions,
    ModelOutput,
    System,
    is_atomistic_model,
)
from metatrain.utils.neighbor_lists import get_requested_neighbor_lists

from . import outputs
from .engine import Block, Prepared, Values
from .structures import differentiable, rotate, volume, with_neighbors


# Å between the made-up atoms that tell which blocks an exported model returns
TRIAL_SPACING = 2.0
# floats that a model keeps for an edge or an atom: generous for the architectures we know
FLOATS_PER_SAMPLE = 20_000


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Put a model in eval mode for a while.

    :param model: any module; every submodule gets its own mode back
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            # train() would be recursive
            module.training = training


def gradient_of(energy: torch.Tensor, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Derivatives of energies, one property after the other.

    :param energy: ``(..., properties)``, summed over everything but the properties
    :param inputs: what to differentiate by
    :return: for each input its shape and ``properties``; zeros where nothing depends
    """
    n = energy.shape[-1]
    if not energy.requires_grad:
        return [torch.zeros(*part.shape, n).to(part) for part in inputs]
    columns = []
    for index in range(n):
        gradients = torch.autograd.grad(
            energy[..., index].sum(), inputs, retain_graph=True, allow_unused=True
        )
        columns.append(
            [
                torch.zeros_like(part) if gradient is None else gradient
                for gradient, part in zip(gradients, inputs, strict=True)
            ]
        )
    return [torch.stack(parts, -1) for parts in zip(*columns, strict=True)]


class ModelEngine:
    """Engine of any live or exported model.

    :param model: module with metatrain's interface, or ``AtomisticModel``
    :param targets: names of the outputs
    :param gradients: for energies: kinds of gradients, of ``positions`` and ``strain``
    :param dtype: of the model
    :param device: where the model is
    :raises ValueError: if an output cannot be read as irreps
    """

    def __init__(
        self,
        model: Any,
        targets: Iterable[str],
        gradients: Mapping[str, Iterable[str]] | None = None,
        dtype: torch.dtype = torch.float64,
        device: str | torch.device = "cpu",
    ) -> None:
        self.model = model
        self.exported = is_atomistic_model(model)
        self.dtype, self.device = dtype, torch.device(device)
        self.probes: list[str] = []
        self.bases: dict[str, torch.Tensor] = {}
        self.targets = list(targets)
        self.gradients = {name: set(kinds) for name, kinds in (gradients or {}).items()}
        self._additive = _additive_models(model, self.exported)
        self.baseline = "composition of the model" if self._additive else "none"
        self.kinds = {name: self._sample_kind(name) for name in self.targets}
        self.units = {name: self._supported()[name].unit for name in self.targets}
        self.gradient_kinds: dict[Block, tuple[str, str]] = {}
        self.blocks = self._find_blocks()

    def prepare(self, system: System, name: str = "structure") -> Prepared:
        """Give a structure its neighbour lists.

        :param system: structure
        :param name: how messages call it
        :return: the prepared structure
        """
        requests = (
            self.model.requested_neighbor_lists()
            if self.exported
            else get_requested_neighbor_lists(self.model)
        )
        system = with_neighbors(system, requests, self.dtype, self.device)
        edges = sum(
            len(system.get_neighbor_list(options).samples)
            for options in system.known_neighbor_lists()
        )
        return Prepared(name, system, len(system), edges, {"volume": volume(system)})

    def bytes_per_rotation(self, structure: Prepared, probes: list[str]) -> int:
        """Upper estimate of the memory of a rotated copy.

        :param structure: prepared by this engine
        :param probes: none
        :return: bytes
        """
        factor = 3 if self.gradients else 1
        floats = FLOATS_PER_SAMPLE * (structure.n_atoms + structure.n_edges)
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
        :param probes: none: the layers of a model are unknown here
        :raises ValueError: if a probe is asked for
        :return: values without :attr:`baseline`
        """
        if probes:
            raise ValueError(
                f"layer '{probes[0]}' cannot be measured: this needs the checkpoint of a "
                "PET or pet_ssh model, not another architecture or an exported model"
            )
        systems = rotate(structure.system, matrices)
        found = self._run(systems, blocks, structure.data["volume"])
        baseline = self._baseline(structure)
        return Values({b: v - baseline.get(b, 0) for b, v in found.items()}, {})

    def predict(self, structure: Prepared) -> dict[Block, torch.Tensor]:
        """Full prediction in the given frame.

        :param structure: prepared by this engine
        :return: for each block ``(samples, 2 λ + 1, properties)``
        """
        found = self._run([structure.system], self.blocks, structure.data["volume"])
        return {block: values[0] for block, values in found.items()}

    def _run(
        self, systems: list[System], blocks: list[Block], cell_volume: float
    ) -> dict[Block, torch.Tensor]:
        """Values of ``blocks`` for copies of one structure."""
        wanted: dict[str, dict[str, list[Block]]] = {}
        for block in blocks:
            if block in self.gradient_kinds:
                target, kind = self.gradient_kinds[block]
                if kind == "positions" or cell_volume > 0:
                    wanted.setdefault(target, {}).setdefault(kind, []).append(block)
            else:
                wanted.setdefault(block.target, {})
        grad = any(wanted.values())
        positions, strains = [], []
        if grad:
            systems, positions, strains = (
                list(parts) for parts in zip(*map(differentiable, systems), strict=True)
            )
        with evaluating(self.model), torch.set_grad_enabled(grad):
            returned = self._call(systems, list(wanted))
        found: dict[Block, torch.Tensor] = {}
        for target, tensor in returned.items():
            found |= self._convert(target, tensor, len(systems))
            if wanted[target]:
                found |= _differentiate(
                    tensor, wanted[target], positions, strains, cell_volume
                )
        kept = outputs.drop_missing(found, cell_volume)
        return {block: kept[block].detach() for block in blocks if block in kept}

    def _call(self, systems: list[System], names: list[str]) -> dict[str, TensorMap]:
        if not names:
            return {}
        requested = {
            name: ModelOutput(unit=self.units[name], sample_kind=self.kinds[name])
            for name in names
        }
        if not self.exported:
            returned = self.model(systems, requested)
        else:
            unit = self.model.capabilities().length_unit
            options = ModelEvaluationOptions(length_unit=unit, outputs=requested)
            returned = self.model(systems, options, check_consistency=False)
        return {name: returned[name] for name in names}

    def _convert(self, target: str, tensor: TensorMap, n: int) -> dict[Block, torch.Tensor]:
        parts = outputs.convert(target, tensor, self.kinds[target], self.units[target])
        return {
            block: part.reshape(n, len(part) // n, *part.shape[1:])
            for block, part in parts.items()
        }

    def _baseline(self, structure: Prepared) -> dict[Block, torch.Tensor]:
        """What the additive models say, evaluated once per structure."""
        if "baseline" not in structure.data:
            total: dict[Block, torch.Tensor] = {}
            for additive in self._additive:
                requested = {
                    name: ModelOutput(unit=self.units[name], sample_kind=self.kinds[name])
                    for name in self.targets
                    if name in additive.outputs
                }
                with evaluating(additive), torch.no_grad():
                    returned = additive([structure.system], requested, None)
                for name, tensor in returned.items():
                    for block, part in self._convert(name, tensor, 1).items():
                        total[block] = total.get(block, 0) + part.to(self.dtype)
            structure.data["baseline"] = total
        return structure.data["baseline"]

    def _supported(self) -> dict[str, ModelOutput]:
        if self.exported:
            return self.model.capabilities().outputs
        return self.model.supported_outputs()

    def _info(self, target: str) -> Any:
        """What a live model knows of its target, None if it is an exported one."""
        information = getattr(self.model, "dataset_info", None)
        return None if information is None else information.targets.get(target)

    def _sample_kind(self, target: str) -> str:
        info = None if self.exported else self._info(target)
        if info is not None:
            return info.sample_kind
        # an exported model can give both, and says "atom"
        if outputs.base_name(target) == "energy" or outputs.is_stress(target):
            return "system"
        return self._supported()[target].sample_kind

    def _find_blocks(self) -> list[Block]:
        infos = {} if self.exported else {name: self._info(name) for name in self.targets}
        if infos and all(info is not None for info in infos.values()):
            layouts = {name: info.layout for name, info in infos.items()}
        else:
            trial = self.prepare(self._trial_system(), "trial structure")
            with evaluating(self.model), torch.no_grad():
                layouts = self._call([trial.system], self.targets)
        blocks: list[Block] = []
        for name, layout in layouts.items():
            unit = self.units[name]
            blocks += outputs.convert(name, layout, self.kinds[name], unit)
            for block, kind in outputs.gradient_blocks(
                name, self.gradients.get(name, ()), unit
            ).items():
                self.gradient_kinds[block] = (name, kind)
                blocks.append(block)
        return blocks

    def _trial_system(self) -> System:
        """A zigzag of one atom of each type in a large periodic cell."""
        known = (
            self.model.capabilities().atomic_types
            if self.exported
            else self.model.dataset_info.atomic_types
        )
        index = torch.arange(len(known), dtype=torch.float64)
        positions = torch.stack([index, index % 2, 0 * index], 1) * TRIAL_SPACING
        edge = TRIAL_SPACING * (len(known) + 5)
        return System(
            types=torch.tensor(known, dtype=torch.int32),
            positions=positions,
            cell=torch.eye(3, dtype=torch.float64) * edge,
            pbc=torch.ones(3, dtype=torch.bool),
        )


def _additive_models(model: Any, exported: bool) -> list[Any]:
    """Additive models by metatrain's convention, perhaps below a wrapper such as LLPR."""
    module = model.module if exported else model
    for candidate in (module, getattr(module, "model", None)):
        found = getattr(candidate, "additive_models", None)
        if found is not None:
            # a scripted list cannot be iterated over
            return [part for part in found.children() if len(part.outputs)]
    return []


def _differentiate(
    tensor: TensorMap,
    wanted: Mapping[str, list[Block]],
    positions: list[torch.Tensor],
    strains: list[torch.Tensor],
    cell_volume: float,
) -> dict[Block, torch.Tensor]:
    """Forces and stresses of an energy."""
    n = len(positions)
    gradients = gradient_of(tensor.block().values, [*positions, *strains])
    found: dict[Block, torch.Tensor] = {}
    for block in wanted.get("positions", []):
        found |= outputs.convert_forces(block, torch.cat(gradients[:n]), n)
    if "strain" in wanted:
        strain = torch.stack(gradients[n:])
        found |= outputs.convert_stress(wanted["strain"], strain, cell_volume)
    return found
