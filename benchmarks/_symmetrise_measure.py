"""The A that averages leave: many orientations, each rotated copy evaluated once.

A calculator that averages over points p with weights w returns, for a structure that is
turned by g, ``Σ w ρ(p)⁻¹ f(p g x)``. Sets share points: :func:`averages_of` evaluates all
distinct ``p g x`` once and adds up. ``tests/test_benchmark_symmetrise.py`` compares with
the calculators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ase
import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks._symmetrise_sets import Points
from metatrain_symmetry.symmetrise.evaluate import evaluate
from metatrain_symmetry.symmetrise.rotations import full, rotated, rotated_back


BATCH = 120

REFERENCE = "Ii"
"""Set whose single answers tell A of the bare model."""

UNITS = {"energy": "meV/atom", "forces": "meV/Å", "stress": "meV/Å³"}


@dataclass
class Samples:
    """What was found for one structure, with an array for each property.

    :param means: averages of each set, shape ``(n_orientations, n_components)``
    :param spread: variance within the points of :data:`REFERENCE`, the same shape
    """

    means: dict[str, dict[str, np.ndarray]]
    spread: dict[str, np.ndarray]


def properties_of(atoms: ase.Atoms) -> list[str]:
    """What is computed.

    :param atoms: a structure
    """
    return ["energy", "forces", *(["stress"] if atoms.pbc.all() else [])]


def distinct(sets: Sequence[Points]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Points of several sets, each once.

    :param sets: that may share points
    :return: matrices, shape ``(n, 3, 3)``, and for each set the indices of its points
    """
    every = np.concatenate([one.matrices for one in sets]).reshape(-1, 9)
    _, first, inverse = np.unique(
        every.round(8) + 0.0, axis=0, return_index=True, return_inverse=True
    )
    bounds = np.cumsum([len(one.matrices) for one in sets])[:-1]
    return every[first].reshape(-1, 3, 3), np.split(inverse.ravel(), bounds)


def averages_of(
    calculator: Any, atoms: ase.Atoms, turn: np.ndarray, sets: Sequence[Points]
) -> tuple[list[dict[str, np.ndarray]], list[dict[str, np.ndarray]]]:
    """What each set makes of a structure in one orientation.

    :param calculator: of metatomic-ase, or any other one
    :param atoms: the structure
    :param turn: its orientation, orthogonal, shape ``(3, 3)``
    :param sets: to average over
    :return: for each set its average, and the variance over its points: for each property
        flat arrays, turned back, in meV per atom, meV/Å and meV/Å³
    """
    points, indices = distinct(sets)
    matrices = points @ turn
    copies = [rotated(atoms, matrix) for matrix in matrices]
    wanted = properties_of(atoms)
    found = evaluate(calculator, copies, wanted, BATCH)
    values = {
        name: flat(name, rotated_back(name, found[name], matrices), len(atoms))
        for name in wanted
    }
    means, spreads = [], []
    for one, own in zip(sets, indices, strict=True):
        mean = {name: one.weights @ values[name][own] for name in wanted}
        means.append(mean)
        spreads.append({n: one.weights @ (values[n][own] - mean[n]) ** 2 for n in wanted})
    return means, spreads


def flat(name: str, values: np.ndarray, n_atoms: int) -> np.ndarray:
    """Components of a property in milli-units, energies per atom.

    :param name: of the property
    :param values: shape ``(n, ...)``; of stresses Voigt's six components
    :param n_atoms: of the structure
    :return: shape ``(n, n_components)``; nine of a stress, so that rotations keep the norm
    """
    if name == "stress":
        values = np.stack([full(value) for value in values])
    scale = 1000 / n_atoms if name == "energy" else 1000
    return scale * values.reshape(len(values), -1)


def orientation(rng: np.random.Generator) -> np.ndarray:
    """A random element of O(3).

    :param rng: where it comes from
    """
    matrix: np.ndarray = Rotation.random(rng=rng).as_matrix() * rng.choice([1.0, -1.0])
    return matrix


def sample(
    calculator: Any,
    atoms: ase.Atoms,
    orientations: int,
    sets_of: Callable[[int, np.random.Generator], Sequence[Points]],
    seed: int,
) -> Samples:
    """Average a structure in many orientations.

    :param calculator: of the bare model
    :param atoms: the structure
    :param orientations: how many
    :param sets_of: sets that are looked at in an orientation, by its number;
        :data:`REFERENCE` is always among them
    :param seed: of the orientations
    """
    rng = np.random.default_rng(seed)
    means: dict[str, dict[str, list[np.ndarray]]] = {}
    spread: dict[str, list[np.ndarray]] = {}
    for number in range(orientations):
        sets = sets_of(number, rng)
        found = averages_of(calculator, atoms, orientation(rng), sets)
        for one, mean, variance in zip(sets, *found, strict=True):
            of_set = means.setdefault(label(one), {})
            for name, values in mean.items():
                of_set.setdefault(name, []).append(values)
                if one.name == REFERENCE:
                    spread.setdefault(name, []).append(variance[name])
    return Samples(
        {one: {n: np.stack(v) for n, v in of.items()} for one, of in means.items()},
        {name: np.stack(values) for name, values in spread.items()},
    )


def label(points: Points) -> str:
    """Name of a set among all.

    :param points: the set
    """
    return f"{points.family}: {points.name}"


def compare(samples: Sequence[Samples], name: str, points: str) -> dict[str, float]:
    """A that a set leaves, and A of the bare model, from the same orientations.

    Error bars are those of a jackknife over orientations, of all structures at once.

    :param samples: of each structure
    :param name: of the property
    :param points: label of the set
    :return: ``left``, ``bare`` and ``ratio``, each with ``_err``
    """
    n = len(samples[0].means[points][name])
    every = np.arange(n)
    best = _compared(samples, name, points, every)
    without = np.array([_compared(samples, name, points, every[every != i]) for i in every])
    error = np.sqrt((n - 1) * without.var(axis=0))
    names = ("left", "bare", "ratio")
    found = dict(zip(names, best.tolist(), strict=True))
    return found | {f"{k}_err": float(e) for k, e in zip(names, error, strict=True)}


def _compared(
    samples: Sequence[Samples], name: str, points: str, chosen: np.ndarray
) -> np.ndarray:
    """A left, A of the bare model, and their ratio."""
    reference = next(one for one in samples[0].means if one.endswith(f": {REFERENCE}"))
    left = bare = components = 0.0
    for one in samples:
        values = one.means[points][name][chosen]
        left += values.var(axis=0, ddof=1).sum()
        # the total variance: within the points of an orientation, and between orientations
        bare += one.spread[name][chosen].mean(axis=0).sum()
        bare += one.means[reference][name][chosen].var(axis=0, ddof=1).sum()
        components += values.shape[1]
    squares = np.array([left / components, bare / components, left / bare])
    return np.sqrt(squares)
