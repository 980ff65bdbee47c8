"""Evaluates plain functions of points: point clouds, and tests with known spectra."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from metatomic.torch import System

from .engine import Block, Prepared, Values, prepared_as


Function = Callable[[torch.Tensor], torch.Tensor]


@dataclass
class PointsStructure(Prepared):
    """A cloud of points, ready to be rotated.

    :param points: ``(points, 3)``, in the dtype of the engine
    """

    points: torch.Tensor


class FunctionEngine:
    """Engine of plain functions.

    :param targets: function of each block: from rotated points ``(n, points, 3)`` to
        ``(n, samples, 2 λ + 1, properties)``, components ordered ``-λ ... λ``
    :param layers: function of each probe: to ``(n, samples, channels)``
    :param dtype: of the points that the functions get
    :param device: where these are

    >>> import torch
    >>> from metatrain_symmetry import Block, FunctionEngine, Irrep, Settings, analyze
    >>> dipole = Block("dipole", Irrep(1))
    >>> def tilted(points):  # y, z, x of the mean, and a constant that is wrong
    ...     mean = points.mean(dim=1)[:, [1, 2, 0]] + torch.tensor([0.0, 0.3, 0.0])
    ...     return mean[:, None, :, None]
    >>> engine = FunctionEngine(targets={dipole: tilted})
    >>> points = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]])
    >>> settings = Settings(lambda_max=2, estimator="grid")
    >>> report = analyze(
    ...     engine, [engine.prepare(points)], settings=settings, progress=False
    ... )
    >>> print(f"{report.equivariance.A[0]:.6f} = {(0.3**2 / 3) ** 0.5:.6f}")
    0.173205 = 0.173205
    """

    def __init__(
        self,
        targets: Mapping[Block, Function] | None = None,
        layers: Mapping[str, Function] | None = None,
        dtype: torch.dtype = torch.float64,
        device: str | torch.device = "cpu",
    ) -> None:
        self.targets = dict(targets or {})
        self.layers = dict(layers or {})
        self.blocks = list(self.targets)
        self.probes = list(self.layers)
        self.bases: Mapping[str, torch.Tensor] = {}
        self.dtype = dtype
        self.device = torch.device(device)

    def prepare(
        self, system: "System | torch.Tensor", name: str = "structure"
    ) -> PointsStructure:
        """Take a structure, or a cloud of points.

        :param system: structure, or ``(points, 3)``
        :param name: how messages call it
        :raises ValueError: if the shape is another
        :return: the structure
        """
        if isinstance(system, torch.Tensor):
            system = points_system(system, name)
        points = system.positions.detach().to(self.device, self.dtype)
        return PointsStructure(name, system, len(points), 0, points)

    def bytes_per_rotation(self, structure: Prepared, probes: list[str]) -> int:
        """Estimate from one evaluation.

        :param structure: prepared by this engine
        :param probes: layers that are wanted
        :return: bytes
        """
        points = prepared_as(structure, PointsStructure).points
        values = self._values(points[None], self.blocks, probes)
        parts = [points, *values.targets.values()]
        parts += values.layers.values()
        return 4 * sum(part.numel() * part.element_size() for part in parts)

    def evaluate(
        self,
        structure: Prepared,
        matrices: torch.Tensor,
        blocks: list[Block],
        probes: list[str],
    ) -> Values:
        """Evaluate rotated points.

        :param structure: prepared by this engine
        :param matrices: ``(n, 3, 3)``
        :param blocks: of :attr:`blocks`
        :param probes: of :attr:`probes`
        :return: what the functions say
        """
        rotations = matrices.to(self.device, self.dtype)
        points = prepared_as(structure, PointsStructure).points
        points = points @ rotations.transpose(1, 2)
        return self._values(points, blocks, probes)

    def _values(
        self, points: torch.Tensor, blocks: list[Block], probes: list[str]
    ) -> Values:
        return Values(
            {block: self.targets[block](points) for block in blocks},
            {path: self.layers[path](points) for path in probes},
        )

    def predict(self, structure: Prepared) -> dict[Block, torch.Tensor]:
        """Evaluate the points as they are.

        :param structure: prepared by this engine
        :return: for each block ``(samples, 2 λ + 1, properties)``
        """
        points = prepared_as(structure, PointsStructure).points[None]
        return {block: function(points)[0] for block, function in self.targets.items()}


def points_system(points: torch.Tensor, name: str) -> System:
    """Points as a structure without elements.

    :param points: ``(points, 3)``
    :param name: how messages call them
    :raises ValueError: if the shape is another
    :return: of type 1 everywhere, not periodic
    """
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(
            f"{name}: points have shape {tuple(points.shape)}, give (points, 3)"
        )
    return System(
        types=torch.ones(len(points), dtype=torch.int32, device=points.device),
        positions=points.detach(),
        cell=points.new_zeros(3, 3),
        pbc=torch.zeros(3, dtype=torch.bool, device=points.device),
    )
