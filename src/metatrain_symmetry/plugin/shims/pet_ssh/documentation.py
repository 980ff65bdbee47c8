"""A name for :mod:`metatrain_symmetry.pet_ssh.documentation`."""

from metatrain_symmetry.pet_ssh import documentation
from metatrain_symmetry.pet_ssh.documentation import ModelHypers, TrainerHypers


__all__ = ["ModelHypers", "TrainerHypers"]
__doc__ = documentation.__doc__
