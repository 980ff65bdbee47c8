"""Times that may be compared, and processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import torch


Name = TypeVar("Name")


def timed(action: Callable[[], object]) -> float:
    """Seconds that something takes, until a GPU has finished too."""
    _wait()
    start = time.perf_counter()
    action()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def interleaved(
    actions: Mapping[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    """Time actions one after the other, again and again, in an order that rotates.

    :param actions: by name
    :param repeats: how often each runs
    :return: seconds of every repeat, by name
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for name in in_turns(actions, repeats):
        seconds[name].append(timed(actions[name]))
    return seconds


def in_turns(names: Iterable[Name], repeats: int) -> Iterator[Name]:
    """Every name once in each repeat, in an order that rotates.

    :param names: of what is compared
    :param repeats: how often each comes
    """
    order = list(names)
    for repeat in range(repeats):
        shift = repeat % len(order)
        yield from order[shift:] + order[:shift]


def own_process(module: str, *arguments: object) -> dict[str, Any]:
    """Run a module in a process, whose peak memory is then its own.

    :param module: as in ``python -m``; its last line is JSON
    :param arguments: of its command line
    :return: what it printed, or its exit code and the end of its complaint
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, text=True, capture_output=True)
    if done.returncode:
        return {"failed": done.returncode, "error": done.stderr[-500:]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
