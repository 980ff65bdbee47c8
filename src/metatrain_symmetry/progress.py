"""Progress of long work: a bar in a terminal, a line for every tenth of it in a file.

Below all rooms, on tqdm and the standard library only.
"""

import sys
import time
from types import TracebackType
from typing import Any, TextIO

from tqdm import tqdm


SILENCE = 60.0
"""Seconds between two lines of work whose total is not known."""


def progress(
    total: float | None = None,
    desc: str = "",
    unit: str = "it",
    disable: bool = False,
    **options: Any,
) -> Any:
    """Show how far some work is, on standard error.

    Use it as tqdm's bar: ``with progress(total=9, unit="rot") as bar: bar.update(1)``.
    ``bar.n`` is what has been done, and ``bar.total`` may be changed at any time.

    :param total: amount of work; None if it is not known (yet)
    :param desc: what is being done
    :param unit: what is counted
    :param disable: show nothing
    :param options: of tqdm, for a terminal only, such as ``leave=False``
    :return: tqdm's bar in a terminal, otherwise one that writes at most ten lines; both
        are context managers
    """
    if disable or sys.stderr.isatty():
        return tqdm(total=total, desc=desc, unit=unit, disable=disable, **options)
    return ProgressLines(total, desc, unit, sys.stderr)


class ProgressLines:
    """What :func:`progress` returns where standard error is not a terminal.

    :param total: amount of work, or None
    :param desc: what is being done
    :param unit: what is counted
    :param file: where lines go
    """

    def __init__(self, total: float | None, desc: str, unit: str, file: TextIO) -> None:
        self.total, self.desc, self.unit, self.file = total, desc, unit, file
        self.n: float = 0
        self.postfix = ""
        self._tenths = 0
        self._start = self._last = time.monotonic()

    def update(self, n: float = 1) -> None:
        """Add to what has been done.

        :param n: how much
        """
        self.n += n
        self.refresh()

    def refresh(self) -> None:
        """Write a line if the next tenth is reached, or after a minute without a total."""
        if not self.total:
            due = time.monotonic() - self._last > SILENCE
        else:
            tenths = min(int(10 * self.n / self.total + 1e-9), 10)
            due = tenths > self._tenths
            self._tenths = max(tenths, self._tenths)
        if due:
            self._last = time.monotonic()
            print(self._line(), file=self.file, flush=True)

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """Put a remark at the end of the lines that follow.

        :param s: the remark
        :param refresh: of tqdm's interface; a remark alone makes no line
        """
        self.postfix = s

    def close(self) -> None:
        """Do nothing: every line is already complete."""

    def __enter__(self) -> "ProgressLines":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let exceptions pass."""
        self.close()

    def _line(self) -> str:
        passed = time.monotonic() - self._start
        text = f"{self.desc}: " if self.desc else ""
        if self.total:
            text += f"{10 * self._tenths:3d} %, {self.n:g}/{self.total:g} {self.unit}"
        else:
            text += f"{self.n:g} {self.unit}"
        text += f", {tqdm.format_interval(passed)} passed"
        if self.total and 0 < self.n < self.total:
            left = passed * (self.total - self.n) / self.n
            text += f", {tqdm.format_interval(left)} left"
        return f"{text}, {self.postfix}" if self.postfix else text
