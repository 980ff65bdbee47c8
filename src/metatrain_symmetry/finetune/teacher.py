"""The teacher: the model itself, averaged over a finite group of rotations.

The group is the smallest whose average is exact enough. What an average leaves of A is
measured on a few structures, as its scatter over random frames: n random rotations would
leave ``A / sqrt(n)``, and a group of n rotations leaves much less.
"""

import copy
from collections.abc import Iterator, Sequence

import torch
from metatensor.torch import TensorMap, add, multiply
from metatomic.torch import System
from metatomic.torch.o3 import O3Transformations
from metatrain.pet import PET
from metatrain.utils.augmentation import _max_angular_momentum
from metatrain.utils.evaluate_model import evaluate_model
from metatrain.utils.neighbor_lists import (
    get_requested_neighbor_lists,
    get_system_with_neighbor_lists,
)

from ..groups.design import GroupPoints
from ..groups.frames import random_frame
from ..models.sweep import CPU_SIZE, GPU_SIZE
from ..models.tensor_maps import detached
from .tensors import mean_of_copies


Means = dict[str, TensorMap]

CANDIDATES = (
    GroupPoints("D2"), GroupPoints("T", False), GroupPoints("T"), GroupPoints("I", False),
    GroupPoints("I"),
)  # fmt: skip
"""Sets, from the cheapest (8 rotations) to that with next to nothing left (120)."""

EXACT_ENOUGH = 0.3
"""Share of A that may be left in the teacher: less than a tenth of A²."""

FRAMES = 3
"""Random frames in which a set is tried on each structure."""


class Teacher:
    """Averages a model over a group.

    Evaluates in float64: large composition energies would be rounded in float32.

    :param model: left as it is
    :param device: where to evaluate
    :raises ValueError: if the model needs more than a structure
    """

    def __init__(self, model: PET, device: torch.device) -> None:
        inputs = list(model.requested_inputs())
        if inputs:
            raise ValueError(
                f"the model needs {', '.join(inputs)} beside a structure, which cannot be "
                "taught: give labels of all targets, and leave out purify.teacher and "
                "purify.unlabelled"
            )
        model = copy.deepcopy(model).to(device=device, dtype=torch.float64).eval()
        self.model, self.device = model, device
        self.targets = model.dataset_info.targets
        self.o3_lambda = _max_angular_momentum(self.targets, {})
        self.neighbors = get_requested_neighbor_lists(model)
        self.points = CANDIDATES[-1]

    def mean(self, system: System, seed: int, label: int = 0) -> Means:
        """Average over the group, in a random frame.

        :param system: structure, any float dtype
        :param seed: of the frame
        :param label: what the structure is called in the result
        :return: full predictions of all targets, with composition, float64, on the CPU
        """
        matrices = self.points.orbit(0, random_frame(seed)).matrices
        total: Means = {}
        for copies, count in self._rotated_back(system, matrices):
            share = count / len(matrices)
            for name, tensor in copies.items():
                mean = multiply(mean_of_copies(tensor, count, label), share)
                total[name] = add(total[name], mean) if name in total else mean
        return total

    def _rotated_back(
        self, system: System, matrices: torch.Tensor
    ) -> Iterator[tuple[Means, int]]:
        """Predictions for rotated copies, rotated back, and how many they are."""
        system = get_system_with_neighbor_lists(system.to(torch.float64), self.neighbors)
        system = system.to(device=self.device)
        edges = sum(len(system.get_neighbor_list(one).values) for one in self.neighbors)
        size = CPU_SIZE if self.device.type == "cpu" else GPU_SIZE
        chunk = max(1, size // max(1, len(system) + edges))
        for part in matrices.split(chunk):
            rotations = O3Transformations(part, self.o3_lambda).to(self.device)
            copies = rotations.transform_systems([system] * len(part))
            found = evaluate_model(self.model, copies, self.targets, is_training=False)
            yield (
                {
                    name: rotations.inverse_transform_tensormap(detached(tensor)).to("cpu")
                    for name, tensor in found.items()
                },
                len(part),
            )

    def choose_points(self, systems: Sequence[System]) -> float:
        """Take the smallest set that is exact enough for these structures.

        :param systems: some of those that are taught
        :return: what its average leaves, as a share of A, of the target or gradient where
            that is most
        """
        left = float("nan")
        for self.points in CANDIDATES:
            left = self._left(systems)
            if left <= EXACT_ENOUGH:
                break
        return left

    def _left(self, systems: Sequence[System]) -> float:
        """A after the average over A before, at most over targets and gradients."""
        within: dict[str, float] = {}
        between: dict[str, float] = {}
        for number, system in enumerate(systems):
            frames = [
                self._values(system, FRAMES * number + frame) for frame in range(FRAMES)
            ]
            for name in frames[0]:
                values = torch.stack([frame[name] for frame in frames])
                means = values.mean(dim=1)
                scatter = means.var(dim=0).sum()
                own = (values - means[:, None]).square().mean(dim=(0, 1)).sum()
                # a direct stress is no number where there is no volume
                if torch.isfinite(scatter + own):
                    between[name] = between.get(name, 0.0) + float(scatter)
                    within[name] = within.get(name, 0.0) + float(own)
        shares = [
            (between[name] / max(between[name] + within[name], 1e-300)) ** 0.5
            for name in within
        ]
        return max(shares, default=float("nan"))

    def _values(self, system: System, seed: int) -> dict[str, torch.Tensor]:
        """Values of every target and gradient, ``(rotations, numbers)``."""
        matrices = self.points.orbit(0, random_frame(seed)).matrices
        found: dict[str, list[torch.Tensor]] = {}
        for copies, count in self._rotated_back(system, matrices):
            for target, tensor in copies.items():
                for block in tensor.blocks():
                    parts = {target: block.values}
                    parts |= {f"{target} {n}": g.values for n, g in block.gradients()}
                    for name, values in parts.items():
                        if values.numel():
                            found.setdefault(name, []).append(values.reshape(count, -1))
        return {name: torch.cat(parts) for name, parts in found.items()}
