"""How long a measurement may take: reading the option, keeping the time."""

import math
import re
import time


UNITS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


class TimeUp(Exception):
    """A structure takes longer than was foreseen: what is known already has to do."""


def parse_budget(text: object) -> float | None:
    """Read a length of time.

    :param text: ``90s``, ``2min``, ``1h``, a number of seconds, or ``none``
    :raises ValueError: if it is something else, or not positive
    :return: seconds, None for no limit
    """
    if text is None or str(text).strip().lower() == "none":
        return None
    match = re.fullmatch(r"([0-9.]+(?:e[+-]?\d+)?)\s*([a-z]*)", str(text).strip().lower())
    try:
        seconds = float(match[1]) * UNITS[match[2] or "s"] if match else math.nan
    except (KeyError, ValueError):
        seconds = math.nan
    if isinstance(text, bool) or not (0 < seconds < math.inf):
        raise ValueError(
            f"budget: '{text}' is not a length of time: write for example 90s, 2min or 1h, "
            "or none for no limit"
        )
    return seconds


class Clock:
    """Time since a measurement began, and how much of it is left.

    :param budget: in seconds, None for no limit
    """

    def __init__(self, budget: float | None) -> None:
        self.budget = math.inf if budget is None else budget
        self.began = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self.began

    def set(self, elapsed: float) -> None:
        """Set it by the clock of another process.

        :param elapsed: seconds so far
        """
        self.began = time.perf_counter() - elapsed

    @property
    def left(self) -> float:
        """Seconds left, not below zero."""
        return max(self.budget - self.elapsed, 0.0)

    def check(self, share: float) -> None:
        """Stop a structure that would break the promise.

        :param share: of the budget that must not be passed
        :raises TimeUp: if it is
        """
        if self.elapsed > share * self.budget:
            raise TimeUp


def in_words(seconds: float) -> str:
    """Write a length of time.

    :param seconds: how long
    :return: such as ``45 s`` or ``2.5 min``
    """
    if not math.isfinite(seconds):
        return "no limit"
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.2g} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
