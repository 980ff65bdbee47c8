"""Irreps, orbit grids, characters, spectra. Knows no model and no structure."""

from .circles import Circles
from .design import GroupOrbit, icosahedral_orbit
from .finite import FiniteGroup, octahedral_group
from .grid import O3Grid
from .irreps import AnyIrrep, Irrep, irreps_up_to
from .mixing import mixing
from .orbit import Frame, Orbit, Powers, Transform, random_frame
from .sketch import Sketch
from .wigner import representation, small_d


__all__ = [
    "AnyIrrep",
    "Circles",
    "FiniteGroup",
    "Frame",
    "GroupOrbit",
    "Irrep",
    "O3Grid",
    "Orbit",
    "Powers",
    "Sketch",
    "Transform",
    "icosahedral_orbit",
    "irreps_up_to",
    "mixing",
    "octahedral_group",
    "random_frame",
    "representation",
    "small_d",
]
