r"""Readout features: what the predictions of PET are linear in.

For an atom i and each readout layer they are the node features of the target's head and
the sum of its edge features, weighted by the cutoff function,

.. math::

    Φ_i = [ h_i^0,\ Σ_j f_{ij} e_{ij}^0,\ h_i^1,\ …,\ 1,\ Σ_j f_{ij} ]

The last two multiply the biases; the same for all readout layers, they stand once.
"""

from collections.abc import Mapping
from functools import cached_property

import torch
from metatrain.pet import PET

from ..models.engine import Block, Prepared, Values, prepared_as
from ..models.live_or_exported import evaluating
from ..models.pet.engine import PETEngine
from ..models.pet.geometry import Geometry
from ..models.pet.structure import PETStructure


class FeatureEngine(PETEngine):
    """Engine whose layers are the readout features of targets.

    Probes bear the names of the targets; ``evaluate`` returns for each
    ``(n, atoms, K)``, in the dtype of the model.

    :param model: PET, or what inherits from it
    :param targets: names of targets
    """

    def __init__(self, model: PET, targets: list[str]) -> None:
        super().__init__(model, targets, ())
        self.heads = {
            target: [
                (f"node_heads.{target}.{i}", f"edge_heads.{target}.{i}")
                for i in range(model.backend.num_readout_layers)
            ]
            for target in targets
        }

    @cached_property
    def probes(self) -> list[str]:
        """Names of the targets."""
        return list(self.targets)

    @property
    def bases(self) -> Mapping[str, torch.Tensor]:
        """None: features fill their space."""
        return {}

    @property
    def width(self) -> int:
        """Number of features K of each target."""
        backend = self.model.backend
        return 2 * backend.num_readout_layers * backend.d_head + 2

    def bytes_per_rotation(self, structure: Prepared, probes: list[str]) -> int:
        """Upper estimate of the memory of a rotated copy, its moments included.

        :param structure: prepared by this engine
        :param probes: targets
        :return: bytes
        """
        paths = [path for target in probes for pair in self.heads[target] for path in pair]
        features = 4 * 8 * structure.n_atoms * self.width * len(probes)
        return super().bytes_per_rotation(structure, paths) + features

    def evaluate(
        self,
        structure: Prepared,
        matrices: torch.Tensor,
        blocks: list[Block],
        probes: list[str],
    ) -> Values:
        """Features of rotated copies.

        :param structure: prepared by this engine
        :param matrices: ``(n, 3, 3)``
        :param blocks: values of these as well, in a second evaluation
        :param probes: targets
        :return: for each ``(n, atoms, K)``
        """
        values = Values({}, {})
        if blocks:
            values = super().evaluate(structure, matrices, blocks, [])
        if not probes:
            return values
        paths = [path for target in probes for pair in self.heads[target] for path in pair]
        rotations = matrices.to(device=self.device, dtype=self.dtype)
        backend = self.model.backend
        with evaluating(self.model), torch.no_grad():
            structure = prepared_as(structure, PETStructure)
            geometry = Geometry(structure, len(rotations), rotations, False)
            batch = geometry.batch(self.model)
            with self.catalogue.collecting(backend, paths) as found:
                self._run(geometry, batch, [])
            mask, factors = batch["padding_mask"], batch["cutoff_factors"]
            weights = torch.where(mask, factors, torch.zeros_like(factors))
            for target in probes:
                parts = self._parts(target, found, weights)
                values.layers[target] = torch.cat(parts, -1).reshape(
                    len(rotations), structure.n_atoms, -1
                )
        return values

    def _parts(
        self, target: str, found: dict[str, torch.Tensor], weights: torch.Tensor
    ) -> list[torch.Tensor]:
        """Features of all atoms of all copies, layer by layer."""
        parts = []
        for node, edge in self.heads[target]:
            parts.append(found[node])
            parts.append((weights.unsqueeze(1) @ found[edge]).squeeze(1))
        total = weights.sum(1, keepdim=True)
        return [*parts, torch.ones_like(total), total]
