"""Settings of every test."""

import sys
from pathlib import Path

import torch


# what tests of several rooms share, importable by name
for folder in (".", "models", "pet_ssh", "report"):
    sys.path.insert(0, str(Path(__file__).parent / folder))

# with more threads than idle cores torch is up to thirty times slower
torch.set_num_threads(1)
