"""A name for :mod:`metatrain_symmetry.pet_ssh.checkpoints`."""

from metatrain_symmetry.pet_ssh.checkpoints import *  # noqa: F403
