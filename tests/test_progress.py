"""Bars in a terminal, few lines in a file."""

import io
import sys

import pytest
from tqdm import tqdm

from metatrain_symmetry import progress as module
from metatrain_symmetry.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def percents(text):
    return [int(line.split("%")[0].split(":")[1]) for line in text.splitlines()]


def test_a_line_for_every_tenth(capsys):
    with progress(total=250, desc="orbits", unit="rot") as bar:
        for _ in range(250):
            bar.update(1)
    text = capsys.readouterr().err
    assert percents(text) == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    lines = text.splitlines()
    assert lines[0].startswith("orbits:  10 %, 25/250 rot, 00:00 passed, 00:00 left")
    assert lines[-1] == "orbits: 100 %, 250/250 rot, 00:00 passed"
    assert "\r" not in text


def test_large_steps_and_a_total_that_changes(capsys):
    with progress(total=10, desc="x") as bar:
        bar.update(5)
        bar.total = 40  # the share falls: nothing is written twice
        bar.update(5)
        bar.update(14)
        bar.set_postfix_str("loss 3")
        bar.update(16)
        bar.update(1)  # more than was expected
    text = capsys.readouterr().err
    assert percents(text) == [50, 60, 100]
    assert text.endswith(", loss 3\n")
    assert bar.n == 41


def test_without_a_total_a_line_a_minute(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with progress(desc="reading", unit="frame") as bar:
        for _ in range(14):
            now[0] += 10
            bar.update(2)
    assert capsys.readouterr().err.splitlines() == [
        "reading: 14 frame, 01:10 passed",
        "reading: 28 frame, 02:20 passed",
    ]


def test_nothing_when_disabled(capsys):
    with progress(total=2, desc="x", disable=True) as bar:
        bar.update(2)
    assert capsys.readouterr().err == ""


def test_a_bar_in_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress(total=4, desc="orbits", unit="rot") as bar:
        assert isinstance(bar, tqdm)
        bar.update(4)
    assert "4/4" in sys.stderr.getvalue()


def test_an_error_passes():
    with pytest.raises(KeyError), progress(total=1):
        raise KeyError("x")
