"""Has my unconstrained atomistic model learned the symmetry of physics?

A plugin of metatrain. This file stays trivial: ``import torch`` loads it (see
:mod:`metatrain_symmetry.plugin.hook`), so nothing here may import anything.
"""

__version__ = "0.1.0"
