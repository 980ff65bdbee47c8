"""Character projections B of the outputs, before and after, by the room ``measure``."""

from collections.abc import Sequence

import pandas as pd

from ..groups import O3Grid, irreps_up_to
from ..measure.combine import Share, combine
from ..measure.resolver import Spectrum
from ..measure.structure import measure_structure
from ..measure.tables import characters_table
from ..models import Block, Engine, Prepared


def output_spectra(
    engine: Engine,
    structures: Sequence[Prepared],
    blocks: list[Block],
    grid: O3Grid,
    memory: int,
) -> pd.DataFrame:
    """Measure the spectra of some outputs.

    :param engine: of the model
    :param structures: prepared by it
    :param blocks: outputs
    :param grid: exact grid
    :param memory: budget of one evaluation, in bytes
    :return: rows as those of a report's ``characters``
    """
    spectra: dict[Block, list[Spectrum | None]] = {block: [] for block in blocks}
    for structure in structures:
        found = measure_structure(
            engine, structure, grid, blocks, [], equivariance=False, memory=memory
        ).spectra
        for block in blocks:
            spectra[block].append(found.get(block))
    irreps = irreps_up_to(grid.lambda_max)
    shares: dict[Block | str, list[Share]] = {}
    for block, several in spectra.items():
        if any(one is not None for one in several):
            rows = combine(several, [None] * len(several), irreps)
            if rows:
                shares[block] = rows
    return characters_table(shares, lambda probe: "", 1e-3)
