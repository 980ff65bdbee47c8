"""torch-geometric, imported first, replaces functions that metatensor compiles."""

import subprocess
import sys


FIRST = """
import sys, types, typing
import torch

def _new(input: torch.Tensor, dim: typing.Union[int, str], index: torch.Tensor):
    return geometric._old_index_select(input, dim, index)

geometric = types.ModuleType("torch_geometric.hash_tensor")
geometric._old_index_select = torch.index_select
sys.modules[geometric.__name__] = geometric
torch.index_select = _new
assert "metatensor.torch" not in sys.modules
"""
THEN = """
from metatrain_symmetry import PointCloudEngine
assert torch.index_select is _new
engine = PointCloudEngine(torch.nn.Linear(3, 2))
engine.prepare(torch.eye(3))
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_metatensor_comes_with_functions_of_torch():
    done = run(FIRST + THEN)
    assert done.returncode == 0, done.stderr
    # what would happen otherwise
    failed = run(FIRST + "import metatensor.torch")
    assert failed.returncode != 0
    assert "_new" in failed.stderr
