"""A sweep that was killed goes on where it was."""

import pytest
import torch
from purify_common import samples, structures, toy

from metatrain_symmetry.groups import O3Grid
from metatrain_symmetry.measure.kept import Kept
from metatrain_symmetry.purify import accumulate
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


def test_a_sweep_goes_on_where_it_was(world, tmp_path, monkeypatch):
    monkeypatch.setattr(accumulate, "KEEP", 0.0)
    undisturbed, rotations, _ = swept(world)
    for fatal in (2, 2, 4):
        with pytest.raises(Killed):
            swept(world, tmp_path, fatal=fatal)
    found, seen, count = swept(world, tmp_path)
    assert (seen, count) == (rotations, 1)
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
