"""Evaluates a model on rotated structures: engines and layer probes. Knows no metric."""

from typing import TYPE_CHECKING, Any

from .engine import Block, Engine, Prepared, Values
from .sweep import sweep


if TYPE_CHECKING:
    from .ase_calculator import CalculatorEngine
    from .function import FunctionEngine
    from .loading import open_engine, usual_probes
    from .metatomic import MetatomicEngine
    from .pet.engine import PETEngine
    from .pet.probes import GROUPS, group_of
    from .point_cloud import PointCloudEngine

__all__ = [
    "GROUPS",
    "Block",
    "CalculatorEngine",
    "Engine",
    "FunctionEngine",
    "MetatomicEngine",
    "PETEngine",
    "PointCloudEngine",
    "Prepared",
    "Values",
    "group_of",
    "open_engine",
    "sweep",
    "usual_probes",
]

# where a name is defined; metatrain is imported when one of these is first asked for
_HOMES = {
    "CalculatorEngine": "ase_calculator",
    "FunctionEngine": "function",
    "MetatomicEngine": "metatomic",
    "PETEngine": "pet.engine",
    "PointCloudEngine": "point_cloud",
    "GROUPS": "pet.probes",
    "group_of": "pet.probes",
    "open_engine": "loading",
    "usual_probes": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
