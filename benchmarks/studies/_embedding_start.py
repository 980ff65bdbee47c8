r"""How much of the pseudo-scalar the best linear readout could know before training.

On its plateau a model can only read what its last-layer features :math:`\phi` hold
already. For a target :math:`y` of zero mean that is

.. math::

    R^2 = \mathbf c^T\, \Sigma^{-1} \mathbf c\, /\, \langle y^2\rangle, \qquad
    \mathbf c = \langle y\,\phi\rangle, \quad \Sigma = \mathrm{cov}(\phi)

over structures in all orientations. :math:`\mathbf c` is tiny, so it is averaged over the
icosahedral group with inversion, where it has no noise from degrees 1 to 5; :math:`\Sigma`
is not, and random orientations do. The two factors :math:`\mathbf c` come from different
structures, so that what noise is left has no bias.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from ase import Atoms
from metatomic.torch import ModelOutput, System, systems_to_torch
from metatrain.pet import PET
from metatrain.utils.neighbor_lists import get_system_with_neighbor_lists
from scipy.spatial.transform import Rotation


BATCH = 512


def explained(
    first: np.ndarray,
    second: np.ndarray,
    covariance: np.ndarray,
    square: float,
    cut: float = 1e-9,
) -> float:
    """Share of a target's variance that the best linear readout explains.

    :param first: moments of features with the target, shape ``(n,)``
    :param second: the same from other structures: their noise then averages to zero
    :param covariance: of the features, shape ``(n, n)``
    :param square: mean square of the target
    :param cut: directions with less than this part of the largest variance are rounding
    :return: between 0 and 1, but for noise
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = values > cut * values[-1]
    products = (vectors.T[kept] @ first) * (vectors.T[kept] @ second)
    return float(np.sum(products / values[kept]) / square)


class Start:
    """Structures in many orientations, for any number of models.

    :param frames: structures of the same atoms
    :param target: pseudo-scalar of each
    :param model: has the neighbour lists of all models
    :param orbits: structures to average over the group, an even number
    :param samples: structures in a random orientation
    """

    def __init__(
        self,
        frames: list[Atoms],
        target: np.ndarray,
        model: PET,
        orbits: int = 12,
        samples: int = 2000,
    ) -> None:
        rng = np.random.default_rng(0)
        group = Rotation.create_group("I").as_matrix()
        matrices = np.concatenate([group, -group])
        signs = np.repeat([1.0, -1.0], len(group))
        chosen = rng.permutation(len(frames))[:orbits]
        self.target = np.concatenate([target[i] * signs for i in chosen])
        self.orbits = [
            _system(frames[i], matrix, model) for i in chosen for matrix in matrices
        ]
        turns = Rotation.random(samples, rng).as_matrix()
        turns *= rng.choice([-1.0, 1.0], samples)[:, None, None]
        picked = rng.integers(len(frames), size=samples)
        self.samples = [
            _system(frames[i], turn, model) for i, turn in zip(picked, turns, strict=True)
        ]
        self.square = float(np.mean(target**2))

    def readable(self, model: PET, target: str) -> float:
        """Evaluate a model.

        :param model: with one target
        :param target: its name
        :return: :math:`R^2` of the best linear readout
        """
        orbits = np.concatenate(list(_features(model, self.orbits, target)))
        samples = np.concatenate(list(_features(model, self.samples, target)))
        half = len(orbits) // 2
        products = orbits * self.target[:, None]
        first, second = products[:half].mean(axis=0), products[half:].mean(axis=0)
        count, width = samples.shape
        # the inverse of an estimated covariance is too large by this, if it were normal
        shrunk = (count - width - 2) / (count - 1)
        found = explained(first, second, np.cov(samples.T), self.square)
        return shrunk * found


def _system(atoms: Atoms, matrix: np.ndarray, model: PET) -> System:
    """A rotated structure with its neighbours, in single precision."""
    turned = atoms.copy()
    turned.info, turned.calc = {}, None
    turned.positions = turned.positions @ matrix.T
    system = systems_to_torch(turned, dtype=torch.float32)
    return get_system_with_neighbor_lists(system, model.requested_neighbor_lists())


def _features(model: PET, systems: list[System], target: str) -> Iterator[Any]:
    """Last-layer features, shape ``(n, n_features)``, batch by batch."""
    name = f"mtt::aux::{target.removeprefix('mtt::')}_last_layer_features"
    outputs = {name: ModelOutput(sample_kind="system")}
    model.eval()
    with torch.no_grad():
        for begin in range(0, len(systems), BATCH):
            found = model(systems[begin : begin + BATCH], outputs)[name]
            yield found.block().values.double().numpy()
