"""The architecture ``pet_ssh``, laid out as metatrain lays out its own."""

from .convert import convert_pet_checkpoint
from .model import PetSSH
from .trainer import Trainer
from .upgrade import upgrade_pet_checkpoint


__all__ = ["PetSSH", "Trainer", "convert_pet_checkpoint", "upgrade_pet_checkpoint"]

__model__ = PetSSH
__trainer__ = Trainer
__capabilities__ = {
    "supported_devices": __model__.__supported_devices__,
    "supported_dtypes": __model__.__supported_dtypes__,
}

__authors__ = [("metatrain-symmetry developers", "")]
__maintainers__ = __authors__
