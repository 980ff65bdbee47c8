"""Make training sets of several sizes beside one validation and one test set.

The structures are those of :mod:`benchmarks.makers.chgnet_solids`, labelled by CHGNet, AN
ML TEACHER, but more of them. They are in a shuffled order: the first are the test set, the
next are the validation set, and a training set of ``n`` is the first ``n`` of the rest, so
that a smaller set is part of a larger one::

    pip install -c constraints.txt -e ".[datasets]"
    OMP_NUM_THREADS=1 python -m benchmarks.makers.chgnet_splits

A killed run goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

import ase.io
from ase import Atoms

from benchmarks.makers import chgnet_solids
from benchmarks.makers._parts import parser_of
from metatrain_symmetry.io import replacing


FOLDER = "chgnet_splits"
HELD_OUT = 160
"""Structures of the validation set, and of the test set."""
TRAINED_ON = (320, 1280, 5120)
"""Sizes of the training sets."""
QUICK_HELD_OUT, QUICK_TRAINED_ON = 10, (10, 20, 40)


def split(frames: list[Atoms], held_out: int, sizes: tuple[int, ...]) -> dict[str, list]:
    """Cut a shuffled data set.

    :param frames: at least ``2 * held_out + max(sizes)`` structures
    :param held_out: structures to validate, and to test
    :param sizes: of the training sets
    :return: structures by name of the set: ``test``, ``validation``, ``training_320`` ...
    :raises ValueError: if there are too few structures
    """
    wanted = 2 * held_out + max(sizes)
    if len(frames) < wanted:
        raise ValueError(f"{len(frames)} structures are too few: make {wanted}")
    rest = frames[2 * held_out :]
    return {
        "test": frames[:held_out],
        "validation": frames[held_out : 2 * held_out],
        **{f"training_{size}": rest[:size] for size in sizes},
    }


def main() -> None:
    """Make the structures, unless they are there, and cut them."""
    arguments = parser_of(__doc__, "5440", "60 structures").parse_args()
    quick: bool = arguments.quick
    held_out, sizes = (
        (QUICK_HELD_OUT, QUICK_TRAINED_ON) if quick else (HELD_OUT, TRAINED_ON)
    )
    folder: Path = arguments.output_dir / FOLDER
    count = arguments.structures or 2 * held_out + max(sizes)
    numbers = ["--structures", str(count), "--seed", str(arguments.seed)]
    chgnet_solids.main(["--output-dir", str(folder), *numbers])
    frames = list(ase.io.iread(folder / "chgnet_solids.xyz", ":"))
    for name, part in split(frames, held_out, sizes).items():
        with replacing(folder / f"{name}.xyz") as new:
            ase.io.write(new, part)


if __name__ == "__main__":
    main()
