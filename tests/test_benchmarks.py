"""What the benchmarks share: results that survive failures, and an order that rotates."""

import json
import sys
import time
from pathlib import Path

import pytest

from benchmarks import compiled, embedding_defaults
from benchmarks._results import run_cases, start, stop_if_failed
from benchmarks._timing import interleaved, own_process


RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


def test_a_failed_case_leaves_the_others(tmp_path):
    def fail():
        raise OSError("no disk")

    output, seen = tmp_path / "new" / "results.json", []

    def look():
        seen.append(json.loads(output.read_text())["cases"])
        return {"x": 1}

    result = start("benchmarks.toy", ("torch",))
    run_cases({"bad": fail, "good": look}, result, output)
    # the first case was on the disk before the second began
    assert seen == [{"bad": {"failed": "OSError: no disk"}}]
    assert json.loads(output.read_text()) == result
    assert result["cases"]["good"] == {"x": 1}
    with pytest.raises(SystemExit, match=r"these cases failed, see .*: bad"):
        stop_if_failed(result, output)


def test_cases_after_the_deadline_are_listed(tmp_path):
    result = start("benchmarks.toy", ())
    cases = {"late": lambda: {"x": 1}}
    run_cases(cases, result, tmp_path / "r.json", time.monotonic() - 1)
    assert json.loads((tmp_path / "r.json").read_text())["skipped"] == ["late"]
    assert result["cases"] == {}
    stop_if_failed(result, tmp_path / "r.json")


def test_the_order_rotates():
    calls = []
    actions = {name: lambda name=name: calls.append(name) for name in "abc"}
    seconds = interleaved(actions, 3)
    assert "".join(calls) == "abcbcacab"
    assert {name: len(times) for name, times in seconds.items()} == dict.fromkeys("abc", 3)


def test_a_process_that_fails_says_why():
    found = own_process("no_such_module")
    assert found["failed"] == 1
    assert "No module named no_such_module" in found["error"]


def test_the_table_of_the_embedding_needs_no_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--table", "--output", str(RESULTS / "embedding_defaults.json")]
    monkeypatch.setattr(sys, "argv", ["embedding_defaults", *options])
    assert embedding_defaults.main() == 0
    printed = capsys.readouterr().out
    shown = (RESULTS.parent / "README.md").read_text()
    rows = [line for line in printed.splitlines() if line.startswith("| l")]
    assert len(rows) > 20
    assert all(row in shown for row in rows)


def test_the_table_of_compiled_evaluations():
    result = json.loads((RESULTS / "compiled.json").read_text())
    shown = (RESULTS.parent / "README.md").read_text()
    rows = compiled.table(result).partition("\n\n")[0].splitlines()
    assert len(rows) == 2 + 12
    assert all(row in shown for row in rows)
