"""Groups, irreps, orbits, characters. Knows no model and no structure."""

from .axial import O2, SO2, Angles, AxialIrrep, MirrorIrrep
from .base import AnyIrrep, Group, Orbit, PointSet, Powers, Transform
from .circles import Circles
from .design import GroupOrbit, GroupPoints
from .finite import FiniteGroup, NamedIrrep, octahedral_group
from .frames import Frame, random_frame
from .grid import GridPoints, O3Grid
from .irreps import Irrep, irreps_up_to
from .mixing import mixing
from .named import NamedGroup, group_by_name, group_names, named_group
from .o3 import O3
from .sketch import Sketch
from .so3 import SO3, RotationIrrep
from .wigner import representation, small_d


__all__ = [
    "O2",
    "O3",
    "SO2",
    "SO3",
    "Angles",
    "AnyIrrep",
    "AxialIrrep",
    "Circles",
    "FiniteGroup",
    "Frame",
    "GridPoints",
    "Group",
    "GroupOrbit",
    "GroupPoints",
    "Irrep",
    "MirrorIrrep",
    "NamedGroup",
    "NamedIrrep",
    "O3Grid",
    "Orbit",
    "PointSet",
    "Powers",
    "RotationIrrep",
    "Sketch",
    "Transform",
    "group_by_name",
    "group_names",
    "irreps_up_to",
    "mixing",
    "named_group",
    "octahedral_group",
    "random_frame",
    "representation",
    "small_d",
]
