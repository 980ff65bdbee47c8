"""Evaluates PET on rotated copies of a structure, by rotating inside the model.

Neighbour lists, species, distances and cutoffs do not change under rotations: a structure
is preprocessed once, and only its edge vectors are rotated. This folder is all of the
measuring side that knows the inside of PET.
"""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from functools import cached_property

import torch
from metatomic.torch import System
from metatrain.pet import PET
from metatrain.pet.model import _extract_charge_spin_multiplicity
from metatrain.pet.modules.structures import concatenate_structures

from .. import irrep_blocks
from ..engine import Block, Prepared, Values, prepared_as
from ..gradients import by_target
from ..live_or_exported import evaluating
from ..metatomic import MetatomicEngine
from ..sweep import chunk_size
from .catalogue import Catalogue
from .compiled import LEAVE_OUT, CompiledForward, Forward, check_tools, settings
from .dense_blocks import Place, find_places, scale_factors
from .geometry import Geometry
from .structure import Batch, PETStructure
from .trial_batch import trial_crystal


# memory of the copies for which code is compiled
_TRIAL_BYTES = 2**30


class PETEngine:
    """Engine of a live PET model, or of one that inherits from it.

    Nothing is added to raw predictions but the scale factors of the targets: neither
    composition nor ZBL. Their part of the gradients is left out too.

    :param model: the model; its mode is restored after each use
    :param targets: names of targets
    :param probes: groups, probes, modules, see :meth:`Catalogue.expand`
    :param gradients: for energies: kinds of gradients, of ``positions`` and ``strain``

    >>> from metatrain_symmetry import open_engine
    >>> engine = open_engine("model.ckpt", probes=["LLF"])
    >>> type(engine).__name__, engine.probes[0]
    ('PETEngine', 'node_heads.energy.0')
    """

    def __init__(
        self,
        model: PET,
        targets: Iterable[str],
        probes: Iterable[str] = (),
        gradients: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self.model, self._asked = model, list(probes)
        weight = next(model.backend.parameters())
        self.generic = MetatomicEngine(
            model, targets, gradients, weight.dtype, weight.device
        )
        self.dtype, self.device = self.generic.dtype, self.generic.device
        self.targets = self.generic.targets
        self.baseline = self.generic.baseline
        self.compiled: CompiledForward | None = None

    @cached_property
    def blocks(self) -> list[Block]:
        """Irrep blocks of the targets and of their gradients.

        :raises ValueError: if a target has no irreps
        """
        return self.generic.blocks

    @cached_property
    def catalogue(self) -> Catalogue:
        """All layers of the model, found by running it once on a made-up batch."""
        with evaluating(self.model):
            return Catalogue.of(self.model.backend, self.targets)

    @cached_property
    def probes(self) -> list[str]:
        """Layers that were asked for, groups expanded.

        :raises ValueError: if there is no such layer
        """
        return self.catalogue.expand(self._asked)

    @property
    def bases(self) -> Mapping[str, torch.Tensor]:
        """Subspaces that layers fill, see :meth:`Catalogue.bases`.

        Looked up each time: they follow the weights, which a training changes.
        """
        return self.catalogue.bases(self.model.backend, self.probes)

    def prepare(self, system: System, name: str = "structure") -> PETStructure:
        """Preprocess a structure.

        :param system: structure
        :param name: how messages call it
        :return: the prepared structure
        """
        prepared = self.generic.prepare(system, name)
        system, options = prepared.system, self.model.requested_nl
        arrays = concatenate_structures([system], options)
        with evaluating(self.model), torch.no_grad():
            batch = self.model.backend.preprocess(
                *arrays[:7], self.model.cutoff_width_adaptive
            )
            self._add_conditions(system, batch)
        return PETStructure(
            name,
            system,
            prepared.n_atoms,
            len(batch["centers"]),
            prepared.volume,
            arrays,
            batch,
            scale_factors(self.model, self.targets, system, arrays[7]),
            find_places(self.model, self.targets, system, arrays[7]),
        )

    def bytes_per_rotation(self, structure: Prepared, probes: list[str]) -> int:
        """Upper estimate of the memory of a rotated copy.

        :param structure: prepared by this engine
        :param probes: layers that are wanted
        :return: bytes
        """
        backend, atoms = self.model.backend, structure.n_atoms
        batch = prepared_as(structure, PETStructure).batch
        slots = 1 + batch["edge_vectors"].shape[1]
        token = 12 * backend.d_pet + 3 * backend.d_feedforward
        token += 4 * backend.d_head * backend.num_readout_layers * len(backend.node_heads)
        token += 3 * backend.num_heads * slots + 3 * backend.d_pet * backend.num_gnn_layers
        layers = backend.num_gnn_layers * backend.num_attention_layers
        floats = atoms * (slots * token + 12 * backend.d_node)
        floats *= 2 * layers if self.generic.gradient_kinds else 1
        for path in probes:
            floats += atoms * slots * 2 * self.catalogue.probes[path].channels
        return floats * self.dtype.itemsize

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
        :return: values without composition
        """
        structure = prepared_as(structure, PETStructure)
        wanted = by_target(blocks, self.generic.gradient_kinds, structure.volume)
        grad = any(wanted.values())
        rotations = matrices.to(device=self.device, dtype=self.dtype)
        compiling = nullcontext() if self.compiled is None else settings()
        with evaluating(self.model), torch.set_grad_enabled(grad), compiling:
            geometry = Geometry(structure, len(rotations), rotations, grad)
            batch = geometry.batch(self.model)
            if len(batch["centers"]) != len(rotations) * structure.n_edges:
                # an edge right at the cutoff: rounding decides, and depends on the batch
                return self._one_by_one(structure, matrices, blocks, probes)
            raw, layers = self._forward(geometry, batch, list(wanted), probes)
            found: dict[Block, torch.Tensor] = {}
            for target, kinds in wanted.items():
                found |= self._finish(target, raw[target], geometry, kinds)
        found = irrep_blocks.drop_missing(found, structure.volume)
        where = batch["centers"], batch["nef_to_edges_neighbor"], len(rotations)
        return Values(
            {block: found[block].detach() for block in blocks if block in found},
            self.catalogue.select(layers, probes, *where),
        )

    def predict(self, structure: Prepared) -> dict[Block, torch.Tensor]:
        """Full prediction in the given frame, with composition and ZBL.

        :param structure: prepared by this engine
        :return: for each block ``(samples, 2 λ + 1, properties)``
        """
        return self.generic.predict(structure)

    def _one_by_one(
        self,
        structure: Prepared,
        matrices: torch.Tensor,
        blocks: list[Block],
        probes: list[str],
    ) -> Values:
        """Evaluate copies that would not have the same edges in one batch."""
        singles = [
            self.evaluate(structure, matrix[None], blocks, probes) for matrix in matrices
        ]
        joined: dict[int, torch.Tensor] = {}  # probes that share a tensor still do
        for path, first in singles[0].layers.items():
            if id(first) not in joined:
                joined[id(first)] = torch.cat([s.layers[path] for s in singles])
        return Values(
            {b: torch.cat([s.targets[b] for s in singles]) for b in singles[0].targets},
            {path: joined[id(first)] for path, first in singles[0].layers.items()},
        )

    def compile(self, backend: str = "inductor") -> None:
        """Compile the forward for all targets and layers of the engine.

        What is asked for later with fewer layers, for a few atoms in all copies, or for
        atoms with one neighbour at most is evaluated as if nothing were compiled.

        :param backend: of ``torch.compile``
        :raises ValueError: if the model cannot be compiled, or not on this computer
        """
        self.check_compile()
        grad = bool(self.generic.gradient_kinds)
        forward = Forward(self.model.backend, self.catalogue, self.probes, self.targets)
        self.compiled = CompiledForward(forward, grad, backend)
        with self.compiled.timed():
            structure = self.prepare(trial_crystal(self.model), "trial")
            n = chunk_size(self, structure, self.probes, _TRIAL_BYTES)
            matrices = torch.eye(3, dtype=torch.float64).repeat(max(2, n), 1, 1)
            self.evaluate(structure, matrices, self.blocks, self.probes)

    def check_compile(self) -> None:
        """Make sure that nothing that is seen at once keeps the model from being compiled.

        :raises ValueError: if the model is long-ranged, or if there is no C++ compiler
        """
        if self.model.long_range:
            raise ValueError(
                "compile: the long-range part of the model works structure by structure "
                f"and cannot be compiled: {LEAVE_OUT}"
            )
        check_tools(self.device)

    def _forward(
        self, geometry: Geometry, batch: Batch, names: list[str], probes: list[str]
    ) -> tuple[dict[str, list[torch.Tensor]], dict[str, torch.Tensor]]:
        """Raw predictions and raw outputs of layers, by compiled code where it fits."""
        compiled = self.compiled
        if compiled is not None and compiled.takes(batch, probes, geometry.grad):
            return compiled(batch, geometry.cells())
        with self.catalogue.collecting(self.model.backend, probes) as layers:
            raw = self._run(geometry, batch, names)
        return raw, layers

    def _run(
        self, geometry: Geometry, batch: Batch, names: list[str]
    ) -> dict[str, list[torch.Tensor]]:
        """What PET's forward does between preprocessing and the scale factors."""
        backend = self.model.backend
        nodes, edges = backend.calculate_features(batch, capture_diagnostics=True)
        if self.model.long_range:
            far = self.model._calculate_long_range_features(
                geometry.systems(self.model.requested_nl),
                nodes,
                batch["edge_distances"],
                batch["padding_mask"],
            )
            nodes = [(part + far) * 0.5**0.5 for part in nodes]
        cells, indices = geometry.cells(), batch["system_indices"]
        return backend.predict(nodes, edges, batch, cells, indices, names)[0]

    def _finish(
        self,
        target: str,
        raw: list[torch.Tensor],
        geometry: Geometry,
        kinds: Mapping[str, list[Block]],
    ) -> dict[Block, torch.Tensor]:
        """Irrep blocks of a target, and those of its gradients."""
        n, structure = geometry.n, geometry.structure
        shapes = self.model.output_shapes[target].values()
        scales = structure.scales[target]
        values = [
            part.reshape(n, -1, *shape) * scale
            for part, shape, scale in zip(raw, shapes, scales, strict=True)
        ]
        found: dict[Block, torch.Tensor] = {}
        for place in structure.places[target]:
            part = place.take(values)
            if self.generic.kinds[target] == "system":
                part = part.sum(1, keepdim=True)
            found |= self._split(target, place, part)
        if kinds:
            found |= geometry.differentiate(values[0], kinds)
        return found

    def _split(
        self, target: str, place: Place, part: torch.Tensor
    ) -> dict[Block, torch.Tensor]:
        """Irrep parts of a returned block, for all copies at once."""
        kind, unit = self.generic.kinds[target], self.generic.units[target]
        n, samples = part.shape[:2]
        parts = irrep_blocks.split(target, place.key, place.components, part.flatten(0, 1))
        return {
            Block(target, irrep, kind, unit, detail): values.reshape(
                n, samples, *values.shape[1:]
            )
            for irrep, detail, values in parts
        }

    def _add_conditions(self, system: System, batch: Batch) -> None:
        indices = torch.zeros(len(system), dtype=torch.long, device=self.device)
        batch["system_indices"] = indices
        conditioning = self.model.backend.system_conditioning
        if conditioning is not None:
            charge, spin = _extract_charge_spin_multiplicity([system], self.device)
            conditioning.validate(charge, spin)
            batch |= {"charge": charge, "spin_multiplicity": spin}
