"""The results file of a benchmark, and where its numbers were measured."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from metatrain_symmetry.io import write_text


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
    :param settings: what the settings of the entry must hold
    :return: its latest numbers, without those that do not exist
    """
    for entry in reversed(entries):
        if settings.items() <= entry["settings"].items():
            numbers = {**entry["results"], "cpu_s": entry["cpu_s"]}
            return {name: value for name, value in numbers.items() if value is not None}
    return None


def append_entry(path: Path, entry: dict[str, Any]) -> None:
    """Add an entry to the results file, rewriting it atomically.

    :param path: JSON file, made if it does not exist
    :param entry: settings, results and circumstances of a run
    """
    write_json(path, {"runs": [*load_entries(path), entry]})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all, numbers with seven significant digits.

    :param path: the file to make or replace; its folder is made if need be
    :param content: what it will hold
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, _lines(_rounded(content), 0) + "\n")


def _rounded(value: Any) -> Any:
    """The same with shorter numbers: the repository keeps results."""
    if isinstance(value, dict):
        return {key: _rounded(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(child) for child in value]
    return float(f"{value:.7g}") if isinstance(value, float) else value


def _lines(value: Any, depth: int) -> str:
    """JSON in which what holds no other list or object stands on one line."""
    children = list(value.values()) if isinstance(value, dict) else value
    nested = isinstance(children, list | tuple) and any(
        isinstance(child, dict | list | tuple) for child in children
    )
    if not nested:
        return json.dumps(value, ensure_ascii=False)
    pieces = [_lines(child, depth + 1) for child in children]
    first, last = "[]"
    if isinstance(value, dict):
        first, last = "{}"
        names = [json.dumps(str(key), ensure_ascii=False) for key in value]
        pieces = [f"{key}: {piece}" for key, piece in zip(names, pieces, strict=True)]
    start = "\n" + " " * (depth + 1)
    inside = f",{start}".join(pieces)
    return f"{first}{start}{inside}\n{' ' * depth}{last}"


def start(module: str, packages: tuple[str, ...]) -> dict[str, Any]:
    """Begin the results of a benchmark that consists of cases.

    :param module: as in ``python -m``
    :param packages: whose versions matter
    :return: command, versions and hardware; no case yet
    """
    return {
        "command": " ".join(["python", "-m", module, *map(_portable, sys.argv[1:])]),
        "versions": {package: version(package) for package in packages},
        "hardware": hardware(),
        "cases": {},
        "skipped": [],
    }


def _portable(argument: str) -> str:
    """An argument without the folders of this machine."""
    return re.sub(r"(^|=)/.*/", r"\1", argument)


def run_cases(
    cases: Mapping[str, Callable[[], dict[str, Any]]],
    result: dict[str, Any],
    output: Path,
    deadline: float = float("inf"),
) -> None:
    """Run cases, one after the other; what there is is on the disk after each.

    :param cases: name and what runs it
    :param result: of :func:`start`; its ``cases`` grow, also by those that fail
    :param output: JSON file
    :param deadline: by :func:`time.monotonic`; cases after it are ``skipped``
    """
    for name, case in cases.items():
        if time.monotonic() > deadline:
            result["skipped"].append(name)
        else:
            print(name, flush=True)
            try:
                result["cases"][name] = case()
            except Exception as error:  # the others are still worth having
                result["cases"][name] = {"failed": f"{type(error).__name__}: {error}"}
        write_json(output, result)


def stop_if_failed(result: dict[str, Any], output: Path) -> None:
    """End with an exit code where a case failed.

    :param result: of :func:`run_cases`
    :param output: file to point to
    :raises SystemExit: if a case failed
    """
    failed = [name for name, case in result["cases"].items() if "failed" in case]
    if failed:
        raise SystemExit(f"these cases failed, see {output}: {'; '.join(failed)}")
