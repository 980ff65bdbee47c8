"""A name for :mod:`metatrain_symmetry.pet_ssh.trainer`."""

from metatrain_symmetry.pet_ssh.trainer import Trainer


__all__ = ["Trainer"]
