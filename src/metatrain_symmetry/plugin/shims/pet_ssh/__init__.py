"""``metatrain.pet_ssh``: a name for what lives in :mod:`metatrain_symmetry.pet_ssh`."""

from metatrain_symmetry.pet_ssh import (
    PetSSH,
    Trainer,
    __authors__,
    __capabilities__,
    __maintainers__,
    __model__,
    __trainer__,
)


__all__ = [
    "PetSSH",
    "Trainer",
    "__authors__",
    "__capabilities__",
    "__maintainers__",
    "__model__",
    "__trainer__",
]
