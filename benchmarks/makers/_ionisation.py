"""Energy deposits of simulated electrons and muons in a medium like liquid argon.

Electrons are transported by ``ompmc`` (Doerner and Caprile, Med. Phys. 44, 6672 (2017), a
form of EGSnrc). Its tables hold no argon: the medium is silicon with the density of liquid
argon, whose radiation length (15.6 cm) and stopping power are 12 and 10 % above those of
argon. Muons, which ``ompmc`` does not know, follow a simple model: :func:`muon`.

Lengths are in cm, energies in MeV.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation


PITCH = 0.3
"""Edge of a voxel, and step of a muon."""
THRESHOLD = 0.05
"""Smaller deposits are not seen."""
DENSITY = 1.396
"""Of liquid argon, in g/cm³."""
MEDIUM = "SI700ICRU"
LARGEST = 50.0
"""Kinetic energy of an electron that the tables of ``ompmc`` reach."""
VOXELS = (56, 56, 72)
BEHIND = 12
"""Layers of voxels behind the place where an electron starts."""

ELECTRON, MUON = 0.51099895, 105.6583755
"""Masses."""
MIP = 2.12
"""Energy loss of a minimum ionising particle in liquid argon, in MeV/cm."""
RADIATION_LENGTH = 14.0
LARGEST_LOSS = 8.0
"""Of a muon that stops, in MeV/cm."""
HARD = 0.0965
"""Electrons per cm above T MeV: this number over T; 0.1535 ρ Z/A of argon."""

Deposits = tuple[np.ndarray, np.ndarray]
"""Positions ``(n, 3)`` and energies ``(n,)``."""
Shoot = Callable[[float, np.random.Generator], Deposits]
"""An electron of an energy that starts at the origin along z; see :func:`electron`."""


def electron(energy: float, rng: np.random.Generator) -> Deposits:
    """Simulate one electron that starts at the origin along z.

    ``ompmc`` runs at least two histories. A mask stops each of them with a probability of
    one half, and runs in which both or none went on are thrown away, which the relative
    uncertainty of the voxels tells: one history alone leaves 1.

    :param energy: kinetic, at most :data:`LARGEST`
    :param rng: source of random numbers
    :return: deposits above the threshold, at random places in their voxels
    """
    if energy > LARGEST:
        raise ValueError(
            f"an electron of {energy:g} MeV is beyond the tables, which end at {LARGEST:g}"
        )
    while True:
        seeds = tuple(int(one) for one in rng.integers(1, 2**31 - 1, size=2))
        energies, uncertainty = _run(energy, seeds)
        seen = energies > 0
        if seen.any() and bool((np.abs(uncertainty[seen] - 1) < 1e-6).all()):
            break
    deposits = 2 * energies  # what is returned is the mean of two histories
    where = np.argwhere(deposits > THRESHOLD)
    places = where + rng.uniform(size=where.shape)
    origin = np.array([VOXELS[0] / 2, VOXELS[1] / 2, BEHIND])
    return PITCH * (places - origin), deposits[tuple(where.T)]


def _run(energy: float, seeds: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Two histories: mean deposits of the voxels and their relative uncertainties."""
    import ompmc

    start = [0.01 * PITCH, 0.01 * PITCH, 0.0]
    beam = ompmc.BeamletSource(
        [0], [start], [[*start[:2], 1.0]], [[1e-9, 0, 0]], [[0, 1e-9, 0]]
    )
    half = ompmc.ApertureMask(0.5, -1, -1, 2, 2, [[0.5]], roulette=True)
    with _quiet():
        found: tuple[np.ndarray, np.ndarray] = ompmc.calc_forward(
            _medium(),
            beam,
            [1.0],
            ompmc.Spectrum.monoenergetic(energy),
            ompmc.Physics(n_split=1, seeds=(seeds[0], seeds[1])),
            n_histories=2,
            n_batches=2,
            charge=-1,
            output_dose=False,
            collimator=half,
        )
    return found


@cache
def _medium() -> Any:
    import ompmc

    edges = [PITCH * (np.arange(n + 1) - n / 2) for n in VOXELS]
    edges[2] = PITCH * (np.arange(VOXELS[2] + 1) - BEHIND)
    density = np.full(VOXELS, DENSITY, order="F")
    kind = np.ones(VOXELS, dtype=np.int32, order="F")
    return ompmc.Geometry(*edges, [MEDIUM], density, kind)


@contextmanager
def _quiet() -> Iterator[None]:
    """``ompmc`` says a page for each run, from C."""
    kept = os.dup(1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def core(deposits: Deposits) -> Deposits:
    """What hangs together with the start of an electron, without far photons.

    :param deposits: of an electron that starts at the origin
    :return: those in voxels that touch, one after the other, the one nearest to the start
    """
    places, energies = deposits
    if len(places) == 0:
        return deposits
    cells = np.floor(places / PITCH).astype(int)
    cells -= cells.min(axis=0)
    filled = np.zeros(cells.max(axis=0) + 1, dtype=bool)
    filled[tuple(cells.T)] = True
    parts, _ = ndimage.label(filled, structure=np.ones((3, 3, 3)))
    part = parts[tuple(cells.T)]
    kept = part == part[np.linalg.norm(places, axis=1).argmin()]
    return places[kept], energies[kept]


def aimed(
    deposits: Deposits, start: np.ndarray, direction: np.ndarray, rng: np.random.Generator
) -> Deposits:
    """Move an electron, and turn it about its axis at random.

    :param deposits: of one that starts at the origin along z
    :param start: where it should start
    :param direction: unit vector
    :param rng: source of random numbers
    """
    spin = Rotation.from_rotvec([0, 0, rng.uniform(0, 2 * np.pi)])
    return (onto(direction) * spin).apply(deposits[0]) + start, deposits[1]


def onto(direction: np.ndarray) -> Rotation:
    """Rotation of z onto a direction.

    :param direction: unit vector
    """
    axis = np.array([-direction[1], direction[0], 0.0])
    size = float(np.linalg.norm(axis))
    if size < 1e-12:
        return Rotation.from_rotvec([np.pi * (direction[2] < 0), 0, 0])
    return Rotation.from_rotvec(axis / size * np.arctan2(size, direction[2]))


def around(direction: np.ndarray, angle: float, rng: np.random.Generator) -> np.ndarray:
    """Direction at an angle to another one, at a random azimuth.

    :param direction: unit vector
    :param angle: in radian
    :param rng: source of random numbers
    """
    azimuth = rng.uniform(0, 2 * np.pi)
    flat = np.sin(angle) * np.array([np.cos(azimuth), np.sin(azimuth)])
    return onto(direction).apply([*flat, np.cos(angle)])


def isotropic(rng: np.random.Generator) -> np.ndarray:
    """Random unit vector.

    :param rng: source of random numbers
    """
    vector = rng.normal(size=3)
    return vector / np.linalg.norm(vector)


def highland(energy: float, length: float) -> float:
    """Angle by which a muon is scattered, by the Highland formula.

    :param energy: kinetic
    :param length: that it travels
    :return: standard deviation of the angle in a plane, in radian
    """
    momentum = np.sqrt(energy * (energy + 2 * MUON))
    beta = momentum / (energy + MUON)
    layers = length / RADIATION_LENGTH
    factor = 1 + 0.038 * np.log(layers)
    return float(13.6 / (beta * momentum) * np.sqrt(layers) * factor)


@dataclass
class Muon:
    """A simulated muon.

    :param places: of its deposits ``(n, 3)``
    :param energies: of these
    :param directions: of the muon there ``(n, 3)``
    :param deltas: for each electron that it has knocked on: its energy and the index of
        the deposit where it starts
    :param stops: whether it ran out of energy
    """

    places: np.ndarray
    energies: np.ndarray
    directions: np.ndarray
    deltas: list[tuple[float, int]]
    stops: bool


def muon(
    start: np.ndarray,
    direction: np.ndarray,
    energy: float,
    length: float,
    rng: np.random.Generator,
    least: float = 1.5,
) -> Muon:
    """Simulate a muon by a simple model.

    Steps of :data:`PITCH`. In each of them its direction changes by two normal angles with
    the width of the Highland formula, and it loses what a minimum ionising particle does,
    over β², at most :data:`LARGEST_LOSS`, with a straggling that follows the distribution
    of Moyal. It knocks on electrons with a spectrum ``1 / T²`` above ``least``, at the
    angle at which a much faster particle does: ``cos² θ = T / (T + 2 m)``.

    :param start: of the track
    :param direction: unit vector
    :param energy: kinetic
    :param length: at which it leaves
    :param rng: source of random numbers
    :param least: smallest energy of an electron
    """
    places: list[np.ndarray] = []
    energies: list[float] = []
    directions: list[np.ndarray] = []
    deltas: list[tuple[float, int]] = []
    place, left = np.array(start, dtype=float), energy
    while left > 0 and len(places) < length / PITCH:
        width = highland(max(left, 1.0), PITCH)
        direction = around(direction, float(np.hypot(*rng.normal(0, width, 2))), rng)
        place = place + PITCH * direction
        loss = min(_loss(left, rng), left)
        left -= loss
        if loss > THRESHOLD:
            places.append(place + rng.uniform(-0.5, 0.5, 3) * PITCH)
            energies.append(loss)
            directions.append(direction)
            hard = _knocked_on(left, least, rng)
            deltas += [(one, len(places) - 1) for one in hard]
            left -= sum(hard)
    return Muon(
        np.reshape(places, (-1, 3)),
        np.array(energies),
        np.reshape(directions, (-1, 3)),
        deltas,
        left <= 0,
    )


def _loss(energy: float, rng: np.random.Generator) -> float:
    """Energy lost in one step."""
    beta2 = 1 - (MUON / (energy + MUON)) ** 2
    mean = PITCH * min(MIP / beta2, LARGEST_LOSS)
    # Moyal: mean 1.2704 and most probable value 0, in units of ξ
    x = rng.normal()
    return max(float(mean + HARD * PITCH * (-2 * np.log(abs(x)) - 1.2704)), 0.0)


def _knocked_on(energy: float, least: float, rng: np.random.Generator) -> list[float]:
    """Energies of the electrons knocked on in one step."""
    gamma = energy / MUON + 1
    most = min(2 * ELECTRON * (gamma**2 - 1), LARGEST)
    if most <= least:
        return []
    number = rng.poisson(HARD * PITCH * (1 / least - 1 / most))
    shares = rng.uniform(size=number)
    return [float(1 / (1 / least - u * (1 / least - 1 / most))) for u in shares]


def delta_angle(energy: float) -> float:
    """Angle between an electron that was knocked on and the muon.

    :param energy: of the electron
    :return: in radian
    """
    return float(np.arccos(np.sqrt(energy / (energy + 2 * ELECTRON))))


def michel_energy(rng: np.random.Generator) -> float:
    """Energy of the electron of a muon that decays: the spectrum of Michel.

    With ``x = E / 52.8 MeV`` it is proportional to ``x² (3 - 2 x)``.

    :param rng: source of random numbers
    """
    while True:
        x, y = rng.uniform(size=2)
        if y < x**2 * (3 - 2 * x):
            return float(min(52.8 * x, LARGEST))
