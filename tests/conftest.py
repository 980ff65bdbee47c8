"""Settings of every test."""

import os
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch


# what tests of several rooms share, importable by name
for folder in (".", "models", "pet_ssh", "report"):
    sys.path.insert(0, str(Path(__file__).parent / folder))

DRAWN = ("report", "studies", "test_benchmark_polish", "test_purify_choice")
"""Folders and modules of tests whose figures are drawn."""

# with more threads than idle cores torch is up to thirty times slower, in commands too
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def no_optimisation():
    """TorchScript takes seconds to make a graph fast that a test evaluates a few times."""
    with torch.jit.optimized_execution(False):
        yield


@pytest.fixture(autouse=True)
def seeded():
    """Torch's generator begins each test alike, whatever ran before in its process."""
    torch.manual_seed(0)


@pytest.fixture(scope="module", autouse=True)
def figures(request):
    """Blank, except in tests that look at them."""
    from commands import blank

    draws = request.path.parent.name in DRAWN or request.path.stem in DRAWN
    with nullcontext() if draws else blank():
        yield
