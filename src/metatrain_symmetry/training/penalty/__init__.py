"""The penalty on asymmetry: copies of a structure share a batch, and should agree."""

from .options import PenaltyHypers, check_batch, complete
from .schedule import Schedule
from .session import penalised


__all__ = ["PenaltyHypers", "Schedule", "check_batch", "complete", "penalised"]
