"""The model: PET with another edge embedder, everything else inherited."""

from typing import Any, Dict, Literal, Optional

from metatomic.torch import ModelMetadata
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.hypers import raise_if_hypers_mismatch

from . import checkpoints
from .documentation import ModelHypers, complete_options
from .modules.geometry_embedding import GeometryEmbedding
from .options import check_range


class PetSSH(PET):
    """PET with solid-spherical-harmonics geometry embeddings (arXiv:2603.24638).

    With ``geometry_embedding.l_max`` null it is PET: same parameters, same numbers.

    :param hypers: hyperparameters of PET and ``geometry_embedding``.
    :param dataset_info: atomic types, targets and units of the data set.
    :raises ValueError: if a ``geometry_embedding`` option is out of range.
    """

    __checkpoint_version__ = checkpoints.MODEL_VERSION
    __default_metadata__ = ModelMetadata(
        references={
            "architecture": [
                "https://arxiv.org/abs/2305.19302v3",
                "https://arxiv.org/abs/2603.24638",
            ]
        }
    )

    def __init__(self, hypers: ModelHypers, dataset_info: DatasetInfo) -> None:
        super().__init__(hypers, dataset_info)
        options = complete_options(self.hypers["geometry_embedding"])
        if options["l_max"] is None:
            return
        check_range(options, self.cutoff)
        for layer in self.backend.gnn_layers:
            layer.edge_embedder = GeometryEmbedding(self.d_pet, **options)

    def restart(
        self, dataset_info: DatasetInfo, model_hypers: Optional[Dict[str, Any]] = None
    ) -> "PetSSH":
        """Continue with the same hyperparameters, perhaps on other data or targets.

        :param dataset_info: the new data set.
        :param model_hypers: the hyperparameters asked for, if any; they must agree.
        :return: this model.
        :raises ValueError: if they do not agree, or if there are new atomic types.
        """
        if model_hypers is not None:
            defaults = get_default_hypers("pet_ssh")["model"]
            raise_if_hypers_mismatch(self.hypers, model_hypers, default_hypers=defaults)
        return super().restart(dataset_info)

    def get_checkpoint(self) -> Dict[str, Any]:
        """PET's checkpoint, under our name.

        :return: everything that :meth:`load_checkpoint` needs.
        """
        checkpoint = super().get_checkpoint()
        checkpoint["architecture_name"] = "pet_ssh"
        return checkpoint

    @classmethod
    def load_checkpoint(
        cls,
        checkpoint: Dict[str, Any],
        context: Literal["restart", "finetune", "export"],
    ) -> "PetSSH":
        """Build the model of a checkpoint, of ours or of a plain PET.

        :param checkpoint: checkpoint of the current version.
        :param context: what it is loaded for; see metatrain's ``ModelInterface``.
        :return: the model.
        """
        hypers = checkpoint["model_data"]["model_hypers"]
        if "geometry_embedding" not in hypers:
            hypers["geometry_embedding"] = complete_options({"l_max": None})
        return super().load_checkpoint(checkpoint, context)

    @classmethod
    def upgrade_checkpoint(cls, checkpoint: Dict[str, Any]) -> Dict[str, Any]:
        """Bring a checkpoint to the current version.

        :param checkpoint: checkpoint of an older version, or of a plain PET.
        :return: the upgraded checkpoint.
        :raises RuntimeError: if its version is unknown.
        """
        return checkpoints.upgrade(
            checkpoint,
            "model_ckpt_version",
            cls.__checkpoint_version__,
            PET.upgrade_checkpoint,
        )
