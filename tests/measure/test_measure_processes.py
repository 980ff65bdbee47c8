"""Several processes measure what one does, and none waits for one that is gone."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from worker_of_processes import Engine, report_of

from metatrain_symmetry import processes
from metatrain_symmetry.measure.results import Report


WORKER = Path(__file__).with_name("worker_of_processes.py")


def start(what, folder, size=2):
    """Start them as ``torchrun`` does, without its agent, which would end them all."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, str(WORKER), what, str(folder)],
            env=os.environ | common | {"RANK": str(rank), "WORLD_SIZE": str(size)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def tables(report):
    return report.equivariance, report.atoms, report.characters, report.rotations


@pytest.fixture(scope="module")
def alone():
    return report_of(Engine())


@pytest.mark.parametrize("what", ["measure", "again"])
def test_three_processes_find_the_same(tmp_path, alone, what):
    for process in start(what, tmp_path / "out", size=3):
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    together = Report.load(tmp_path / "out")
    alone.save(tmp_path)
    for one, several in zip(tables(Report.load(tmp_path)), tables(together), strict=True):
        pd.testing.assert_frame_equal(one, several, rtol=1e-12)
    assert together.summary["processes"] == 3
    for name in ("plan", "evaluations", "n_measured"):
        assert together.summary[name] == alone.summary[name]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("stop", "one of 2 processes is lost: process 1 has given no sign of life"),
        ("refuse", "ValueError: structure 3 is wrong: correct it"),
    ],
)
def test_a_lost_process_ends_all_of_them(tmp_path, what, said):
    first, second = start(what, tmp_path / "out")
    try:
        _, error = first.communicate(timeout=60)
    finally:
        second.send_signal(signal.SIGKILL)
        second.communicate()
    assert first.returncode == 1
    assert said in error
    assert [path.name for path in tmp_path.iterdir()] == [".kept"]


def test_without_the_first_one_the_others_end(tmp_path):
    # it holds what all of them share, unless torchrun does
    _, second = start("leave", tmp_path / "out")
    _, error = second.communicate(timeout=60)
    assert second.returncode == 1
    # torch may have more to say after it
    assert "Lost: one of 2 processes is lost" in error


def test_what_is_no_number_of_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ValueError, match="WORLD_SIZE is 'two', which is no number"):
        processes.joined("cpu").__enter__()


def test_others_that_never_come(monkeypatch):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    for name, value in {"RANK": 0, "WORLD_SIZE": 2, "MASTER_PORT": port}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setattr(processes, "JOIN", 1.0)
    began = time.monotonic()
    with pytest.raises(ValueError, match="start them with torchrun, or unset WORLD_SIZE"):
        processes.joined("cpu").__enter__()
    assert time.monotonic() - began < 30


class SlowStore:
    """Answers late; says when it has been asked."""

    def __init__(self):
        self.asked = threading.Event()

    def add(self, name, count):
        self.asked.set()
        time.sleep(0.3)
        return 2

    def check(self, names):
        return False


def test_nothing_of_ours_runs_when_python_exits(monkeypatch):
    """It aborts if a thread is inside the store then: "terminate called ..."."""
    store = SlowStore()
    monkeypatch.setattr(processes.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(processes.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(processes, "_of_group", lambda: processes.Processes(0, 2, store))
    monkeypatch.setattr(processes, "BEAT", 0.001)
    with processes.joined("cpu") as together:
        assert store.asked.wait(10)
    assert not together.pulse.is_alive()


def test_work_is_planned_for_all_processes():
    assert processes.Processes(0, 4).speedup(8) == 4
    assert processes.Processes(0, 4).speedup(9) == 3
    assert processes.Processes(0, 4).speedup(2) == 2
    assert processes.Processes().speedup(7) == 1
    both = [list(processes.Processes(rank, 2).take(5)) for rank in (0, 1)]
    assert sorted(both[0] + both[1]) == [0, 1, 2, 3, 4]
