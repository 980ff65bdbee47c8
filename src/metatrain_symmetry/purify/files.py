"""What is written: checked before any work, put in place at the end, all or nothing."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


REPORT = (
    "curve.csv", "accuracy.csv", "characters.csv", "summary.json",
    "tradeoff.svg", "tradeoff.png",
)  # fmt: skip
"""What a folder of a report holds."""


def check_checkpoint(output: Path, source: Path, overwrite: bool) -> Path:
    """Make sure that the checkpoint can be written.

    :param output: where to
    :param source: the input
    :param overwrite: whether an older file may be replaced, the input included
    :raises ValueError: if it cannot
    :return: the path, with links resolved
    """
    output = output.resolve()
    if output.suffix != ".ckpt":
        raise ValueError(f"'{output.name}' must end in .ckpt: metatrain tells files by it")
    if output.is_dir():
        raise ValueError(f"'{output}' is a folder: name a file with -o")
    if output.exists() and not overwrite:
        what = "the input" if output == source.resolve() else "there already"
        raise ValueError(
            f"'{output}' is {what}: name another file with -o, or replace it with "
            "--overwrite"
        )
    return output


def check_report(folder: Path, overwrite: bool) -> Path:
    """Make sure that the report can be written.

    :param folder: where to
    :param overwrite: whether an older report may be replaced
    :raises ValueError: if it cannot
    :return: the path, with links resolved
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"'{folder}' is a file: name a folder with --report")
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if found and not overwrite:
        raise ValueError(
            f"the folder '{folder}' is there already: name another one with --report, or "
            "replace it with --overwrite"
        )
    others = sorted(found.difference(REPORT))
    if others:
        raise ValueError(
            f"the folder '{folder}' holds more than a report ('{others[0]}'), which "
            "--overwrite would delete: name another one with --report"
        )
    return folder


def write_all(
    report: Path | None,
    write_report: Callable[[Path], object],
    output: Path | None,
    checkpoint: dict[str, Any],
) -> None:
    """Write report and checkpoint; should one fail, neither is there.

    :param report: folder, None for no report
    :param write_report: writes into an empty folder
    :param output: file, None for no checkpoint
    :param checkpoint: its content
    """
    made: list[tuple[Path, Path]] = []
    scratches: list[Path] = []
    try:
        if report is not None:
            scratch = _scratch(report, scratches)
            write_report(scratch)
            scratch.chmod(0o755)
            made.append((scratch, report))
        if output is not None:
            file = _scratch(output, scratches) / output.name
            torch.save(checkpoint, file)
            made.append((file, output))
        for new, place in made:
            _put(new, place, scratches)
    finally:
        for scratch in scratches:
            shutil.rmtree(scratch, ignore_errors=True)


def _scratch(place: Path, scratches: list[Path]) -> Path:
    """Hidden folder beside a place, so that moving there is atomic."""
    place.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    scratches.append(scratch)
    return scratch


def _put(new: Path, place: Path, scratches: list[Path]) -> None:
    """Move into place; a folder that was there comes back if that fails."""
    if not place.is_dir():
        os.replace(new, place)
        return
    old = _scratch(place, scratches) / "old"
    os.replace(place, old)
    try:
        os.replace(new, place)
    except OSError:
        os.replace(old, place)
        raise
