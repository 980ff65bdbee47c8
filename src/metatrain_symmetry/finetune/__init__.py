"""Symmetry fine-tuning: the penalty of a training, applied to a model that is trained.

Needs no label that the model was not trained on: where there is none, the model's own mean
over orientations is the target.
"""

from .options import FinetuneHypers
from .run import Finetuned, finetune


__all__ = ["FinetuneHypers", "Finetuned", "finetune"]
