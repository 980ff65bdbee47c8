"""Ctrl-C and SIGTERM: one line and an exit code."""

import argparse
import os
import signal

import pytest

from metatrain_symmetry.plugin.commands import Command, run


def toy(work):
    return Command("toy", "plays", lambda parser: None, work)


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_is_one_line(number, code, word, caplog):
    cleaned = []

    def work(arguments):
        try:
            os.kill(os.getpid(), number)
            for _ in range(10**6):  # Python looks for signals between instructions
                pass
        except Exception:
            cleaned.append("swallowed")
        finally:
            cleaned.append("cleaned up")

    # a shell that runs the tests in the background has SIGINT ignored
    kept = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as stop:
            run(toy(work), argparse.Namespace())
    finally:
        signal.signal(signal.SIGINT, kept)
    assert stop.value.code == code
    assert cleaned == ["cleaned up"]
    (record,) = caplog.records
    assert record.message == f"mtt toy was {word}: it leaves nothing half-written"
    assert signal.getsignal(signal.SIGTERM) is before


def test_errors_are_those_of_the_command():
    def work(arguments):
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        run(toy(work), argparse.Namespace())
