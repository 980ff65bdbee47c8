"""Keeps from the terminal what other libraries say and a user can do nothing about.

Every message is listed here; anything else passes.
"""

import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    # metatrain and metatomic export through TorchScript, which torch has begun to deprecate
    (r"`torch\.jit\.\w+` is deprecated", DeprecationWarning),
    # metatrain's resolvers, with omegaconf 2.4
    (r"register_new_resolver\(\) is deprecated", UserWarning),
)

LINES = (
    # metatrain checks the names of targets with an output that has no unit: it says
    # nothing about the units of the data. Written by C++, past Python's warnings
    r"\[W[^\]]*\] Warning: output '[^']*' has an empty unit\.",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the messages listed above, and nothing else, for a while."""
    with warnings.catch_warnings(), _filtered_stderr():
        for message, category in WARNINGS:
            warnings.filterwarnings("ignore", message, category)
        yield


@contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Read what is written to the file descriptor of standard error, line by line.

    Python itself writes past the filter, so that a terminal stays one.
    """
    python, kept = sys.stderr, os.dup(2)
    read, write = os.pipe()
    python.flush()
    os.dup2(write, 2)
    os.close(write)
    thread = threading.Thread(target=_pass_on, args=(read, kept), daemon=True)
    thread.start()
    try:
        with open(os.dup(kept), "w", buffering=1, errors="replace") as sys.stderr:
            yield
    finally:
        sys.stderr = python
        # closes the last writing end: the thread comes to the end of the pipe
        os.dup2(kept, 2)
        thread.join(timeout=5)
        os.close(kept)


def _pass_on(source: int, target: int) -> None:
    """Write on every line that is not to be hidden."""
    with open(source, "rb") as lines:
        for line in lines:
            text = line.decode(errors="replace")
            if not any(re.match(pattern, text) for pattern in LINES):
                os.write(target, line)
