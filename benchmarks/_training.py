"""The runner of trainings: ``mtt train`` in a folder of its own, finished only once."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from metatrain_symmetry.io import write_text
from metatrain_symmetry.measure.series import FOLDER, Series


COMMAND = ["-m", "metatrain_symmetry", "train", "options.yaml", "-o", "model.pt"]
# goes on from the last checkpoint of a run that was stopped, if there is one
COMMAND += ["--restart", "auto"]
STATE = "state.json"
LOG = "console.log"


def run_python(
    arguments: list[str], folder: Path, deadline: float = float("inf")
) -> int | None:
    """Run Python in a folder, on one thread; its output goes to ``console.log``.

    :param arguments: of the interpreter
    :param folder: to run in
    :param deadline: by :func:`time.monotonic`; the process is terminated then
    :return: exit code, None if the time was over
    """
    with (folder / LOG).open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait = None if deadline == float("inf") else deadline - time.monotonic()
            return process.wait(wait)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def last_line(folder: Path) -> str:
    """What a run said last, which is the message of its exception if it failed.

    :param folder: of :func:`run_python`
    """
    lines = (folder / LOG).read_text(errors="replace").splitlines()
    return lines[-1] if lines else "no output"


@dataclass(frozen=True)
class Training:
    """What decides the result of a training; the same is not done twice.

    :param variant: name of the variant
    :param seed: random seed
    :param options: metatrain's options
    :param root: folder for the trainings of a benchmark
    """

    variant: str
    seed: int
    options: dict[str, Any]
    root: Path

    @property
    def name(self) -> str:
        """Variant and seed."""
        return f"{self.variant}, seed {self.seed}"

    @property
    def command(self) -> list[str]:
        """Arguments of the interpreter."""
        return COMMAND

    @property
    def decisive(self) -> dict[str, Any]:
        """All that decides the result beside variant and seed."""
        return self.options

    @property
    def folder(self) -> Path:
        """Folder of the training: other options, another folder."""
        text = json.dumps(self.decisive, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        plain = "".join(c if c.isalnum() else "-" for c in self.variant)
        return self.root / f"{plain}-{self.seed}-{digest}"

    @property
    def state(self) -> dict[str, Any]:
        """``finished`` and ``wall_s``, the time spent in all tries."""
        file = self.folder / STATE
        if not file.is_file():
            return {"finished": False, "wall_s": 0.0}
        return dict(json.loads(file.read_text()))

    def train(self, deadline: float) -> str:
        """Train to the end, or up to a point in time.

        :param deadline: by :func:`time.monotonic`
        :return: ``finished``, ``stopped`` or ``failed: `` and the last line of the log
        """
        state = self.state
        if state["finished"]:
            return "finished"
        if time.monotonic() >= deadline:
            return "stopped"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "options.yaml").write_text(yaml.safe_dump(self.options))
        started = time.monotonic()
        code = run_python(self.command, self.folder, deadline)
        state["wall_s"] = round(state["wall_s"] + time.monotonic() - started, 1)
        state["finished"] = code == 0
        write_text(self.folder / STATE, json.dumps(state))
        if code == 0:
            return "finished"
        if code is None:
            return "stopped"
        return f"failed: {last_line(self.folder)}"

    @property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint, None if there is none yet."""
        files = self.folder.glob("outputs/*/*/*.ckpt")
        found = [file for file in files if file.name.startswith("model")]
        return max(found, key=lambda file: file.stat().st_mtime, default=None)

    @property
    def output(self) -> Path:
        """The last folder that metatrain wrote to."""
        return max(self.folder.glob("outputs/*/*"), key=lambda path: path.name)

    @property
    def output_options(self) -> dict[str, Any]:
        """The options of the training, with the targets as metatrain completed them."""
        text = (self.output / "options_restart.yaml").read_text()
        options: dict[str, Any] = yaml.safe_load(text)
        section = options["training_set"]
        if isinstance(section, list):
            (options["training_set"],) = section
        return options

    def indices(self, part: str) -> list[int]:
        """Indices of the structures of one part of the data.

        :param part: ``training``, ``validation`` or ``test``
        """
        text = (self.output / "indices" / f"{part}.txt").read_text()
        return [int(line) for line in text.split()]

    @property
    def is_watched(self) -> bool:
        """Whether there is a series."""
        return bool(self._watched)

    @property
    def _watched(self) -> list[Path]:
        files = self.folder.glob(f"outputs/*/*/{FOLDER}/measurements.csv")
        return sorted(file.parent for file in files)

    def series(self) -> Series:
        """What was measured during the training."""
        return Series.load(self._watched[-1])  # a restart has taken over earlier ones
