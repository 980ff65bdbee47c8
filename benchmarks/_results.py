"""The results file of a benchmark, and where its numbers were measured."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any


def hardware() -> dict[str, Any]:
    """Describe the processor."""
    model, info = platform.machine(), Path("/proc/cpuinfo")
    if info.exists():
        lines = [line.partition(":") for line in info.read_text().splitlines()]
        names = [value for key, _, value in lines if key.strip() == "model name"]
        model = names[0].strip() if names else model
    return {"processor": model, "cores": os.cpu_count(), "threads_per_run": 1}


def peak() -> float:
    """Largest resident memory of this process so far, in MiB (on Linux)."""
    # not ru_maxrss, which a child may inherit from a larger parent
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def load_entries(path: Path) -> list[dict[str, Any]]:
    """Read the results file.

    :param path: JSON file, which need not exist
    :return: its entries, oldest first
    """
    return json.loads(path.read_text())["runs"] if path.exists() else []


def matching(
    entries: list[dict[str, Any]], settings: dict[str, Any]
) -> dict[str, float] | None:
    """Find the numbers of a run.

    :param entries: entries of the results file
    :param settings: all that decides the result of the run
    :return: its latest numbers, without those that do not exist
    """
    for entry in reversed(entries):
        if entry["settings"] == settings:
            numbers = {**entry["results"], "cpu_s": entry["cpu_s"]}
            return {name: value for name, value in numbers.items() if value is not None}
    return None


def append_entry(path: Path, entry: dict[str, Any]) -> None:
    """Add an entry to the results file, rewriting it atomically.

    :param path: JSON file, made if it does not exist
    :param entry: settings, results and circumstances of a run
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"runs": [*load_entries(path), entry]}, indent=1) + "\n"
    write_atomically(path, lambda name: Path(name).write_text(text))


def write_atomically(path: Path, write: Callable[[str], object]) -> None:
    """Write a file under another name and move it in place.

    :param path: the file to make or replace
    :param write: function that writes to the path that it is given
    """
    # the suffix stays last: ase and metatensor look at it
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    write(str(temporary))
    os.replace(temporary, path)
