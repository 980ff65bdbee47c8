"""Structures with their targets, from whatever they are given as."""

from functools import partial
from pathlib import Path
from typing import Any

from ..models.engine import Engine
from ..models.live_or_exported import length_unit
from .agreement import check_labels, check_targets
from .datasets import open_sets
from .given import GivenStructure
from .options_files import evaluation
from .systems import read_systems
from .targets_of_atoms import of_atoms
from .targets_of_tensors import of_tensors


def read_structures(source: Any, engine: Engine) -> list[GivenStructure]:
    """Read structures and targets.

    :param source: a file that ASE reads, an options file, or structures
    :param engine: whose model shall evaluate them
    :raises ValueError: if there are none, if one cannot be read, or if the model cannot
        take one of them
    :return: all of them
    """
    if is_options_file(source):
        found = of_options(Path(source), engine)
        read_systems([one.system for one in found], engine)
        return found
    return [
        GivenStructure(f"structure {index}", system, partial(of_atoms, atoms))
        for index, (atoms, system) in enumerate(read_systems(source, engine))
    ]


def is_options_file(source: object) -> bool:
    """Whether structures are given by an options file.

    :param source: as given
    :return: true for paths of YAML files
    """
    return isinstance(source, str | Path) and Path(source).suffix in (".yaml", ".yml")


def of_options(path: Path, engine: Engine) -> list[GivenStructure]:
    """Read structures and targets as ``mtt eval`` does.

    :param path: options file with ``systems`` and perhaps ``targets`` and ``indices``, or
        with a list of these
    :param engine: of the model
    :raises ValueError: if it cannot be read, or if a target is of another type than in
        the model
    :return: structures that nobody has checked yet
    """
    found: list[GivenStructure] = []
    unit = length_unit(getattr(engine, "model", None))
    sets, _ = open_sets(evaluation(path), f"'{path}'")
    for number, one in enumerate(sets):
        check_targets(engine, one.infos)
        of_set = f" of data set {number}" if len(sets) > 1 else ""
        for index in one.indices:
            system, tensors = one.sample(index, unit)
            check_labels(tensors, f"structure {index}{of_set}")
            targets = partial(of_tensors, system, tensors, one.infos)
            found.append(GivenStructure(f"structure {len(found)}", system, targets))
    return found
