"""Results are whole or not there, whatever ends the process that writes them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metatrain_symmetry import io
from metatrain_symmetry.places import check_apart, check_folder, check_writable


def fill(folder, text="new"):
    (folder / "table.csv").write_text(text)
    (folder / "figures").mkdir()
    (folder / "figures" / "one.png").write_text(text)


def dead():
    """A process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def hidden(place, pid, end):
    return place.with_name(f".{place.name}-{io._host()}-{pid}-{end}")


def test_a_folder_lists_what_belongs_to_it(tmp_path):
    out = tmp_path / "out"
    io.write_folder(out, fill)
    files = json.loads((out / "summary.json").read_text())["files"]
    assert files == ["figures/one.png", "summary.json", "table.csv"]
    assert list(tmp_path.iterdir()) == [out]
    io.write_folder(check_folder(out, True), lambda folder: fill(folder, "newer"))
    assert (out / "table.csv").read_text() == "newer"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    "name", ["mine.txt", "figures/mine.png", "other/mine.txt", "other"]
)
def test_what_is_not_ours_is_not_deleted(tmp_path, name):
    out = tmp_path / "out"
    io.write_folder(out, fill)
    path = out / name
    if path.suffix:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    else:
        path.mkdir()
    with pytest.raises(ValueError, match=f"more than results of ours \\('{name}'\\)"):
        check_folder(out, True)
    assert path.exists()


def test_a_folder_that_only_looks_like_ours_is_not_replaced(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "summary.json").write_text('{"files": "mine"}')
    (out / "index.html").write_text("mine")
    with pytest.raises(ValueError, match=r"index\.html"):
        check_folder(out, True)


def test_a_failure_leaves_what_was_there(tmp_path):
    out = tmp_path / "out"
    io.write_folder(out, fill)

    def fail(folder):
        fill(folder, "half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        io.write_folder(out, fail)
    assert (out / "table.csv").read_text() == "new"
    assert list(tmp_path.iterdir()) == [out]


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path):
    out, pid = tmp_path / "out", dead()
    mine = [hidden(out, pid, "12345678"), hidden(out, pid, "12345678.part")]
    others = [
        hidden(out, os.getpid(), "12345678"),
        hidden(out, os.getppid(), "12345678"),
        hidden(tmp_path / "output", pid, "12345678"),
        tmp_path / f".out-elsewhere-{pid}-12345678",
        tmp_path / ".out-mine",
        tmp_path / ".out",
    ]
    for path in (*mine, *others):
        path.mkdir()
        (path / "x").touch()
    check_folder(out, False)
    assert not any(path.exists() for path in mine)
    assert all(path.exists() for path in others)


def test_old_results_come_back_where_the_new_ones_never_came(tmp_path):
    out = tmp_path / "out"
    io.write_folder(hidden(out, dead(), "old"), fill)
    with pytest.raises(ValueError, match="there already"):
        check_folder(out, False)
    assert (out / "table.csv").read_text() == "new"
    # and are removed where they came
    old = hidden(out, dead(), "old")
    io.write_folder(old, fill)
    check_folder(out, True)
    assert not old.exists()


def test_unfinished_files_are_cleaned(tmp_path):
    pid = dead()
    part = hidden(tmp_path / "index.html", pid, "12345678.part")
    part.touch()
    alive = io.unfinished(tmp_path / "index.html")
    alive.touch()
    io.clean(tmp_path)
    assert not part.exists()
    assert alive.exists()


def test_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="the one you are in"):
        check_folder(".", True)
    with pytest.raises(ValueError, match="name two places"):
        check_apart({"a": tmp_path, "b": tmp_path})
    check_apart({"a": tmp_path / "a", "b": tmp_path / "b"})
    check_folder("deep/down/out", False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="MiB are free"):
        check_writable(tmp_path / "out", 2**60)


def test_an_error_of_the_disk_is_one_sentence(tmp_path, monkeypatch):
    def fail(self, *arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(ValueError, match=r"does not take files.*Permission denied"):
        check_folder(tmp_path / "out", False)


SLOW = """
import sys, time
from pathlib import Path
from metatrain_symmetry.io import write_folder
def fill(folder):
    for i in range(1000):
        (folder / f"{i}.csv").write_text("x" * 1000)
        print(i, flush=True)
        time.sleep(0.005)
write_folder(Path(sys.argv[1]), fill)
"""


def test_a_killed_writer_leaves_nothing_under_the_name(tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", SLOW, out], stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not out.exists()
    assert len(list(tmp_path.iterdir())) == 1
    check_folder(out, False)
    assert not list(tmp_path.iterdir())
