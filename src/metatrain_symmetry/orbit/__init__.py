"""Evaluates a model on an orbit: engines and layer probes. Knows no metric."""

from typing import TYPE_CHECKING, Any

from .engine import Block, Engine, Prepared, Values
from .sweep import sweep


if TYPE_CHECKING:
    from .function import FunctionEngine
    from .loading import open_engine, read_systems
    from .model import ModelEngine
    from .pet import PETEngine
    from .probes import GROUPS, group_of

__all__ = [
    "GROUPS",
    "Block",
    "Engine",
    "FunctionEngine",
    "ModelEngine",
    "PETEngine",
    "Prepared",
    "Values",
    "group_of",
    "open_engine",
    "read_systems",
    "sweep",
]

# where a name is defined; metatrain is imported when one of these is first asked for
_HOMES = {
    "FunctionEngine": "function",
    "ModelEngine": "model",
    "PETEngine": "pet",
    "GROUPS": "probes",
    "group_of": "probes",
    "open_engine": "loading",
    "read_systems": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
