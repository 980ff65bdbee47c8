"""Lets metatensor be imported after torch-geometric, whose functions TorchScript refuses.

torch-geometric replaces ``torch.index_select`` and ``torch.select`` by functions of Python,
and metatensor compiles functions that use the former when it is imported.
"""

import sys
from importlib import import_module


REPLACED = ("index_select", "select")
"""Functions of torch; torch-geometric keeps them under the same names with ``_old_``."""


def import_metatensor_first() -> None:
    """Import metatensor with torch's own functions, if torch-geometric was there before.

    Does nothing where torch-geometric is not loaded, or metatensor is.
    """
    geometric = sys.modules.get("torch_geometric.hash_tensor")
    if geometric is None or "metatensor.torch" in sys.modules:
        return
    torch = import_module("torch")
    replaced = {
        name: getattr(torch, name)
        for name in REPLACED
        if hasattr(geometric, f"_old_{name}")
    }
    try:
        for name in replaced:
            setattr(torch, name, getattr(geometric, f"_old_{name}"))
        import_module("metatomic.torch")
    finally:
        for name, function in replaced.items():
            setattr(torch, name, function)
