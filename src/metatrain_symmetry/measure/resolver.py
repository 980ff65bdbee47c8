"""Feeds a transform with the channels of every probe, sketched where need be.

Where the sums of a structure would not fit the memory budget its widest probes are
sketched (see :mod:`metatrain_symmetry.groups.sketch`), with an error bar.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ..groups import Orbit, Powers, Sketch, Transform
from ..models.engine import Block, Engine, Values


REPLICATES = 8
"""Independent sketches: as many as give an error bar worth its name."""


@dataclass
class Spectrum:
    """Powers of one probe on one structure.

    :param powers: from the orbit; sketches or circles are its replicates
    :param n_samples: atoms, edges or one, by which sums are divided
    :param sketched: whether the channels were sketched
    :param orbit: that it comes from; None for one that is exact
    :param squares: powers of the squared norm along circles, a scalar function of the
        orientation; None from other orbits
    """

    powers: Powers
    n_samples: int
    sketched: bool = False
    orbit: Orbit | None = None
    squares: Powers | None = None

    @property
    def norm(self) -> float:
        """Squared norm per sample."""
        return float(self.powers.norm2.mean()) / self.n_samples

    @property
    def kind(self) -> str:
        """What it comes from: ``circles``, ``orbit`` or ``grid``."""
        return "grid" if self.orbit is None else self.orbit.kind


class Resolver:
    """Feeds a transform with the channels of every probe, sketched where need be.

    Probes that share a tensor are resolved once, those that fill a subspace along a
    basis of it: neither changes a power.

    :param engine: what evaluates the model
    :param orbit: group elements and weights
    :param first: values of a first chunk, for the shapes
    :param memory: budget of the sums, in bytes
    :param seed: of the sketches
    """

    def __init__(
        self, engine: Engine, orbit: Orbit, first: Values, memory: int, seed: int
    ) -> None:
        tensors = {**first.targets, **first.layers}
        self.samples = {key: tensor.shape[1] for key, tensor in tensors.items()}
        leaders: dict[int, Block | str] = {}
        self.leader = {
            key: leaders.setdefault(id(tensor), key)
            for key, tensor in tensors.items()
            if tensor[0].numel()
        }
        self.bases = {
            key: basis.to(engine.device, engine.dtype)
            for key, basis in engine.bases.items()
            if self.leader.get(key) == key
        }
        channels = {key: self._flat(key, tensors)[0].numel() for key in leaders.values()}
        width = widest(list(channels.values()), memory // orbit.bytes_per_channel())
        self.sketches = {
            key: Sketch(
                count, max(1, width // REPLICATES), REPLICATES, seed + i, engine.device
            )
            for i, (key, count) in enumerate(channels.items())
            if count > width
        }
        self.keys = list(channels)
        widths: list[int] = []
        for key, count in channels.items():
            sketch = self.sketches.get(key)
            widths += [count] if sketch is None else [sketch.width] * sketch.replicates
        self.orbit = orbit
        # from the scatter of the squared norm follows how well a point set averages it
        self.with_squares = orbit.kind == "circles"
        widths += [1] * (len(self.keys) if self.with_squares else 0)
        self.transform: Transform = orbit.transform(widths, engine.device)

    def _flat(
        self, key: Block | str, tensors: Mapping[Block | str, torch.Tensor]
    ) -> torch.Tensor:
        values = tensors[key]
        if key in self.bases:
            values = values @ self.bases[key]
        return values.flatten(1)

    def add(self, values: Values) -> None:
        """Take the values at the next elements.

        :param values: of the engine
        :raises RuntimeError: if probes that shared a tensor no longer do
        """
        tensors = {**values.targets, **values.layers}
        for key, leader in self.leader.items():
            if tensors[key] is not tensors[leader]:
                raise RuntimeError(
                    f"'{key}' and '{leader}' were one tensor, and are not now"
                )
        pieces: list[torch.Tensor] = []
        squares: list[torch.Tensor] = []
        for key in self.keys:
            flat = self._flat(key, tensors)
            pieces += self.sketches[key](flat) if key in self.sketches else [flat]
            if self.with_squares:
                norm = torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64)
                squares.append(norm.square()[:, None])
        if pieces:
            self.transform.add(pieces + squares)

    def finish(self) -> dict[Block | str, Spectrum]:
        """Resolve every probe.

        :return: spectrum of each block and layer
        """
        if not self.keys:
            return {}
        found, powers = {}, iter(self.transform.finish())
        for key in self.keys:
            sketch = self.sketches.get(key)
            several = [next(powers) for _ in range(sketch.replicates if sketch else 1)]
            found[key] = Spectrum(
                _joined(several), self.samples[key], sketch is not None, self.orbit
            )
        for key in self.keys if self.with_squares else ():
            found[key].squares = next(powers)
        return {key: found[leader] for key, leader in self.leader.items()}


def _joined(several: list[Powers]) -> Powers:
    """Join sketches: as replicates, or averaged where circles are the replicates."""
    if len(several) == 1:
        return several[0]
    powers = torch.stack([p.powers for p in several])
    norms = torch.stack([p.norm2 for p in several])
    if powers.shape[1] == 1:
        return Powers(several[0].irreps, powers[:, 0], norms[:, 0])
    return Powers(several[0].irreps, powers.mean(dim=0), norms.mean(dim=0))


def widest(channels: Sequence[int], available: int) -> int:
    """Find the width to which probes must be cut so that all fit.

    :param channels: channels of each probe
    :param available: channels that fit in total
    :return: the largest w with ``Σ min(channels, w) <= available``, at least the number
        of sketches
    """
    remaining, left = available, len(channels)
    for count in sorted(channels):
        if count * left > remaining:
            return max(REPLICATES, remaining // left)
        remaining -= count
        left -= 1
    return max(channels, default=REPLICATES)
