"""How many rotations are needed: the A that is left after averaging over a set of them.

What a set leaves of each irrep is known (:mod:`.rotation_sets`); the powers of
``ε(g) = ρ(g)⁻¹ f(g x)`` come from the same evaluations as A. Low irreps are taken from the
point set of a structure, which separates (0,-) and other pseudo irreps from proper ones,
the others from its circles: see :mod:`.folding`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ..groups import Powers, irreps_up_to
from ..groups.base import AnyIrrep, folds
from ..models.engine import Block
from .averages import averages, vanishes
from .errors import Replicates, ratio
from .folding import Folding, Pair
from .labels import BLOCK, BlockKey
from .quadrature import folded_scalar
from .resolver import Spectrum
from .rotation_sets import RotationSet, rotation_sets
from .row import Row
from .run import Run
from .spectra_text import percent
from .statuses import ROUNDING


ROTATIONS = [
    *BLOCK, "set", "kind", "evaluations", "A_left", "A_left_err", "unit", "share",
    "share_err", "structures",
]  # fmt: skip

MARGIN = 8
"""Degrees beyond those of the circles over which a set is looked at for what it leaves."""


LITTLE = 0.2
"""A left over A that counts as little."""


def rotations_table(
    run: Run, rows: Sequence[Row], equivariance: pd.DataFrame
) -> pd.DataFrame:
    """Predict what averages over sets of rotations leave of A.

    :param run: what was measured
    :param rows: of every structure and block
    :param equivariance: as in :class:`~metatrain_symmetry.measure.results.Report`
    :return: one row per block and set, see the same; none for another group than O(3), for
        blocks that are equivariant within rounding, and where nothing is known of the
        powers of ε
    """
    entries = []
    blocks = {str(BlockKey(b.target, b.detail, b.irrep)): b for b in run.engine.blocks}
    for entry in averages(equivariance) if run.group.orientations else []:
        key = BlockKey.of(entry)
        # a floor that is not known, NaN, hides nothing
        if vanishes(entry) or entry["A"] <= ROUNDING * max(entry["noise"], 0.0):
            continue
        pairs = _pairs(run, rows, blocks[str(key)])
        if not pairs:
            continue
        found = Asymmetries(pairs, max(len(run.data), len(pairs)))
        for points in rotation_sets():
            left = _left(entry["A"], entry["A_stderr"], *found.left_by(points))
            values = {
                "set": points.name,
                "kind": points.kind,
                "evaluations": points.evaluations,
                "unit": entry["unit"],
                "structures": len(pairs),
            }
            entries.append({**key.columns, **values, **left})
    return pd.DataFrame(entries, columns=ROTATIONS)


def _left(A: float, A_stderr: float, share: float, stderr: float) -> dict[str, float]:
    """A that is left, with an error bar that reaches up to where it may lie."""
    left = A * max(share, 0.0) ** 0.5
    from_share = A * (max(share, 0.0) + stderr) ** 0.5 - left
    return {
        "share": share,
        "share_err": stderr,
        "A_left": left,
        "A_left_err": float(np.hypot(from_share, left / A * A_stderr)),
    }


def _pairs(run: Run, rows: Sequence[Row], block: Block) -> list[Pair]:
    """Powers of ε of each structure: from its set if it has one, and from circles."""
    found: list[Pair] = []
    for row in rows:
        circles = run.circles.get(row.index)
        if row.block != block or circles is None or block not in circles.asymmetry:
            continue
        of_circles = circles.asymmetry[block]
        on_set = run.sets.get(row.index)
        of_set = None if on_set is None else on_set.asymmetry.get(block)
        # as averages over structures weigh them
        weight = len(row.found.squared) * row.scale**2
        pair = (of_set and _deviations(of_set, weight, of_circles.powers),
                _deviations(of_circles, weight))  # fmt: skip
        found.append(pair)
    return found


def _deviations(
    spectrum: Spectrum, weight: float, circles: Powers | None = None
) -> Spectrum:
    """The same without the mean, (0,+): its squared norm is A² then.

    :param spectrum: of ε about any constant
    :param weight: of the structure
    :param circles: powers that say what a set folds back into (0,+)
    :return: per unit of weight
    """
    powers = spectrum.powers
    mean = powers.powers[:, 0]
    if circles is not None and folds(spectrum.orbit):
        mean = mean - folded_scalar(circles, spectrum.orbit)
    kept = powers.powers.clone()
    kept[:, 0] = 0.0
    squares = spectrum.squares
    if squares is not None:  # of |ε|², the square of what the others are
        squares = Powers(
            squares.irreps, squares.powers * weight**2, squares.norm2 * weight**2
        )
    found = Powers(powers.irreps, kept * weight, (powers.norm2 - mean) * weight)
    return replace(spectrum, powers=found, n_samples=1, squares=squares)


def sentence(table: pd.DataFrame, key: BlockKey) -> str:
    """Say which set of rotations leaves little of A.

    :param table: of :func:`rotations_table`
    :param key: an output block
    :return: about the group with the fewest evaluations that leaves little, two error bars
        included; empty if none does, or nothing is known
    """
    if not len(table):
        return ""
    own = (table[BLOCK] == pd.Series(key.columns)).all(axis=1)
    rows = table[own & (table.kind == "group")].sort_values(["evaluations", "share"])
    enough = rows[(rows.share + 2 * rows.share_err) ** 0.5 <= LITTLE]
    if not len(enough):
        return ""
    best = enough.iloc[0]
    most = max(float(best.share + 2 * best.share_err), 0.0) ** 0.5
    return (
        f"Of the groups of rotations, {best['set']} is the smallest that leaves less than "
        f"{percent(LITTLE)} of A: at most {percent(most)} with {best.evaluations} "
        "evaluations, on average over its orientations."
    )


class Asymmetries:
    """Powers of ε of some structures, without its mean.

    :param pairs: for each structure from its set, if it has one, and from circles
    :param population: number of structures of which these are a random choice, if more
    """

    def __init__(self, pairs: Sequence[Pair], population: int) -> None:
        self.circles = [circles for _, circles in pairs if circles is not None]
        self.population = population
        self.of_sets = self._choose(pairs)

    def _choose(self, pairs: Sequence[Pair]) -> dict[AnyIrrep, tuple[float, float]]:
        """Share and error of irreps that the sets know better than circles do."""
        sets = [of_set for of_set, _ in pairs if of_set is not None]
        if len(sets) < len(pairs):
            return {}
        folding = Folding(pairs)
        found: dict[AnyIrrep, tuple[float, float]] = {}
        for irrep in irreps_up_to(min(one.powers.limit for one in sets))[1:]:
            from_set = folding.ratio(irrep, pairs, self.population)
            mask: dict[AnyIrrep, float] = {irrep: 1.0}
            from_circles = ratio([_sum(c, mask) for c in self.circles], self.population)
            if not from_set[1] > from_circles[1]:
                found[irrep] = from_set
        return found

    def left_by(self, points: RotationSet) -> tuple[float, float]:
        """Share of A² that an average over a set leaves, on average over its frames.

        :param points: the set
        :return: the share and its standard error
        """
        if points.kind in ("none", "random"):  # whatever the irrep
            return 1 / points.evaluations, 0.0
        share = variance = 0.0
        limit = max(circles.powers.limit for circles in self.circles)
        every = points.kept(limit + MARGIN)
        kept: dict[AnyIrrep, float] = dict(
            zip(irreps_up_to(limit + MARGIN), every.tolist(), strict=True)
        )
        for irrep, (value, error) in self.of_sets.items():
            share += kept[irrep] * value
            variance += (kept.pop(irrep) * error) ** 2
        beyond = every[-2 * MARGIN :]
        middle, spread = (beyond.max() + beyond.min()) / 2, np.ptp(beyond) / 2
        parts = [_sum(c, kept, middle) for c in self.circles]
        value, error = ratio(parts, self.population)
        rest, _ = ratio([_sum(c, {}, 1.0) for c in self.circles], self.population)
        return share + value, float(np.hypot(variance**0.5, error) + spread * abs(rest))


def _sum(circles: Spectrum, kept: dict[AnyIrrep, float], beyond: float = 0.0) -> Replicates:
    """Weighted sum of powers, circle by circle.

    :param circles: of a structure
    :param kept: weight of each irrep, zero for those that are missing
    :param beyond: weight of what lies beyond the irreps of the circles
    """
    powers = circles.powers
    weights = np.array([kept.get(irrep, 0.0) for irrep in powers.irreps])
    values, norms = powers.powers.numpy(), powers.norm2.numpy()
    rest = norms - values.sum(axis=1)
    noise = float("nan") if len(norms) == 1 else 0.0
    return Replicates(values @ weights + beyond * rest, norms, noise)
