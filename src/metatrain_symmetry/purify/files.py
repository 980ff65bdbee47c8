"""What is written: checked before any work, put in place at the end, all or nothing."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from ..io import list_files, replacing
from ..places import check_apart, check_file, check_folder, resolved


REPORT = (
    "curve.csv", "accuracy.csv", "characters.csv", "summary.json",
    "tradeoff.svg", "tradeoff.png",
)  # fmt: skip
"""What a folder of a report holds."""


def check_outputs(
    source: Path, output: str | Path | None, report: str | Path | None, overwrite: bool
) -> tuple[Path | None, Path | None]:
    """Make sure, before any work, that checkpoint and report can be written.

    :param source: the input
    :param output: checkpoint to write, None for none
    :param report: folder for the report, None for one beside the checkpoint
    :param overwrite: whether older results may be replaced, the input included
    :raises ValueError: if one cannot, or if they lie in each other's place
    :return: checkpoint and folder, with links resolved
    """
    target = None
    if output is not None:
        target = check_checkpoint(output, source, overwrite)
        report = report or target.with_name(f"{target.stem}-report")
    if report is None:
        return target, None
    places = {"the report": resolved(report, "--report")}
    if target is not None:
        check_apart({"the checkpoint": target, **places})
    check_apart({"the input": source.resolve(), **places})
    return target, check_folder(report, overwrite, "--report")


def check_checkpoint(output: str | Path, source: Path, overwrite: bool) -> Path:
    """Make sure that the checkpoint can be written.

    :param output: where to
    :param source: the input
    :param overwrite: whether an older file may be replaced, the input included
    :raises ValueError: if it cannot
    :return: the path, with links resolved
    """
    why = "metatrain knows checkpoints by it"
    return check_file(output, source, overwrite, ".ckpt", why)


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
    with ExitStack() as stack:
        # both are whole before the first of them takes its place
        if output is not None:
            torch.save(checkpoint, stack.enter_context(replacing(output)))
        if report is not None:
            folder = stack.enter_context(replacing(report))
            folder.mkdir()
            write_report(folder)
            list_files(folder)
