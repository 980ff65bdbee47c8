"""Character projections B of the outputs, before and after, by the room ``measure``."""

from collections.abc import Sequence

import pandas as pd

from ..groups import O3Grid, irreps_up_to
from ..measure.combine import spectra_of
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
    found = [
        measure_structure(
            engine, structure, grid, blocks, [], equivariance=False, memory=memory
        )
        for structure in structures
    ]
    irreps = irreps_up_to(grid.lambda_max)
    shares = spectra_of(blocks, found, [None] * len(found), irreps)
    return characters_table(shares, irreps, lambda probe: "", 1e-3)
