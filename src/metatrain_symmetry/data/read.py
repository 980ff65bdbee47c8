"""Structures with their targets, from whatever they are given as."""

import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..messages import reason
from ..models.engine import Engine
from ..models.live_or_exported import length_unit, target_info
from ..places import input_file
from .agreement import check_labels, check_targets
from .datasets import DataSet, Infos, open_sets
from .given import GivenStructure, GivenStructures
from .opened import fields_of, is_data_set, open_archive, open_data
from .options_files import evaluation
from .systems import SystemReader, read_systems
from .targets_of_atoms import of_atoms
from .targets_of_tensors import of_tensors


CHECKED = 2000
"""Structures up to which all of them are read once before one is measured."""


def read_structures(
    source: Any, engine: Engine, limit: int | None = None, seed: int = 0
) -> GivenStructures:
    """Read structures and targets, each when it is asked for.

    Up to 2000 structures are looked at before this returns. Of more than that each is
    looked at when it is read.

    :param source: a file that ASE reads, a data set of metatrain (zip or folder), an
        options file, or structures
    :param engine: whose model shall evaluate them
    :param limit: take at most so many, chosen at random; None for all
    :param seed: of the choice
    :raises ValueError: if there are none, if one cannot be read, or if the model cannot
        take one of them
    :return: those that were chosen
    """
    found = open_structures(source, engine).some(limit, seed)
    if not len(found):
        raise ValueError("there are no structures: give at least one")
    if len(found) <= CHECKED:
        for one in found:
            one.targets(engine.blocks)
    return found


def open_structures(source: Any, engine: Engine) -> GivenStructures:
    """Find structures, each of which is read and looked at when it is asked for.

    :param source: as for :func:`read_structures`
    :param engine: whose model shall evaluate them
    :raises ValueError: if the source cannot be opened
    :return: all of them
    """
    if is_options_file(source):
        return _checked(of_options(Path(source), engine), engine)
    if isinstance(source, str | Path) and is_data_set(Path(source)):
        return _checked(_of_data_set(Path(source), engine), engine)
    reader = SystemReader(source, engine)

    def read(index: int) -> GivenStructure:
        atoms, system = reader.read(index)
        return GivenStructure(f"structure {index}", system, partial(of_atoms, atoms))

    return GivenStructures(len(reader), read, reader.size)


def _checked(found: GivenStructures, engine: Engine) -> GivenStructures:
    """The same structures, each looked at when it is read."""

    def read(index: int) -> GivenStructure:
        one = found[index]
        try:
            read_systems([one.system], engine)
        except ValueError as error:
            text = str(error).replace("structure 0", f"structure {index}", 1)
            raise ValueError(text) from None
        return one

    return GivenStructures(len(found), read, found.size)


def is_options_file(source: object) -> bool:
    """Whether structures are given by an options file.

    :param source: as given
    :return: true for paths of YAML files
    """
    return isinstance(source, str | Path) and Path(source).suffix in (".yaml", ".yml")


def of_options(path: Path, engine: Engine) -> GivenStructures:
    """Read structures and targets as ``mtt eval`` does, each when it is asked for.

    :param path: options file with ``systems`` and perhaps ``targets`` and ``indices``, or
        with a list of these
    :param engine: of the model
    :raises ValueError: if it cannot be read, or if a target is of another type than in
        the model
    :return: structures that nobody has checked yet
    """
    sets, _ = open_sets(evaluation(path), f"'{path}'")
    for one in sets:
        check_targets(engine, one.infos)
    return _of_sets(sets, engine)


def _of_sets(sets: list[DataSet], engine: Engine) -> GivenStructures:
    """Structures of data sets, one set after the other."""
    unit = length_unit(getattr(engine, "model", None))
    ends = np.cumsum([len(one.indices) for one in sets])

    def place(index: int) -> tuple[int, int]:
        number = int(np.searchsorted(ends, index, side="right"))
        before = int(ends[number - 1]) if number else 0
        return number, int(sets[number].indices[index - before])

    def read(index: int) -> GivenStructure:
        number, position = place(index)
        one = sets[number]
        system, tensors = one.sample(position, unit)
        of_set = f" of data set {number}" if len(sets) > 1 else ""
        check_labels(tensors, f"structure {position}{of_set}")
        targets = partial(of_tensors, system, tensors, one.infos)
        return GivenStructure(f"structure {index}", system, targets)

    def size(index: int) -> int:
        number, position = place(index)
        return sets[number].n_atoms(position)

    return GivenStructures(int(ends[-1]) if sets else 0, read, size)


def _of_data_set(path: Path, engine: Engine) -> GivenStructures:
    """Structures of a zip file with the targets of the model, or of a folder without."""
    if not path.is_dir():
        input_file(path, "the data set")
    try:
        data, infos = _opened(path, engine)
    except Exception as error:
        raise ValueError(
            f"'{path}' cannot be read as a data set of metatrain ({reason(error)}): check "
            "that it is whole"
        ) from error
    return _of_sets([DataSet(data, infos, range(len(data)), "")], engine)


def _opened(path: Path, engine: Engine) -> tuple[Any, Infos]:
    """A data set, and what the targets are that the model has too."""
    if path.is_dir():
        logging.info(
            f"'{path}' does not say which targets it holds: to compare with them, give an "
            "options file with systems and targets"
        )
        return open_data({"systems": {"read_from": str(path)}})
    data = open_archive(path, {})
    model = getattr(engine, "model", None)
    infos = {name: target_info(model, name) for name in _common(fields_of(data), engine)}
    known = {name: info for name, info in infos.items() if info is not None}
    return (open_archive(path, {name: {} for name in known}) if known else data), known


def _common(fields: Iterable[str], engine: Engine) -> list[str]:
    """Targets of the model that a data set holds under the same name."""
    wanted = {block.target for block in engine.blocks}
    return [name for name in fields if name in wanted]
