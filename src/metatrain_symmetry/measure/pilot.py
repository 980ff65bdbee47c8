"""A first look: how fast the model is, where its spectra end, which grid that asks for."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from ..data.labelled import LabelledStructure
from ..groups import Group
from ..groups.folding import folding_matrix
from ..models.engine import Engine, Prepared
from ..models.sweep import chunk_size
from ..processes import Processes
from .budget import Clock
from .settings import Settings
from .structure import Measured, measure_structure
from .tiers import FIRST_GRID


FAR = 24
"""Degree to which the pilot's circles look."""

CIRCLES = 2
"""Circles on each structure that is looked at."""

PILOTS = 4
"""Structures that are looked at first."""

SPEAKERS = 16
"""The same where their circles speak for all others, which have none."""

SHARE = 0.15
"""Share of the budget that the pilot may take."""

SLOW = 0.05
"""Share of the budget that is spent on taking the time, once the model is warm."""

VERY_SLOW = 0.12
"""Share of the budget from which on not even a second evaluation is made."""

MANY = 64
"""Evaluations at most for taking the time."""

MOST_ANGLES = 131
"""Largest degree that is chosen for angles about an axis, of which there are few."""

GONE = 1e-3
"""A spectrum has ended where less than this share of the tolerance is left."""


@dataclass
class Pilot:
    """What a first look has brought.

    :param seconds: of one evaluation, for each atom
    :param lambda_circles: largest λ that circles should resolve
    :param circles: number of each structure looked at, and what its circles say
    :param degree: of the set that is wanted, for a group without circles
    :param limit: largest λ that its own circles resolve
    """

    seconds: float
    lambda_circles: int
    circles: dict[int, Measured] = field(default_factory=dict)
    degree: int = 0
    limit: int = 0


def look(
    engine: Engine,
    group: Group,
    data: Sequence[LabelledStructure],
    order: Sequence[int],
    settings: Settings,
    clock: Clock,
    progress: Callable[[int], object],
    processes: Processes | None = None,
) -> Pilot:
    """Evaluate circles on the first structures.

    The first process takes the time; all of them share the circles.

    :param engine: what evaluates the model
    :param group: whose circles are taken
    :param data: all structures
    :param order: of preference
    :param settings: of the measurement
    :param clock: keeps the budget
    :param progress: called with the number of elements done
    :param processes: which share the work
    :return: what it brings, the same in all processes
    """
    processes = processes or Processes()
    far = max(FAR, settings.lambda_max + 4)

    def begin() -> tuple[Pilot, int | None]:
        first = data[order[0]].structure
        one = time_of_one(engine, first, clock, settings.memory, progress)
        seconds = one / max(first.n_atoms, 1)
        if group.finite:
            return Pilot(seconds, 0), None
        if not group.has_circles:
            degree = _by_doubling(engine, group, first, settings, clock, one, progress)
            return Pilot(seconds, settings.lambda_max, degree=degree), None
        found = Pilot(seconds, settings.lambda_max)
        limits = far, settings.lambda_max
        return found, _affordable(group, seconds * first.n_atoms, limits, clock)

    pilot, limit = processes.from_first(begin)
    if limit is None:
        return pilot
    wanted = SPEAKERS if settings.estimator == "icosahedral" else PILOTS
    which = list(order[: wanted if limit == far else 1])
    mine = [which[i] for i in processes.mine(len(which))]
    own = _several_circles(
        engine, group, data, mine, limit, settings, clock, pilot.seconds, progress
    )
    several = processes.gather(own)

    def finish() -> Pilot:
        found = {i: part.circles[i] for i in which for part in several if i in part.circles}
        end = where_it_ends(list(found.values()), settings) if limit == far else limit
        seconds = max(part.seconds for part in several if part.circles)
        return Pilot(seconds, max(end, settings.lambda_max), found, limit=limit)

    return processes.from_first(finish)


def _several_circles(
    engine: Engine,
    group: Group,
    data: Sequence[LabelledStructure],
    which: Sequence[int],
    limit: int,
    settings: Settings,
    clock: Clock,
    seconds: float,
    progress: Callable[[int], object],
) -> Pilot:
    """Circles on the structures of one process, as long as there is time."""
    evaluations = CIRCLES * group.circle_size(limit)
    found: dict[int, Measured] = {}
    for index in which:
        structure = data[index].structure
        if found and seconds * structure.n_atoms * evaluations > SHARE * clock.left:
            break
        started = time.perf_counter()
        found[index] = _circles(engine, group, structure, limit, settings, index, progress)
        spent = (time.perf_counter() - started) / evaluations / structure.n_atoms
        seconds = spent if len(found) == 1 else max(seconds, spent)
    return Pilot(seconds, limit, found)


def _by_doubling(
    engine: Engine,
    group: Group,
    structure: Prepared,
    settings: Settings,
    clock: Clock,
    seconds: float,
    progress: Callable[[int], object],
) -> int:
    """Degree of a set beyond whose band next to nothing lies, on one structure.

    Begins where three times λmax is resolved, and looks at the top quarter of the band.
    """
    given = "max_degree" in settings.model_fields_set
    most = settings.max_degree if given else MOST_ANGLES
    largest = max((block.irrep.degree for block in engine.blocks), default=0)
    degree = min(max(2 * FAR, 3 * settings.lambda_max, 4 * largest), most)
    while settings.degree is None:
        points = group.exact(degree)
        if seconds * points.size > SHARE * clock.left:
            return min(max(2 * settings.lambda_max, FIRST_GRID), degree)
        found = measure_structure(
            engine, structure, points.orbit(0, group.frame(settings.seed)), engine.blocks,
            engine.probes, group=group, equivariance=False, memory=settings.memory,
            seed=settings.seed, progress=progress,
        )  # fmt: skip
        powers = [spectrum.powers for spectrum in found.spectra.values()]
        shares = [p.tail / float(p.norm2.mean()) for p in powers if p.norm2.mean() > 0]
        if max(shares, default=0.0) < GONE * settings.tolerance or degree == most:
            break
        degree = min(2 * degree, most)
    return degree


def _affordable(
    group: Group, seconds: float, limits: Sequence[int], clock: Clock
) -> int | None:
    """First degree to which two circles may look, None if there is no time for any."""
    for limit in limits:
        if seconds * CIRCLES * group.circle_size(limit) <= SHARE * clock.left:
            return limit
    return None


def _circles(
    engine: Engine,
    group: Group,
    structure: Prepared,
    limit: int,
    settings: Settings,
    index: int,
    progress: Callable[[int], object],
) -> Measured:
    """Two circles on one structure."""
    circles = group.circles(CIRCLES, limit, settings.seed + index)
    assert circles is not None  # only a finite group has none
    found = measure_structure(
        engine,
        structure,
        circles,
        engine.blocks,
        engine.probes,
        group=group,
        asymmetry=True,
        memory=settings.memory,
        seed=settings.seed + index,
        progress=progress,
    )
    found.along(None)
    return found


def time_of_one(
    engine: Engine,
    structure: Prepared,
    clock: Clock,
    memory: int,
    progress: Callable[[int], object],
) -> float:
    """Time an evaluation, then as many at once as a sweep takes, where that is cheap.

    :param engine: what evaluates the model
    :param structure: prepared by it
    :param clock: keeps the budget
    :param memory: budget of one evaluation, in bytes
    :param progress: called with the number of elements done
    :return: seconds for each
    """
    count = 1
    seconds = 0.0
    for _ in range(2):
        matrices = torch.eye(3, dtype=torch.float64).repeat(count, 1, 1)
        started = time.perf_counter()
        engine.evaluate(structure, matrices, engine.blocks, engine.probes)
        seconds = (time.perf_counter() - started) / count
        progress(count)
        if seconds > VERY_SLOW * clock.left:
            break
        # the first one may have compiled or loaded something
        most = int(min(SLOW * clock.left / max(seconds, 1e-9), MANY))
        count = max(1, min(chunk_size(engine, structure, engine.probes, memory), most))
    return seconds


def where_it_ends(found: Sequence[Measured], settings: Settings) -> int:
    """Smallest λ beyond which next to nothing is left of any probe.

    :param found: from circles
    :param settings: for λmax and the tolerance
    :return: λ, at least λmax + 1
    """
    ends = settings.lambda_max + 1
    for tails in _tails(found).values():
        left = [i for i, share in enumerate(tails) if share > GONE * settings.tolerance]
        ends = max(ends, (left[-1] + 1) if left else 0)
    limits = [
        spectrum.powers.limit
        for measured in found
        for spectrum in measured.spectra.values()
    ]
    return min(ends, max(limits, default=ends))


def _tails(found: Sequence[Measured]) -> dict[object, list[float]]:
    """For each probe the share beyond each λ, averaged over structures."""
    sums: dict[object, torch.Tensor] = {}
    norms: dict[object, float] = {}
    for measured in found:
        for key, spectrum in measured.spectra.items():
            powers = spectrum.powers.by_degree()
            norm = spectrum.powers.norm2.mean()
            tail = (norm - powers.cumsum(0)) / spectrum.n_samples
            known = sums.get(key)
            if known is not None:
                size = min(len(known), len(tail))
                tail = known[:size] + tail[:size]
            sums[key] = tail
            norms[key] = norms.get(key, 0.0) + float(norm) / spectrum.n_samples
    return {k: (t / norms[k]).tolist() for k, t in sums.items() if norms[k] > 0}


def wanted_degree(
    group: Group,
    found: Sequence[Measured],
    settings: Settings,
    lowest: int,
    affordable: int,
) -> int:
    """Smallest degree of a grid that folds back next to nothing.

    :param group: whose grids they are
    :param found: from circles of the pilot
    :param settings: for λmax, tolerance and the largest degree
    :param lowest: where to begin
    :param affordable: evaluations on one structure that may be spent
    :return: the degree
    """
    degree = max(lowest, FIRST_GRID)
    spectra = [s for measured in found for s in measured.spectra.values()]
    while degree + 2 <= settings.max_degree:
        if group.exact(degree + 2).size > affordable:
            break
        limit = min(settings.lambda_max, degree // 2)
        worst = 0.0
        for spectrum in spectra:
            powers = spectrum.powers
            matrix = folding_matrix(group.exact(degree), limit, powers.limit)
            folded = float((matrix @ powers.powers.mean(dim=0).numpy()).sum())
            norm = float(powers.norm2.mean())
            worst = max(worst, folded / norm if norm > 0 else 0.0)
        if worst < settings.tolerance / 10:
            break
        degree += 2
    return degree
