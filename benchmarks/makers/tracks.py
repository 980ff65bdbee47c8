"""Make simulated particle tracks: points with energies in a box, in four classes.

An event holds one or two muon tracks, of which half stop and leave a Michel electron, the
electrons that they knock on (delta), and one or two electron showers. Electrons are
simulated by ``ompmc``, muons by a simple model (:mod:`benchmarks.makers._ionisation`). A
point is the deposit in a voxel of 3 mm, at a random place in it, as each particle has a
lattice of its own::

    pip install -c constraints.txt -e ".[datasets]"
    export OMP_NUM_THREADS=1
    python -m benchmarks.makers.tracks

Photons that convert far from a Michel or a delta electron are left out; those of a shower
belong to it. ``tracks.npz`` has ``points`` ``(n, 4)`` (x, y, z in cm from the centre of the
box, energy in MeV), ``labels`` ``(n,)`` (0 shower, 1 track, 2 Michel, 3 delta) and
``lengths`` ``(events,)``; events are one after the other. No detector is simulated: no
noise, drift or dead region. A killed run goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.makers._ionisation import (
    LARGEST,
    MEDIUM,
    PITCH,
    THRESHOLD,
    Deposits,
    Muon,
    Shoot,
    aimed,
    around,
    core,
    delta_angle,
    electron,
    isotropic,
    michel_energy,
    muon,
)
from benchmarks.makers._parts import (
    Record,
    finish,
    in_parts,
    is_made,
    parser_of,
    parts_of,
)
from metatrain_symmetry.io import replacing


CLASSES = ("shower", "track", "Michel", "delta")
EDGE = 30.0
"""Of the box, in cm."""
MOST = 512
"""Points of an event; more are left out at random."""
CONE = 0.25
"""Largest angle between the electrons of a shower and its axis, in radian."""
PACKAGES = ("ompmc", "numpy", "scipy")


def shower(rng: np.random.Generator, shoot: Shoot = electron) -> Deposits:
    """One to three electrons of 15 to 50 MeV from one place.

    :param rng: source of random numbers
    :param shoot: simulates an electron
    :return: deposits
    """
    start = rng.uniform(-0.3, 0.3, 3) * EDGE
    axis = isotropic(rng)
    parts = [
        aimed(
            shoot(float(rng.uniform(15, LARGEST)), rng),
            start,
            around(axis, CONE * float(np.sqrt(rng.uniform())), rng),
            rng,
        )
        for _ in range(int(rng.integers(1, 4)))
    ]
    return _joined(parts)


def track(rng: np.random.Generator) -> Muon:
    """A muon, of which one half stops in the box.

    :param rng: source of random numbers
    """
    direction = isotropic(rng)
    place = rng.uniform(-0.3, 0.3, 3) * EDGE
    if rng.uniform() < 0.5:
        energy = float(rng.uniform(30, 75))
        # a range of this order: the end is in the box
        return muon(place - 0.2 * energy * direction, direction, energy, 2 * EDGE, rng)
    start = place - EDGE * direction
    return muon(start, direction, float(rng.uniform(300, 2000)), 2 * EDGE, rng)


def electrons_of(
    found: Muon, rng: np.random.Generator, shoot: Shoot = electron
) -> tuple[list[Deposits], list[Deposits]]:
    """Electrons of a muon.

    :param found: the muon
    :param rng: source of random numbers
    :param shoot: simulates an electron
    :return: that of its decay, if it stops, and those that it has knocked on
    """
    deltas = []
    for energy, index in found.deltas:
        place, direction = found.places[index], found.directions[index]
        if inside(place[None])[0]:
            direction = around(direction, delta_angle(energy), rng)
            deltas.append(aimed(core(shoot(energy, rng)), place, direction, rng))
    if not found.stops or not inside(found.places[-1:])[0]:
        return [], deltas
    decay = core(shoot(michel_energy(rng), rng))
    return [aimed(decay, found.places[-1], isotropic(rng), rng)], deltas


def make(index: int, seed: int, shoot: Shoot = electron) -> Record:
    """Make one event.

    :param index: of the event
    :param seed: of the data set
    :param shoot: simulates an electron
    :return: ``points`` ``(n, 4)`` and ``labels`` ``(n,)``
    """
    rng = np.random.default_rng([seed, index])
    parts = [(shower(rng, shoot), 0) for _ in range(int(rng.integers(1, 3)))]
    for _ in range(int(rng.integers(1, 3))):
        found = track(rng)
        parts.append(((found.places, found.energies), 1))
        for kind, deposits in zip((2, 3), electrons_of(found, rng, shoot), strict=True):
            parts += [(one, kind) for one in deposits]
    places, energies = _joined([deposits for deposits, _ in parts])
    kinds = np.concatenate([np.full(len(e), kind) for (_, e), kind in parts])
    points = np.column_stack([places, energies])
    # an order that tells nothing of the particles
    order = rng.permutation(np.flatnonzero(inside(places)))[:MOST]
    return {"points": points[order].astype(np.float32), "labels": kinds[order]}


def inside(places: np.ndarray) -> np.ndarray:
    """Whether points are in the box.

    :param places: ``(n, 3)``
    """
    found: np.ndarray = (np.abs(places) < EDGE / 2).all(axis=1)
    return found


def _joined(parts: list[Deposits]) -> Deposits:
    return np.concatenate([p for p, _ in parts]), np.concatenate([e for _, e in parts])


def parse() -> argparse.Namespace:
    """Read the command line."""
    return parser_of(__doc__, "1000", "24 events").parse_args()


def settings_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """All that decides what is made.

    :param arguments: as parsed
    """
    return {
        "simulated": True,
        "medium": f"{MEDIUM} with the density of liquid argon",
        "pitch_cm": PITCH,
        "edge_cm": EDGE,
        "threshold_MeV": THRESHOLD,
        "classes": list(CLASSES),
        "events": 24 if arguments.quick else arguments.structures or 1000,
        "seed": arguments.seed,
    }


def write(folder: Path, records: list[Record]) -> dict[str, Any]:
    """Write all events to one file.

    :param folder: where to
    :param records: the events
    :return: how many points there are
    """
    labels = np.concatenate([one["labels"] for one in records]).astype(np.int8)
    lengths = np.array([len(one["labels"]) for one in records])
    with replacing(folder / "tracks.npz") as new:
        np.savez_compressed(
            new,
            points=np.concatenate([one["points"] for one in records]),
            labels=labels,
            lengths=lengths,
        )
    counts = {name: int((labels == i).sum()) for i, name in enumerate(CLASSES)}
    return {"points": counts, "median_points": float(np.median(lengths))}


def main() -> None:
    """Make and write the events."""
    arguments = parse()
    settings, folder = settings_of(arguments), arguments.output_dir
    description = folder / "tracks.json"
    if is_made(description, settings):
        print(f"{folder / 'tracks.npz'} is there already")
        return
    try:
        import ompmc  # noqa: F401
    except ImportError:
        raise SystemExit(
            "the package ompmc, which simulates electrons, is not installed: "
            "pip install ompmc"
        ) from None
    records = in_parts(
        parts_of(folder, settings),
        settings["events"],
        lambda index: make(index, arguments.seed),
    )
    about = write(folder, records)
    finish(description, settings, about, PACKAGES)
    print(f"{len(records)} simulated events in '{folder}': {about}")


if __name__ == "__main__":
    main()
