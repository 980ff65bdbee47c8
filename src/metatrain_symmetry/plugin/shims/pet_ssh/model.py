"""A name for :mod:`metatrain_symmetry.pet_ssh.model`."""

from metatrain_symmetry.pet_ssh.model import PetSSH


__all__ = ["PetSSH"]
