"""One of several processes that measure together; started by a test.

    python worker_of_processes.py WHAT FOLDER

WHAT: ``measure``, ``again`` (twice, by processes that have met before), or what the second
process does in the middle of it: ``stop`` (it hangs) or ``refuse`` (it finds a mistake in
the input); in ``leave`` the first one is killed.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from metatrain_symmetry import Block, FunctionEngine, Irrep, Settings, analyze, processes
from metatrain_symmetry.data.labelled import LabelledStructure
from metatrain_symmetry.io import write_folder
from metatrain_symmetry.measure.kept import Kept


VECTOR = Block("force", Irrep(1), "atom", "eV/A")
SCALAR = Block("energy", Irrep(0), "system", "eV")
SIZES = (5, 3, 8, 1, 4, 6, 2)


def force(points):
    """A vector field that is not quite equivariant."""
    return (points + 0.1 * points.roll(1, dims=-1) ** 2).unsqueeze(-1)


def energy(points):
    """A scalar that is not quite invariant."""
    return (points.square().sum((1, 2)) + 0.1 * points[:, 0, 0] ** 3)[:, None, None, None]


class Engine(FunctionEngine):
    """Does something on purpose in the middle of the work."""

    def __init__(self, act=None, after=0):
        super().__init__({VECTOR: force, SCALAR: energy}, {"layer": lambda p: p.sin()})
        self.act, self.after = act, after

    def evaluate(self, structure, matrices, blocks, probes):
        self.after -= 1
        if self.act is not None and self.after == 0:
            self.act()
        return super().evaluate(structure, matrices, blocks, probes)


def structures(engine):
    """Clouds with targets."""
    random = np.random.default_rng(0)
    found = []
    for i, size in enumerate(SIZES):
        cloud = torch.from_numpy(random.normal(size=(size, 3)))
        target = torch.from_numpy(random.normal(size=(size, 3, 1)))
        found.append(
            LabelledStructure(engine.prepare(cloud, f"cloud {i}"), {VECTOR: target})
        )
    return found


def report_of(engine, together=None, kept=None, **options):
    """Measure all of it."""
    settings = Settings(**({"lambda_max": 3, "budget": None} | options))
    return analyze(
        engine, structures(engine), settings=settings, progress=False,
        processes=together, kept=kept,
    )  # fmt: skip


def refuse():
    """As what reads structures does."""
    raise ValueError("structure 3 is wrong: correct it")


ACTS = {
    "measure": None,
    "again": None,
    "leave": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "refuse": refuse,
}


def main(what, folder):
    """Measure together."""
    processes.BEAT, processes.PATIENCE = 0.2, 4.0
    if what == "again":
        torch.distributed.init_process_group("gloo")
        with processes.joined("cpu") as together:
            report_of(Engine(), together)
    with processes.joined("cpu") as together:
        acts = together.first == (what == "leave")
        engine = Engine(ACTS[what] if acts else None, 8)
        kept = Kept(folder.with_name(".kept"), "test")
        report = report_of(engine, together, kept)
        if together.first:
            write_folder(folder, report.save)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
