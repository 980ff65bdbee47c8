"""Structures and their targets: read, checked, converted to the units of a model."""

from .labelled import LabelledStructure, Targets, labelled
from .lazy import LazyStructures
from .systems import read_systems


__all__ = [
    "LabelledStructure",
    "LazyStructures",
    "Targets",
    "labelled",
    "read_systems",
]
