"""Structures and their targets: read, checked, converted to the units of a model."""

from .given import GivenStructure
from .labelled import LabelledStructure, Targets, labelled
from .lazy import LazyStructures
from .read import read_structures
from .systems import read_systems


__all__ = [
    "GivenStructure",
    "LabelledStructure",
    "LazyStructures",
    "Targets",
    "labelled",
    "read_structures",
    "read_systems",
]
