"""Has my unconstrained atomistic model learned the symmetry of physics?

A plugin of metatrain. Everything public is here: ``dir(metatrain_symmetry)``.

``import torch`` loads this file (see :mod:`metatrain_symmetry.plugin.hook`), so that it
uses the standard library only, and imports what is public when it is asked for. Where
torch's entry points are switched off with ``TORCH_DEVICE_BACKEND_AUTOLOAD=0``, importing it
before metatrain does the same.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .plugin.geometric import import_metatensor_first
from .plugin.hook import install


if TYPE_CHECKING:
    from .api.equivariance import assert_equivariant, equivariance_error
    from .api.purify_checkpoint import purify_checkpoint
    from .api.symmetrize_model import symmetrize_model
    from .api.symmetry_report import symmetry_report
    from .api.verdict import symmetry_verdict
    from .data.labelled import LabelledStructure
    from .data.systems import read_systems
    from .groups import (
        O2,
        O3,
        SO2,
        SO3,
        FiniteGroup,
        Group,
        Irrep,
        group_by_name,
        octahedral_group,
    )
    from .measure.analysis import analyze
    from .measure.results import Report
    from .measure.series import Series
    from .measure.settings import Settings
    from .measure.verdict import Verdict
    from .models.ase_calculator import CalculatorEngine
    from .models.engine import Block, Engine, Prepared, Values
    from .models.function import FunctionEngine
    from .models.loading import open_engine
    from .models.metatomic import MetatomicEngine
    from .models.pet.engine import PETEngine
    from .models.point_cloud import PointCloudEngine
    from .models.points.cloud import PointCloud
    from .models.points.output import Output
    from .pet_ssh.convert import convert_pet_checkpoint
    from .pet_ssh.upgrade import upgrade_pet_checkpoint
    from .purify.classifier import PurifiedClassifier, purify_classifier
    from .purify.run import Purified
    from .symmetrise.calculator import SymmetrizedCalculator
    from .symmetrise.projection import ProjectedCalculator
    from .symmetrise.symmetry import Symmetry, find_symmetry, refine_symmetry
    from .training.monitor import Monitor

__version__ = "0.2.0"

__all__ = [
    "O2",
    "O3",
    "SO2",
    "SO3",
    "Block",
    "CalculatorEngine",
    "Engine",
    "FiniteGroup",
    "FunctionEngine",
    "Group",
    "Irrep",
    "LabelledStructure",
    "MetatomicEngine",
    "Monitor",
    "Output",
    "PETEngine",
    "PointCloud",
    "PointCloudEngine",
    "Prepared",
    "ProjectedCalculator",
    "Purified",
    "PurifiedClassifier",
    "Report",
    "Series",
    "Settings",
    "SymmetrizedCalculator",
    "Symmetry",
    "Values",
    "Verdict",
    "analyze",
    "assert_equivariant",
    "convert_pet_checkpoint",
    "equivariance_error",
    "find_symmetry",
    "group_by_name",
    "octahedral_group",
    "open_engine",
    "purify_checkpoint",
    "purify_classifier",
    "read_systems",
    "refine_symmetry",
    "symmetrize_model",
    "symmetry_report",
    "symmetry_verdict",
    "upgrade_pet_checkpoint",
]

# where each name is defined
_HOMES = {
    "O2": "groups.axial",
    "O3": "groups.o3",
    "SO2": "groups.axial",
    "SO3": "groups.so3",
    "Block": "models.engine",
    "CalculatorEngine": "models.ase_calculator",
    "Engine": "models.engine",
    "FiniteGroup": "groups.finite",
    "FunctionEngine": "models.function",
    "Group": "groups.base",
    "Irrep": "groups.irreps",
    "LabelledStructure": "data.labelled",
    "MetatomicEngine": "models.metatomic",
    "Monitor": "training.monitor",
    "Output": "models.points.output",
    "PETEngine": "models.pet.engine",
    "PointCloud": "models.points.cloud",
    "PointCloudEngine": "models.point_cloud",
    "Prepared": "models.engine",
    "ProjectedCalculator": "symmetrise.projection",
    "Purified": "purify.run",
    "PurifiedClassifier": "purify.classifier",
    "Report": "measure.results",
    "Series": "measure.series",
    "Settings": "measure.settings",
    "SymmetrizedCalculator": "symmetrise.calculator",
    "Symmetry": "symmetrise.symmetry",
    "Values": "models.engine",
    "Verdict": "measure.verdict",
    "analyze": "measure.analysis",
    "assert_equivariant": "api.equivariance",
    "convert_pet_checkpoint": "pet_ssh.convert",
    "equivariance_error": "api.equivariance",
    "find_symmetry": "symmetrise.symmetry",
    "group_by_name": "groups.named",
    "octahedral_group": "groups.finite",
    "open_engine": "models.loading",
    "purify_checkpoint": "api.purify_checkpoint",
    "purify_classifier": "purify.classifier",
    "read_systems": "data.systems",
    "refine_symmetry": "symmetrise.symmetry",
    "symmetrize_model": "api.symmetrize_model",
    "symmetry_report": "api.symmetry_report",
    "symmetry_verdict": "api.verdict",
    "upgrade_pet_checkpoint": "pet_ssh.upgrade",
}

install()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    import_metatensor_first()
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
