"""The module inside an averaged export. TorchScript compiles it into the file.

Copies are rotated, and answers are rotated back and averaged, by metatomic's own
functions of ``metatomic.torch.o3``. Ours is what surrounds them: the orbit of a group
instead of a quadrature, and derivatives whose memory does not grow with the number of
rotations, see :mod:`metatrain_symmetry.symmetrise.derivatives`.
"""

from typing import Dict, List, Optional

import metatensor.torch as mts
import torch
from metatensor.torch import Labels, TensorMap
from metatomic.torch import ModelOutput, NeighborListOptions, System
from metatomic.torch.o3 import O3Transformations
from metatomic.torch.o3._symmetrized import (
    _add_tensormap_contribution,
    _reduce_weighted_centered_batch,
)
from metatomic.torch.o3._transformations import (
    _transform_systems_batched,
    _transform_tensormap_batched,
)
from metatomic.torch.o3._utils import (
    copy_tensormap_info,
    map_selected_atoms_to_rotated_copies,
)

from .derivatives import (
    add_gradients,
    forbidden,
    inputs_of,
    leaves_of,
    one_column,
    restarted,
    with_derivative,
)


class AveragedModel(torch.nn.Module):
    """Average of a model over the elements of a finite group.

    :param module: the model, in metatomic's interface
    :param elements: of the group, in the dtype of the model
    :param differentiated: outputs that forces and stress may be asked of
    :param batch_atoms: rotated copies share an evaluation up to this many atoms
    :param requested_inputs: what the model wants to know beside positions
    :param requested_neighbor_lists: of the model
    """

    _differentiated: List[str]
    _requested_inputs: Dict[str, ModelOutput]
    _requested_neighbor_lists: List[NeighborListOptions]

    def __init__(
        self,
        module: torch.nn.Module,
        elements: O3Transformations,
        differentiated: List[str],
        batch_atoms: int,
        requested_inputs: Dict[str, ModelOutput],
        requested_neighbor_lists: List[NeighborListOptions],
    ) -> None:
        super().__init__()
        self._module = module
        self._elements = elements
        self._differentiated = differentiated
        self._batch_atoms = batch_atoms
        self._requested_inputs = requested_inputs
        self._requested_neighbor_lists = requested_neighbor_lists

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:
        """Neighbour lists of the model: they are rotated, and never made again."""
        return self._requested_neighbor_lists

    def requested_inputs(self) -> Dict[str, ModelOutput]:
        """What the model wants to know beside positions."""
        return self._requested_inputs

    def forward(
        self,
        systems: List[System],
        outputs: Dict[str, ModelOutput],
        selected_atoms: Optional[Labels],
    ) -> Dict[str, TensorMap]:
        """Average outputs.

        :param systems: with neighbour lists
        :param outputs: what is wanted
        :param selected_atoms: whose outputs are wanted, None for all
        :raises ValueError: if an output is wanted with its explicit gradients
        :return: the averages
        """
        for name, output in outputs.items():
            if len(output.explicit_gradients) != 0:
                raise ValueError(
                    f"an averaged model gives no explicit gradients of '{name}': "
                    "differentiate its values"
                )
        if len(systems) == 0:
            return self._module(systems, outputs, selected_atoms)
        parts: Dict[str, List[TensorMap]] = {}
        for index, system in enumerate(systems):
            averages = self._average(system, index, outputs, selected_atoms)
            for name, average in averages.items():
                if name not in parts:
                    parts[name] = torch.jit.annotate(List[TensorMap], [])
                parts[name].append(average)
        joined: Dict[str, TensorMap] = {}
        for name, averages_of_all in parts.items():
            joined[name] = mts.join(averages_of_all, "samples", different_keys="union")
        return joined

    def _average(
        self,
        system: System,
        index: int,
        outputs: Dict[str, ModelOutput],
        selected_atoms: Optional[Labels],
    ) -> Dict[str, TensorMap]:
        """Average outputs of one system."""
        inputs = inputs_of(system)
        start = restarted(system, len(inputs) != 0)
        references: Dict[str, TensorMap] = {}
        deviations: Dict[str, TensorMap] = {}
        gradients: Dict[str, List[torch.Tensor]] = {}
        n_elements = self._elements.matrices.size(0)
        n_copies = max(1, self._batch_atoms // max(1, len(system)))
        for first in range(0, n_elements, n_copies):
            self._add_copies(
                start, index, outputs, selected_atoms, len(inputs) != 0,
                first, min(first + n_copies, n_elements),
                references, deviations, gradients,
            )  # fmt: skip
        averages: Dict[str, TensorMap] = {}
        for name, reference in references.items():
            average = mts.add(reference, deviations[name])
            if name in gradients:
                average = with_derivative(average, inputs, gradients[name])
            elif len(inputs) != 0:
                average = forbidden(average, inputs)
            averages[name] = copy_tensormap_info(reference, average)
        return averages

    def _add_copies(
        self,
        system: System,
        index: int,
        outputs: Dict[str, ModelOutput],
        selected_atoms: Optional[Labels],
        differentiate: bool,
        first: int,
        last: int,
        references: Dict[str, TensorMap],
        deviations: Dict[str, TensorMap],
        gradients: Dict[str, List[torch.Tensor]],
    ) -> None:
        """Evaluate some rotated copies. Nothing of their graph is left at the end."""
        n_elements, n_copies = self._elements.matrices.size(0), last - first
        matrices = self._elements.matrices[first:last].to(system.positions)
        improper = self._elements.improper_mask[first:last]
        wigner: List[torch.Tensor] = []
        inverse: List[torch.Tensor] = []
        for degree in range(self._elements.max_angular_momentum + 1):
            rotations = self._elements.wigner_D_matrices(degree)[first:last].to(matrices)
            wigner.append(rotations)
            inverse.append(rotations.transpose(1, 2))
        copies = [system for _ in range(n_copies)]
        answers = self._module(
            _transform_systems_batched(copies, matrices, wigner, improper),
            outputs,
            map_selected_atoms_to_rotated_copies(selected_atoms, index, n_copies),
        )
        if differentiate:
            names = one_column(answers, self._differentiated)
            add_gradients(answers, names, leaves_of(system), n_elements, gradients)
        weights = torch.full_like(matrices[:, 0, 0], 1.0 / n_elements)
        for name, answer in answers.items():
            back = _transform_tensormap_batched(
                mts.detach(answer), matrices.transpose(1, 2), inverse, improper, None
            )
            reference: Optional[TensorMap] = None
            if name in references:
                reference = references[name]
            deviation, _, _, kept = _reduce_weighted_centered_batch(
                back, weights, index, reference, compute_second_moments=False
            )
            if reference is None:
                kept = copy_tensormap_info(back, kept)
            references[name] = kept
            _add_tensormap_contribution(deviations, name, deviation)
