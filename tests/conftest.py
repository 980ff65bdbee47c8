"""Settings of every test."""

import sys
from pathlib import Path

import torch


# what the tests of the architecture share, importable by name
sys.path.insert(0, str(Path(__file__).parent / "pet_ssh"))

# with more threads than idle cores torch is up to thirty times slower
torch.set_num_threads(1)
