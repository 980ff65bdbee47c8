"""Structures made one by one and kept in parts, so that a killed maker goes on."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks._results import write_json
from metatrain_symmetry.io import replacing


GENERATED = Path(__file__).parents[2] / "data" / "generated"
"""Where made data go; git ignores it."""

DIGITS = 8
"""Decimals of positions in extended XYZ: labels belong to the rounded positions."""

Record = dict[str, np.ndarray]
"""One structure: arrays by name."""


def parser_of(text: str | None, structures: str, quick: str) -> argparse.ArgumentParser:
    """Options that all makers have.

    :param text: docstring of the maker
    :param structures: how many it makes, in words
    :param quick: how many ``--quick`` makes, in words
    """
    parser = argparse.ArgumentParser(description=(text or "").splitlines()[0])
    parser.add_argument("--output-dir", type=Path, default=GENERATED)
    parser.add_argument("--structures", type=int, help=f"(default: {structures})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help=quick)
    return parser


def in_parts(
    folder: Path, count: int, make: Callable[[int], Record], size: int = 20
) -> list[Record]:
    """Make structures, or read those that an earlier run has made.

    :param folder: where parts are kept, one file for ``size`` structures
    :param count: number of structures
    :param make: makes structure ``i``, from a seed of its own: the order must not matter
    :param size: structures in a part
    :return: all structures, in order
    """
    folder.mkdir(parents=True, exist_ok=True)
    records: list[Record] = []
    with tqdm(total=count, unit="structure") as bar:
        for start in range(0, count, size):
            file = folder / f"{start:06d}.npz"
            indices = range(start, min(start + size, count))
            if not file.exists():
                part = []
                for index in indices:
                    part.append(make(index))
                    bar.update()
                _save(file, part)
            else:
                bar.update(len(indices))
            records += _load(file)
    return records


def parts_of(folder: Path, settings: dict[str, Any]) -> Path:
    """Folder for the parts of one data set: other settings, another folder.

    :param folder: where the data set will be
    :param settings: all that decides what it holds
    :return: hidden folder inside ``folder``
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    return folder / f".parts-{digest.hexdigest()[:12]}"


def is_made(description: Path, settings: dict[str, Any]) -> bool:
    """Whether a data set is there already, with these settings.

    :param description: JSON file that is written last
    :param settings: all that decides what it holds
    """
    if not description.is_file():
        return False
    return bool(json.loads(description.read_text())["settings"] == settings)


def finish(
    description: Path,
    settings: dict[str, Any],
    about: dict[str, Any],
    packages: tuple[str, ...],
) -> None:
    """Describe a data set that is whole, and forget its parts.

    :param description: JSON file to write, after everything else
    :param settings: all that decided what it holds
    :param about: what was found: sizes, errors of checks
    :param packages: names of the packages whose versions matter
    """
    content = {
        "settings": settings,
        **about,
        "versions": {package: version(package) for package in packages},
    }
    write_json(description, content)
    shutil.rmtree(parts_of(description.parent, settings), ignore_errors=True)


def _save(file: Path, part: list[Record]) -> None:
    arrays = {
        f"{position}/{name}": value
        for position, record in enumerate(part)
        for name, value in record.items()
    }
    with replacing(file) as new:
        np.savez(new, **arrays)  # type: ignore[arg-type]


def _load(file: Path) -> list[Record]:
    records: dict[int, Record] = {}
    with np.load(file) as arrays:
        for key in arrays.files:
            position, _, name = key.partition("/")
            records.setdefault(int(position), {})[name] = arrays[key]
    return [records[position] for position in sorted(records)]
