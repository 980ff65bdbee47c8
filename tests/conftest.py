"""Settings of every test."""

import os
import sys
from pathlib import Path

import pytest
import torch


# what tests of several rooms share, importable by name
for folder in (".", "models", "pet_ssh", "report"):
    sys.path.insert(0, str(Path(__file__).parent / folder))

# with more threads than idle cores torch is up to thirty times slower, in commands too
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def no_optimisation():
    """TorchScript takes seconds to make a graph fast that a test evaluates a few times."""
    with torch.jit.optimized_execution(False):
        yield
