"""What was measured survives a kill, and what depends on something else is not taken."""

import logging
import multiprocessing
import os
import random
import signal
import time

import pandas as pd
import pytest
from worker_of_processes import Engine, report_of, structures

from metatrain_symmetry import analyze
from metatrain_symmetry.measure import run
from metatrain_symmetry.measure.kept import Kept, digest_of_structure


def tables(report):
    return report.equivariance, report.atoms, report.characters, report.rotations


def same(one, other):
    for first, second in zip(tables(one), tables(other), strict=True):
        pd.testing.assert_frame_equal(first, second, check_exact=True)


class Counting(Engine):
    """Counts evaluations along orbits."""

    count = 0

    def evaluate(self, structure, matrices, blocks, probes):
        self.count += len(matrices)
        return super().evaluate(structure, matrices, blocks, probes)


def kept(folder, resume=True, about="model"):
    return Kept(folder / ".out-kept", about, resume)


@pytest.mark.parametrize("budget", [None, 600.0])
def test_runs_that_are_killed_lose_nothing(tmp_path, budget):
    began = time.perf_counter()
    undisturbed = report_of(Engine(), budget=budget)
    longest = time.perf_counter() - began
    choose = random.Random(0)
    fork = multiprocessing.get_context("fork")
    counts = []
    for _ in range(5):
        child = fork.Process(
            target=report_of,
            args=(Engine(), None, kept(tmp_path)),
            kwargs={"budget": budget},
        )
        child.start()
        child.join(timeout=choose.uniform(0.1, 0.6) * longest)
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
        child.join()
        counts.append(len(list((tmp_path / ".out-kept").glob("*.pt"))))
    # a file is never taken away, nor one added in vain
    assert counts == sorted(counts)
    assert counts[-1] > 2
    engine = Counting()
    last = report_of(engine, None, kept(tmp_path), budget=budget)
    same(last, undisturbed)
    assert last.summary["evaluations"] == undisturbed.summary["evaluations"]
    # nothing is evaluated twice
    again = Counting()
    same(report_of(again, None, kept(tmp_path), budget=budget), undisturbed)
    assert again.count == 0
    assert engine.count < undisturbed.summary["evaluations"]


def pieces(monkeypatch):
    """Numbers of the structures that are measured, in the order in which they are."""
    measured = []
    evaluate = run.Run._evaluate

    def watched(self, index, tier):
        measured.append(index)
        return evaluate(self, index, tier)

    monkeypatch.setattr(run.Run, "_evaluate", watched)
    return measured


@pytest.mark.parametrize(
    ("about", "options", "again"),
    [
        ("model", {}, 0),
        ("model", {"budget": 900.0}, 0),
        ("another model", {}, 7),
        ("model", {"seed": 1}, 7),
        ("model", {"lambda_max": 2}, 7),
        ("model", {"degree": 12}, 7),
    ],
)
def test_only_what_is_the_same_is_taken(
    tmp_path, monkeypatch, caplog, about, options, again
):
    options = {"degree": 8, "lambda_max": 3} | options
    report_of(Engine(), None, kept(tmp_path), degree=8, lambda_max=3)
    measured = pieces(monkeypatch)
    with caplog.at_level(logging.INFO):
        fresh = report_of(Engine(), None, kept(tmp_path, about=about), **options)
    assert len(measured) == again
    assert f"{7 - again} of 7 structures are from an earlier run" in caplog.text
    same(fresh, report_of(Engine(), **options))


def test_without_resume_everything_is_measured(tmp_path, monkeypatch):
    report_of(Engine(), None, kept(tmp_path))
    measured = pieces(monkeypatch)
    report_of(Engine(), None, kept(tmp_path, resume=False))
    assert len(measured) == 7


def test_a_file_that_is_damaged_is_measured_again(tmp_path, monkeypatch):
    undisturbed = report_of(Engine(), None, kept(tmp_path))
    for path in (tmp_path / ".out-kept").glob("*.pt"):
        path.write_bytes(path.read_bytes()[:100])
    measured = pieces(monkeypatch)
    same(report_of(Engine(), None, kept(tmp_path)), undisturbed)
    assert len(measured) == 7


def test_a_structure_is_its_atoms_and_its_targets():
    data = structures(Engine())
    before = digest_of_structure(data, 0)
    assert before == digest_of_structure(structures(Engine()), 0)
    before = digest_of_structure(data, 0)
    (block,) = data[0].targets
    data[0].targets[block][0, 0, 0] += 1e-12
    assert digest_of_structure(data, 0) != before
    data = structures(Engine())
    data[0].structure.system.positions[0, 0] += 1e-12
    assert digest_of_structure(data, 0) != before


@pytest.mark.parametrize("earlier", [True, False])
def test_a_mistake_removes_nothing_of_an_earlier_run(tmp_path, earlier):
    if earlier:
        kept(tmp_path).put(1, "structure", 0)
    again = kept(tmp_path, resume=False)
    again.put(2, "pilot")
    again.remove_if_little()
    assert again.folder.is_dir() == earlier


def test_a_finite_group_from_a_file_is_the_same(tmp_path):
    engine = Engine()
    for _ in range(2):
        report = analyze(
            engine, structures(engine), "C3v", progress=False, kept=kept(tmp_path)
        )  # fmt: skip
        # and nothing better is to be had for more time
        plan = "7 of 7 structures, all 6 elements of C3v on each"
        assert report.summary["plan"] == plan
