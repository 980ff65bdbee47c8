"""Watches a training: schedule, budget, files, Weights & Biases. No mathematics."""

from .monitor import Monitor
from .options import SymmetryHypers, complete


__all__ = ["Monitor", "SymmetryHypers", "complete"]
