"""Structures and their targets: read, checked, converted to the units of a model."""

from .lazy import LazyStructures
from .systems import read_systems


__all__ = ["LazyStructures", "read_systems"]
