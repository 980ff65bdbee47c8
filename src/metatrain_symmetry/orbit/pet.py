"""Evaluates PET on rotated copies of a structure, by rotating inside the model.

Neighbour lists, species, distances and cutoffs do not change under rotations: a structure
is preprocessed once, and only its edge vectors are rotated. With ``copies.py`` and
``probes.py`` this is all of the measuring side that knows the inside of PET.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import System
from metatrain.pet import PET
from metatrain.pet.model import _extract_charge_spin_multiplicity
from metatrain.pet.modules.structures import concatenate_structures
from metatrain.utils.data.atomic_basis_helpers import sparsify_atomic_basis_target

from . import outputs
from .copies import Batch, Geometry, tile
from .engine import Block, Prepared, Values
from .model import ModelEngine, evaluating
from .probes import Catalogue


# sizes of chunks whose index tensors are kept: the usual one, and the last one
_KEPT_TILES = 3


class PETEngine:
    """Engine of a live PET model, or of one that inherits from it.

    Nothing is added to raw predictions but the scale factors of the targets: neither
    composition nor ZBL. Their part of the gradients is left out too.

    :param model: the model; its mode is restored after each use
    :param targets: names of targets
    :param probes: groups, probes, modules, see :meth:`Catalogue.expand`
    :param gradients: for energies: kinds of gradients, of ``positions`` and ``strain``
    :raises ValueError: if there is no such layer, or if a target has no irreps
    """

    def __init__(
        self,
        model: PET,
        targets: Iterable[str],
        probes: Iterable[str] = (),
        gradients: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self.model = model
        self.generic = ModelEngine(
            model, targets, gradients, *_dtype_and_device(model.backend)
        )
        self.dtype, self.device = self.generic.dtype, self.generic.device
        self.targets = self.generic.targets
        self.blocks = self.generic.blocks
        self.baseline = self.generic.baseline
        with evaluating(model):
            self.catalogue = Catalogue(model.backend, self.targets)
        self.probes = self.catalogue.expand(probes)
        self.bases = self.catalogue.bases(model.backend, self.probes)

    def prepare(self, system: System, name: str = "structure") -> Prepared:
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
        prepared.n_edges = len(batch["centers"])
        prepared.data |= {
            "arrays": arrays,
            "batch": batch,
            "scales": self._scales(system, arrays[7]),
            "rows": self._rows(system, arrays[7]),
            "tiles": {},
        }
        return prepared

    def bytes_per_rotation(self, structure: Prepared, probes: list[str]) -> int:
        """Upper estimate of the memory of a rotated copy.

        :param structure: prepared by this engine
        :param probes: layers that are wanted
        :return: bytes
        """
        backend, atoms = self.model.backend, structure.n_atoms
        slots = 1 + structure.data["batch"]["edge_vectors"].shape[1]
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
        wanted = self._wanted(blocks, structure.data["volume"] > 0)
        grad = any(wanted.values())
        rotations = matrices.to(device=self.device, dtype=self.dtype)
        with evaluating(self.model), torch.set_grad_enabled(grad):
            geometry = Geometry(structure, len(rotations), rotations, grad)
            batch = self._batch(geometry)
            if len(batch["centers"]) != len(rotations) * structure.n_edges:
                # an edge right at the cutoff: rounding decides, and depends on the batch
                return self._one_by_one(structure, matrices, blocks, probes)
            backend = self.model.backend
            with self.catalogue.collecting(backend, probes) as layers:
                raw = self._run(geometry, batch, list(wanted))
            found: dict[Block, torch.Tensor] = {}
            for target, kinds in wanted.items():
                found |= self._finish(target, raw[target], geometry, kinds)
        found = outputs.drop_missing(found, structure.data["volume"])
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

    def _wanted(
        self, blocks: list[Block], periodic: bool
    ) -> dict[str, dict[str, list[Block]]]:
        """Targets to evaluate, and the blocks of their gradients by kind."""
        wanted: dict[str, dict[str, list[Block]]] = {}
        for block in blocks:
            target, kind = self.generic.gradient_kinds.get(block, (block.target, ""))
            kinds = wanted.setdefault(target, {})
            if kind == "positions" or (kind == "strain" and periodic):
                kinds.setdefault(kind, []).append(block)
        return wanted

    def _one_by_one(
        self,
        structure: Prepared,
        matrices: torch.Tensor,
        blocks: list[Block],
        probes: list[str],
    ) -> Values:
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

    def _batch(self, geometry: Geometry) -> Batch:
        """Batch of rotated copies."""
        structure, n = geometry.structure, geometry.n
        tiles = structure.data["tiles"]
        if n not in tiles:
            while len(tiles) >= _KEPT_TILES:
                tiles.pop(next(iter(tiles)))
            tiles[n] = tile(structure.data["batch"], n, structure.n_atoms)
        batch = dict(tiles[n])
        if geometry.grad:
            batch |= self.model.backend.preprocess(
                *geometry.arrays(), self.model.cutoff_width_adaptive
            )
        vectors = batch["edge_vectors"]
        shape = (n, -1, 3) if vectors.numel() else (n, 0, 3)
        turned = vectors.reshape(shape) @ geometry.rotations.transpose(1, 2)
        batch["edge_vectors"] = turned.reshape(vectors.shape)
        return batch

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
        n, data = geometry.n, geometry.structure.data
        shapes = self.model.output_shapes[target].values()
        values = [
            part.reshape(n, -1, *shape) * scale
            for part, shape, scale in zip(raw, shapes, data["scales"][target], strict=True)
        ]
        found: dict[Block, torch.Tensor] = {}
        for dense, rows, columns, key, components in data["rows"][target]:
            part = values[dense]
            if rows is not None:
                part = part[:, rows][..., columns]
            if self.generic.kinds[target] == "system":
                part = part.sum(1, keepdim=True)
            found |= self._split(target, key, components, part)
        if kinds:
            found |= geometry.differentiate(values[0], kinds)
        return found

    def _split(
        self, target: str, key: dict[str, int], components: list[str], part: torch.Tensor
    ) -> dict[Block, torch.Tensor]:
        kind, unit = self.generic.kinds[target], self.generic.units[target]
        n, samples = part.shape[:2]
        parts = outputs.split(target, key, components, part.flatten(0, 1))
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

    def _dense(self, target: str, samples: Labels, values: list[torch.Tensor]) -> TensorMap:
        """Values of the dense blocks of a target, labelled as PET labels them."""
        components = self.model.component_labels[target]
        properties = self.model.property_labels[target]
        blocks = [
            TensorBlock(
                part, samples, [axis.to(part.device) for axis in axes], last.to(part.device)
            )
            for part, axes, last in zip(values, components, properties, strict=True)
        ]
        return TensorMap(self.model.key_labels[target].to(values[0].device), blocks)

    def _scales(self, system: System, samples: Labels) -> dict[str, list[torch.Tensor]]:
        """Factors of the raw predictions, ``(atoms, *components, properties)``."""
        ones = {}
        for target in self.targets:
            shapes = self.model.output_shapes[target].values()
            values = [system.positions.new_ones(len(system), *shape) for shape in shapes]
            ones[target] = self._dense(target, samples, values)
        # a copy, since applying scales casts them in place
        scaled = copy.deepcopy(self.model.scaler).apply_scales([system], ones)
        return {
            target: [block.values for block in tensor.blocks()]
            for target, tensor in scaled.items()
        }

    def _rows(self, system: System, samples: Labels) -> dict[str, list[tuple]]:
        """For each returned block: dense block, atoms, properties, key, components."""
        rows = {}
        for target in self.targets:
            info = self.model.dataset_info.targets[target]
            if info.is_atomic_basis:
                rows[target] = self._sparse_rows(target, info, system, samples)
                continue
            rows[target] = [
                (index, None, None, _key(labels), [n for axis in axes for n in axis.names])
                for index, (labels, axes) in enumerate(
                    zip(
                        self.model.key_labels[target],
                        self.model.component_labels[target],
                        strict=True,
                    )
                )
            ]
        return rows

    def _sparse_rows(
        self, target: str, info: Any, system: System, samples: Labels
    ) -> list[tuple]:
        """Where metatrain puts the entries of an atomic basis, seen on numbered ones."""
        shapes = list(self.model.output_shapes[target].values())
        width, atoms = max(shape[-1] for shape in shapes), len(system)
        values = []
        for index, shape in enumerate(shapes):
            first = torch.arange(index * atoms, (index + 1) * atoms, dtype=torch.float64)
            numbers = first[:, None] * width + torch.arange(shape[-1])
            wide = numbers.reshape(atoms, *[1] * (len(shape) - 1), shape[-1])
            values.append(wide.expand(atoms, *shape).contiguous().to(self.device))
        dense = self._dense(target, samples, values)
        sparse = sparsify_atomic_basis_target([system], dense, info.layout, system.types)
        found = []
        for labels, block in sparse.items():
            if block.values.numel():
                numbers = block.values[:, 0].long()
                rows, columns = numbers[:, 0] // width, numbers[0] % width
                names = [name for axis in block.components for name in axis.names]
                place = (int(rows[0]) // atoms, rows % atoms, columns)
                found.append((*place, _key(labels), names))
        return found


def _dtype_and_device(backend: Any) -> tuple[torch.dtype, torch.device]:
    weight = next(backend.parameters())
    return weight.dtype, weight.device


def _key(labels: Any) -> dict[str, int]:
    return dict(zip(labels.names, (int(value) for value in labels.values), strict=True))
