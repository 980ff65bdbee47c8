"""The plugin in processes of their own, where the order of imports counts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_contacts import FUNCTIONS


def run(
    *command: str, cwd: Path, autoload: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, where the order of imports counts."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    environment.update(
        OMP_NUM_THREADS="1", TORCH_DEVICE_BACKEND_AUTOLOAD=str(int(autoload))
    )
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )


COMPLETE = f"""
import importlib, sys
from importlib.util import find_spec
for module, name in {FUNCTIONS}:
    module = importlib.import_module("metatrain." + module)
    assert hasattr(getattr(module, name), "_metatrain_symmetry"), (module, name)
    assert type(module) is type(sys), module
assert find_spec("metatrain.pet_ssh") is not None
"""


@pytest.mark.parametrize(
    "first",
    [
        "import torch",
        "import metatrain",
        # these two run `import torch` before they define what we replace
        "from metatrain.cli.train import train_model\n"
        "assert hasattr(train_model, '_metatrain_symmetry')",
        "import metatrain.cli.export",
    ],
)
def test_any_order_of_imports(first: str, tmp_path: Path) -> None:
    result = run(sys.executable, "-c", first + COMPLETE, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "could not extend" not in result.stderr


def test_import_of_the_package_is_a_door(tmp_path: Path) -> None:
    first = "import metatrain_symmetry"
    result = run(sys.executable, "-c", first + COMPLETE, cwd=tmp_path, autoload=False)
    assert result.returncode == 0, result.stderr


def test_limit_of_the_entry_point(tmp_path: Path) -> None:
    """As CONTRIBUTING.md says: metatrain alone does not import torch."""
    result = run(sys.executable, "-c", "import metatrain.pet_ssh", cwd=tmp_path)
    assert "No module named 'metatrain.pet_ssh'" in result.stderr


def test_installed_late(tmp_path: Path) -> None:
    """What was bound by name before has to be bound again."""
    late = (
        "import metatrain.__main__\n"
        "from importlib.util import find_spec\n"
        "assert find_spec('metatrain.pet_ssh') is None\n"
        "from metatrain_symmetry.plugin.hook import install\n"
        "install()\n"
    )
    result = run(sys.executable, "-c", late + COMPLETE, cwd=tmp_path, autoload=False)
    assert result.returncode == 0, result.stderr


OPTIONS = """
architecture:
  name: pet_ssh
  training: {finetune: {read_from: missing.ckpt}}
"""


@pytest.mark.parametrize(
    ("door", "autoload"),
    [
        ([str(Path(sys.executable).parent / "mtt")], True),
        ([sys.executable, "-m", "metatrain"], True),
        ([sys.executable, "-m", "metatrain_symmetry"], False),
    ],
    ids=["mtt", "metatrain", "metatrain_symmetry"],
)
def test_doors(door: list[str], autoload: bool, tmp_path: Path) -> None:
    """Through each of them, ``train`` gets as far as our own check of the options."""
    (tmp_path / "options.yaml").write_text(OPTIONS)
    result = run(*door, "train", "options.yaml", cwd=tmp_path, autoload=autoload)
    assert result.returncode == 1
    assert "missing.ckpt' does not exist" in result.stdout + result.stderr
    (error_log,) = tmp_path.glob("outputs/*/*/error.log")
    assert "preflight.py" in error_log.read_text()


def test_failing_patch_only_warns(tmp_path: Path) -> None:
    failing = (
        "from metatrain_symmetry.plugin import patches\n"
        "def fail(module): raise AttributeError('is gone')\n"
        "patches.PATCHES['metatrain.cli.train'] = fail\n"
        "import metatrain.__main__, metatrain.pet_ssh\n"
        "print('went on')"
    )
    result = run(sys.executable, "-c", failing, cwd=tmp_path)
    assert result.stdout == "went on\n", result.stderr
    message = "could not extend 'metatrain.cli.train', which works as if"
    assert result.stderr.count(message) == 1
    assert "(AttributeError: is gone)" in result.stderr


def test_broken_plugin_does_not_break_torch(tmp_path: Path) -> None:
    broken = (
        "import sys; sys.modules['metatrain_symmetry.plugin.patches'] = None\n"
        "import torch; print(torch.ones(1).item())"
    )
    result = run(sys.executable, "-c", broken, cwd=tmp_path)
    assert result.stdout == "1.0\n", result.stderr
    assert result.stderr.count("metatrain_symmetry could not extend") == 1


TOY = """
import logging
from metatrain_symmetry.plugin.commands import COMMANDS, Command

def add_arguments(parser):
    parser.add_argument("number", type=int)

def run(arguments):
    logging.info(f"toy says {vars(arguments)}")
    logging.debug("toy debugs")
    1 / arguments.number

COMMANDS.append(Command("toy", "plays with a number", add_arguments, run))

from metatrain.__main__ import main
main()
"""


@pytest.mark.parametrize("number", [0, 2])
def test_command(number: int, tmp_path: Path) -> None:
    """Log, debugging messages, ``error.log`` and exit code are those of metatrain."""
    (tmp_path / "toy.py").write_text(TOY)
    result = run(sys.executable, "toy.py", "--debug", "toy", str(number), cwd=tmp_path)
    assert f"toy says {{'number': {number}}}" in result.stdout
    assert "toy debugs" in result.stdout
    assert result.returncode == (1 if number == 0 else 0)
    assert (tmp_path / "error.log").exists() == (number == 0)
    if number == 0:
        assert "ZeroDivisionError" in (tmp_path / "error.log").read_text()
