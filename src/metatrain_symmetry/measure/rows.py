"""A, errors and the floor of rounding of every structure that was measured."""

from dataclasses import replace

from ..models.engine import Block
from .deviation import Deviation, refine
from .equivariance import Equivariance
from .folding import noise_of
from .resolver import Spectrum
from .row import Row
from .run import Run


def rows(run: Run) -> list[Row]:
    """Collect what is known of each structure and block.

    :param run: what was measured
    :return: one row for each structure and block
    """
    found = _equivariance(run)
    return [row for index in run.measured for row in _of_structure(run, index, found)]


Found = dict[tuple[int, Block], Equivariance]


def _of_structure(run: Run, index: int, found: Found) -> list[Row]:
    """All blocks of one structure."""
    given, trivial = run.given[index], run.group.irreps(0)[0]
    rows = []
    for block in run.engine.blocks:
        if (index, block) not in found:
            continue
        equivariance = found[index, block]
        difference = given.differences.get(block)
        averaged = None
        if difference is not None:
            averaged = difference + equivariance.mean - given.raw[block]
        invariant = trivial in run.group.contained(block.irrep)
        rows.append(
            Row(
                index,
                given.n_atoms,
                given.types,
                block,
                equivariance,
                difference,
                given.noise[block],
                invariant,
                averaged,
                given.sampling[block],
            )
        )
    return rows


def _equivariance(run: Run) -> Found:
    """A of every structure and block: from its set, or else from its circles."""
    found: Found = {}
    for block in run.engine.blocks:
        framed = [i for i, m in run.sets.items() if block in m.equivariance]
        several = _refined(run, block, framed)
        found |= {(i, block): one for i, one in zip(framed, several, strict=True)}
        for i, measured in run.circles.items():
            if (i, block) not in found and block in measured.equivariance:
                found[i, block] = measured.equivariance[block]
    return found


def _refined(run: Run, block: Block, which: list[int]) -> list[Equivariance]:
    """A from the sets of some structures, with what circles say of its error."""
    several = [run.sets[i].equivariance[block] for i in which]
    if run.group.finite:  # the average over it is exact
        return [replace(one, variance=0.0) for one in several]
    if not run.group.has_circles:
        spectra = [run.sets[i].asymmetry.get(block) for i in which]
        return [_bounded(one, s) for one, s in zip(several, spectra, strict=True)]
    sets = [run.tiers[i].points for i in which]
    # one for all structures with the same set
    made = {s: s.orbit(run.settings.lambda_max) for s in set(sets) if s is not None}
    orbits = [made[s] for s in sets if s is not None]
    return refine(several, [_deviation(run, i, block) for i in which], orbits)


def _bounded(found: Equivariance, spectrum: Spectrum | None) -> Equivariance:
    """A with an error bar from what may lie beyond the band of its set."""
    if spectrum is None:
        return found
    mean = float(spectrum.powers.powers[0, 0])
    return replace(found, variance=noise_of(spectrum.powers.tail, mean) ** 2)


def _deviation(run: Run, index: int, block: Block) -> Deviation | None:
    measured = run.circles.get(index)
    return None if measured is None else measured.deviations.get(block)
