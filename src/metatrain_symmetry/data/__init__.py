"""Structures and their targets: read, checked, converted to the units of a model."""

from .given import GivenStructure
from .lazy import LazyStructures
from .read import read_structures
from .systems import read_systems


__all__ = ["GivenStructure", "LazyStructures", "read_structures", "read_systems"]
