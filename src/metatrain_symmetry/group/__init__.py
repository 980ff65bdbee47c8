"""Irreps, orbit grids, characters, spectra. Knows no model and no structure."""

from .circles import Circles
from .finite import FiniteGroup, octahedral_group
from .grid import O3Grid
from .irreps import AnyIrrep, Irrep, irreps_up_to
from .orbit import Orbit, Powers, Transform
from .sketch import Sketch
from .wigner import representation, small_d


__all__ = [
    "AnyIrrep",
    "Circles",
    "FiniteGroup",
    "Irrep",
    "O3Grid",
    "Orbit",
    "Powers",
    "Sketch",
    "Transform",
    "irreps_up_to",
    "octahedral_group",
    "representation",
    "small_d",
]
