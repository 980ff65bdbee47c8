"""Groups, irreps, orbits, characters. Knows no model and no structure."""

from .base import AnyIrrep, Group, Orbit, PointSet, Powers, Transform
from .circles import Circles
from .design import GroupOrbit, GroupPoints
from .finite import FiniteGroup, NamedIrrep, octahedral_group
from .frames import Frame, random_frame
from .grid import GridPoints, O3Grid
from .irreps import Irrep, irreps_up_to
from .mixing import mixing
from .named import NamedGroup, group_names, named_group
from .o3 import O3
from .sketch import Sketch
from .wigner import representation, small_d


__all__ = [
    "O3",
    "AnyIrrep",
    "Circles",
    "FiniteGroup",
    "Frame",
    "GridPoints",
    "Group",
    "GroupOrbit",
    "GroupPoints",
    "Irrep",
    "NamedGroup",
    "NamedIrrep",
    "O3Grid",
    "Orbit",
    "PointSet",
    "Powers",
    "Sketch",
    "Transform",
    "group_names",
    "irreps_up_to",
    "mixing",
    "named_group",
    "octahedral_group",
    "random_frame",
    "representation",
    "small_d",
]
