"""A sweep that was killed goes on where it was."""

import logging
from pathlib import Path

import pytest
import torch
from purify_common import samples, structures, toy

from metatrain_symmetry.api import purify_checkpoint
from metatrain_symmetry.groups import O3Grid
from metatrain_symmetry.measure.kept import Kept
from metatrain_symmetry.purify import accumulate, run
from metatrain_symmetry.purify.accumulate import Sweep
from metatrain_symmetry.purify.features import FeatureEngine
from metatrain_symmetry.purify.problems import find_problems


class Killed(BaseException):
    """As good as a kill."""


class Source(list):
    """Structures that are read; one of them may be the last.

    :param chosen: with labels
    :param fatal: number of the structure at which the run is killed
    """

    name = "training"

    def __init__(self, chosen, fatal=None):
        super().__init__(chosen)
        self.fatal = fatal

    @staticmethod
    def read(source, index):
        if index == source.fatal:
            raise Killed
        return source[index]


class Bar:
    n = 0

    def update(self, count):
        self.n += count

    def clear(self):
        pass


@pytest.fixture(scope="module")
def world():
    engine = FeatureEngine(toy(), ["energy", "mtt::matrix"])
    return engine, find_problems(engine, frozenset()), samples(engine, structures(5))


def swept(world, folder=None, chosen=None, fatal=None, monkeypatch=None):
    """Moments, bar and the number of structures that were swept."""
    engine, problems, known = world
    kept = None if folder is None else Kept(folder, "this", resume=True)
    sweep = Sweep(engine, problems, O3Grid(4), 2**30, kept=kept)
    count, orbit = [], sweep._orbit
    sweep._orbit = lambda *arguments: count.append(1) or orbit(*arguments)
    bar, source = Bar(), Source(chosen or known, fatal)
    found = sweep.run(source, source, bar)
    return [t for one in found for t in one.tensors], bar.n, len(count)


def test_a_sweep_goes_on_where_it_was(world, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(accumulate, "KEEP", 0.0)
    undisturbed, rotations, _ = swept(world)
    for fatal in (2, 2, 4):
        with pytest.raises(Killed):
            swept(world, tmp_path, fatal=fatal)
    with caplog.at_level(logging.INFO):
        found, seen, count = swept(world, tmp_path)
    assert (seen, count) == (rotations, 1)
    assert "training set: 4 of 5 structures are there" in caplog.text
    for one, other in zip(found, undisturbed, strict=True):
        assert torch.equal(one, other)


def test_another_structure_begins_anew(world, tmp_path, monkeypatch):
    monkeypatch.setattr(accumulate, "KEEP", 0.0)
    with pytest.raises(Killed):
        swept(world, tmp_path, fatal=3)
    engine, _, known = world
    changed = [*samples(engine, structures(5), seed=1)[:1], *known[1:]]
    found, _, count = swept(world, tmp_path, changed)
    assert count == 5
    for one, other in zip(found, swept(world, None, changed)[0], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("earlier", [True, False])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_mistake_removes_nothing_of_an_earlier_run(
    tmp_path, monkeypatch, caplog, earlier, error
):
    target = tmp_path / "pure.ckpt"
    folder = tmp_path / ".pure.ckpt-kept"
    if earlier:
        Kept(folder, "this").put(1, "sums")

    def purify(*arguments, **options):
        Kept(folder, "that").put(2, "sums")
        raise error("no GPU was found")

    monkeypatch.setattr(run, "purify", purify)
    job = purify_checkpoint.Job(Path("model.ckpt"), {}, target, None, "cuda", False)
    with caplog.at_level(logging.INFO), pytest.raises(error):
        purify_checkpoint._solved(job, False, resume=True)
    # what is wrong at once leaves nothing of its own
    stays = earlier or error is not ValueError
    assert folder.is_dir() == stays
    assert ("with --continue" in caplog.text) == stays
    if earlier:
        assert Kept(folder, "this", resume=True).get("sums") == 1


def test_a_dry_run_has_nothing_to_go_on_from():
    job = purify_checkpoint.Job(Path("model.ckpt"), {}, None, None, None, False)
    with pytest.raises(ValueError, match="a dry run without --report keeps nothing"):
        purify_checkpoint._solved(job, True, resume=True)
