"""Has my unconstrained atomistic model learned the symmetry of physics?

A plugin of metatrain. ``import torch`` loads this file (see
:mod:`metatrain_symmetry.plugin.hook`), so it stays trivial; where that is switched off
with ``TORCH_DEVICE_BACKEND_AUTOLOAD=0``, importing it before metatrain does the same.
"""

from typing import Any

from .plugin.hook import install


__version__ = "0.2.0"

install()


def __getattr__(name: str) -> Any:
    """Import the public functions when they are asked for."""
    if name != "symmetry_report":
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from .api.symmetry_report import symmetry_report

    return symmetry_report
