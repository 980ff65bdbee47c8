"""Installing and uninstalling, in an environment of its own and without a network."""

import os
import shutil
import subprocess
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ase.build
import ase.io
import numpy as np
import pytest


pytestmark = pytest.mark.installation

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = """
architecture:
  name: pet_ssh
  model: {d_pet: 8, d_node: 8, d_head: 8, d_feedforward: 8,
          num_heads: 1, num_gnn_layers: 1, num_attention_layers: 1}
  training: {num_epochs: 1, batch_size: 2, num_workers: 2}
training_set: &data
  systems: water.xyz
  targets: {energy: {key: energy, unit: eV}}
validation_set: 0.25
test_set: 0.0
"""
EVALUATION = """
systems: water.xyz
targets: {energy: {key: energy, unit: eV}}
"""
CONSOLE_SCRIPT = """#!{python}
import sys
from metatrain.__main__ import main
sys.exit(main())
"""
DEFAULTS = """
from concurrent.futures import ProcessPoolExecutor
import metatrain_symmetry
from metatrain.utils.architectures import get_default_hypers
print(metatrain_symmetry.__file__)
with ProcessPoolExecutor(1) as spawned:
    hypers = spawned.submit(get_default_hypers, "pet_ssh").result()
print(hypers["model"]["geometry_embedding"]["l_max"])
"""


@dataclass
class Environment:
    """A virtual environment with everything but our package."""

    root: Path

    @property
    def site_packages(self) -> Path:
        (found,) = self.root.glob("lib/python*/site-packages")
        return found

    def run(
        self, *command: str, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment."""
        variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        variables.update(OMP_NUM_THREADS="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
        program = str(self.root / "bin" / command[0])
        return subprocess.run(
            [program, *command[1:]],
            cwd=cwd or self.root,
            env=variables,
            capture_output=True,
            text=True,
            timeout=180,
        )

    def pip(self, *arguments: str) -> None:
        result = self.run("python", "-m", "pip", *arguments)
        assert result.returncode == 0, result.stdout + result.stderr

    def files(self) -> set[Path]:
        """All files of the environment, but for what Python compiles on the way."""
        paths = (Path(d) / f for d, _, files in os.walk(self.root) for f in files)
        return {path for path in paths if path.suffix != ".pyc"}

    @contextmanager
    def installed(self, *what: str) -> Iterator[None]:
        """Have our package for a while."""
        self.pip("install", "--no-index", "--no-deps", "--no-build-isolation", *what)
        try:
            yield
        finally:
            self.pip("uninstall", "-y", "metatrain-symmetry")


def link(source: str, target: str) -> None:
    """Link a file, or copy it where that is not possible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("environment"))
    venv.create(environment.root, with_pip=True, symlinks=True)
    target = environment.site_packages
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        # pip is there already; the second is the package, its metadata, its .pth file
        if entry.name.startswith("pip") or "metatrain_symmetry" in entry.name:
            continue
        if entry.is_dir():
            copy = {"symlinks": True, "copy_function": link, "dirs_exist_ok": True}
            shutil.copytree(entry, target / entry.name, **copy)
        elif not (target / entry.name).exists():
            link(str(entry), str(target / entry.name))
    # metatrain asks for "fork" where it loads data: all else must do without it.
    # A .pth file, because distributions have a sitecustomize of their own
    spawn = "import multiprocessing; multiprocessing.set_start_method('spawn')\n"
    (target / "spawn.pth").write_text(spawn)
    script = environment.root / "bin" / "mtt"
    script.write_text(CONSOLE_SCRIPT.format(python=environment.root / "bin/python"))
    script.chmod(0o755)
    return environment


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel is made of, where building leaves no traces."""
    folder = tmp_path_factory.mktemp("sources")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", folder / "src", ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(environment: Environment, sources: Path) -> Path:
    folder = sources / "dist"
    environment.pip(
        "wheel", str(sources), "--no-deps", "--no-build-isolation", "-w", str(folder)
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eight water molecules and the options to train on them."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    frames = [ase.build.molecule("H2O") for _ in range(8)]
    for frame in frames:
        frame.positions += rng.normal(scale=0.05, size=(3, 3))
        frame.info["energy"] = rng.normal()
    ase.io.write(folder / "water.xyz", frames)
    (folder / "options.yaml").write_text(OPTIONS)
    (folder / "evaluation.yaml").write_text(EVALUATION)
    return folder


@pytest.fixture(scope="module")
def trained(environment: Environment, wheel: Path, data: Path) -> Path:
    """A model trained with the plugin, which is uninstalled again."""
    with environment.installed(str(wheel)):
        result = environment.run("mtt", "train", "options.yaml", cwd=data)
    assert result.returncode == 0, result.stdout + result.stderr
    return data / "model.pt"


def test_wheel(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    shim = "metatrain_symmetry/plugin/shims/pet_ssh"
    for module in ("__init__", "model", "trainer", "documentation", "checkpoints"):
        assert f"{shim}/{module}.py" in names
    assert "metatrain_symmetry/report/templates/report.html.j2" in names
    folders = {name.split("/")[0] for name in names}
    assert all(folder.startswith("metatrain_symmetry") for folder in folders), folders


def test_train(environment: Environment, trained: Path) -> None:
    method = "import multiprocessing; print(multiprocessing.get_start_method())"
    assert environment.run("python", "-c", method).stdout == "spawn\n"
    assert trained.stat().st_size > 0
    assert trained.with_suffix(".ckpt").exists()


def test_uninstall_leaves_nothing(environment: Environment, wheel: Path) -> None:
    before = environment.files()
    with environment.installed(str(wheel)):
        assert environment.files() > before
        result = environment.run("mtt", "--help")
    assert result.returncode == 0
    assert "{eval,export,symmetry,purify,symmetrize,train}" in result.stdout
    assert "could not extend" not in result.stderr
    assert environment.files() == before
    assert not list(environment.site_packages.glob("*metatrain?symmetry*"))


def test_without_the_plugin(
    environment: Environment, trained: Path, tmp_path: Path
) -> None:
    for name in ("water.xyz", "options.yaml", "evaluation.yaml"):
        shutil.copy(trained.parent / name, tmp_path)
    training = environment.run("mtt", "train", "options.yaml", cwd=tmp_path)
    assert training.returncode == 1
    message = "Architecture 'pet_ssh' is not a valid architecture."
    assert message in training.stdout + training.stderr

    evaluation = environment.run(
        "mtt", "eval", str(trained), "evaluation.yaml", cwd=tmp_path
    )
    assert evaluation.returncode == 0, evaluation.stdout + evaluation.stderr
    frames = ase.io.read(tmp_path / "output.xyz", ":")
    energies = [frame.get_potential_energy() for frame in frames]
    assert np.isfinite(energies).all()
    assert np.ptp(energies) > 0


def test_editable(environment: Environment, sources: Path) -> None:
    """Default options are found, in a spawned process as well."""
    with environment.installed("-e", str(sources)):
        result = environment.run("python", "-c", DEFAULTS)
    assert result.returncode == 0, result.stderr
    file, l_max = result.stdout.splitlines()
    assert Path(file).is_relative_to(sources)
    assert int(l_max) > 0
