"""Purify a checkpoint from Python: what ``mtt purify`` calls."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io import write_json
from ..places import input_file


if TYPE_CHECKING:
    from ..finetune.run import Finetuned
    from ..purify.choose import Candidate, PartResult
    from ..purify.run import Purified


SILENT = 0.1
"""Norm of a prediction over that of its target, below which nothing was learned."""


def purify_checkpoint(
    model: str | Path,
    options: str | Path | Mapping[str, Any],
    output: str | Path | None = None,
    *,
    report: str | Path | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    restart: bool = False,
    resume: bool = False,
    device: str | None = None,
    progress: bool = True,
) -> "Purified | Finetuned | None":
    """Make a checkpoint more symmetric and write what was found.

    The option ``purify.method`` says how: ``readout`` solves for the last linear layers,
    ``heads`` and ``full`` fine-tune with a penalty on asymmetry.

    :param model: checkpoint of a ``pet`` or ``pet_ssh``
    :param options: options file, or its content
    :param output: checkpoint to write; may be left out in a dry run only
    :param report: folder for curve and tables; None for one beside ``output``
    :param dry_run: write no checkpoint
    :param overwrite: replace checkpoint and report if they are there, the input included
    :param restart: go on with a fine-tuning that was interrupted
    :param resume: go on from what a run that was killed has kept beside its output; of a
        fine-tuning the same as ``restart``
    :param device: where to evaluate, None for that of the options
    :param progress: whether to show a progress bar
    :raises ValueError: if something is wrong with the input; nothing has been written then
    :return: what was found; None in all but the first of several processes

    >>> from pathlib import Path
    >>> from metatrain_symmetry import purify_checkpoint
    >>> found = purify_checkpoint(
    ...     "model.ckpt", "options.yaml", "purified.ckpt", progress=False
    ... )
    >>> list(found.results)
    ['best and latest']
    >>> Path("purified.ckpt").is_file()
    True
    """
    from ..purify.files import check_outputs
    from ..purify.options import read_shared

    if output is None and not dry_run:
        raise ValueError("name the checkpoint to write with -o, or ask for a --dry-run")
    source = input_file(model, "the model")
    target, folder = check_outputs(source, None if dry_run else output, report, overwrite)
    method = read_shared(options).method
    if method != "readout":
        from .finetune_checkpoint import finetune_checkpoint

        job = Job(source, options, target, folder, device, progress)
        return finetune_checkpoint(job, overwrite, restart or resume)
    if restart:
        raise ValueError(
            "purify.method: readout solves at once, so there is nothing to restart: leave "
            "out --restart, or go on with a sweep that was killed with --continue"
        )
    job = Job(source, options, target, folder, device, progress)
    return _solved(job, dry_run, resume)


@dataclass(frozen=True)
class Job:
    """What is asked for, with all places checked.

    :param source: the checkpoint
    :param options: options file, or its content
    :param target: checkpoint to write, None for none
    :param folder: for the report, None for none
    :param device: where to evaluate, None for that of the options
    :param progress: whether to show progress bars
    """

    source: Path
    options: str | Path | Mapping[str, Any]
    target: Path | None
    folder: Path | None
    device: str | None
    progress: bool

    def say_where(self) -> None:
        """Log what was written where."""
        for path, what in ((self.target, "checkpoint"), (self.folder, "report")):
            if path is not None:
                logging.info(f"{what}: {path}")


def _solved(job: Job, dry_run: bool, resume: bool) -> "Purified | None":
    """The closed form."""
    from ..purify.files import write_all
    from ..purify.run import forget, purify

    place = job.target or job.folder
    if resume and place is None:
        raise ValueError(
            "a dry run without --report keeps nothing, so there is nothing to go on from: "
            "leave out --continue (resume), or name the folder of a report"
        )
    with _sums_survive(place):
        found = purify(
            job.source, job.options, dry_run=dry_run, device=job.device,
            progress=job.progress, place=place, resume=resume,
        )  # fmt: skip
    if found is None:
        return None
    for line in lines(found, dry_run):
        logging.info(line)
    write_all(
        job.folder, lambda path: write_report(found, path), job.target, found.checkpoint
    )
    job.say_where()
    forget(place)
    return found


@contextmanager
def _sums_survive(place: Path | None) -> Iterator[None]:
    """Whatever ends a sweep, what it took long to find is there for the next one.

    :param place: of the results, beside which sums are kept; None where none are
    """
    from ..measure.kept import kept_folder, say_goodbye
    from ..purify.accumulate import KEEP
    from ..purify.run import forget

    folder = None if place is None else kept_folder(place)
    began, earlier = time.monotonic(), folder is not None and folder.is_dir()
    try:
        yield
    except BaseException as error:
        quick = not earlier and time.monotonic() - began < KEEP
        if isinstance(error, ValueError) and quick:
            forget(place)
        elif folder is not None:
            say_goodbye(folder)
        raise


def lines(found: "Purified", dry_run: bool) -> list[str]:
    """Say what was found in a few lines.

    :param found: the result
    :param dry_run: whether nothing is written
    :return: curves and choices
    """
    return [
        line
        for state, parts in found.results.items()
        for result in parts
        for line in _of_part(result, state, dry_run)
    ]


def _of_part(result: "PartResult", state: str, with_curve: bool) -> list[str]:
    """What was found for one part."""
    unit, before = result.part.unit, result.before.held_out
    text = [
        f"{result.part} ({state}): A {before.A:.4g} {unit}, RMSE {before.rmse:.4g} "
        f"{unit} on {result.held_out[1]} validation structures, norm of the "
        f"prediction {before.norm_ratio:.2g} of that of the target"
    ]
    if before.norm_ratio < SILENT:
        text.append(
            f"    WARNING: {result.part} is predicted as next to zero: the model "
            "has not learned this target, so train it first"
        )
    if with_curve:
        text += [
            f"    alpha {point.alpha:<8g} {_changes(result, point)}"
            for point in result.curve()
        ]
    if result.chosen is None:
        return [*text, f"    nothing to be gained: {result.reason}, the weights stay"]
    return [*text, f"    chosen: {_changes(result, result.chosen, True)}"]


def _changes(result: "PartResult", point: "Candidate", with_alpha: bool = False) -> str:
    """Changes of A and RMSE that a candidate brings."""
    before, after = result.before.held_out, point.held_out
    parts = [
        f"{name} {100 * (new / old - 1):+.2f} %" if old > 0 else f"{name} {new:.3g}"
        for name, old, new in (
            ("A", before.A, after.A), ("RMSE", before.rmse, after.rmse),
        )
    ]  # fmt: skip
    parts.append(f"norm of the prediction {after.norm_ratio:.2g} of that of the target")
    if point.gradients == point.gradients:
        more = 100 * (point.gradients - 1)
        parts.append(f"RMSE and A of gradients {more:+.2f} % at most")
    text = ", ".join(parts)
    return f"{text} (alpha {point.alpha:g}, ridge {point.ridge:g})" if with_alpha else text


def write_report(found: "Purified", folder: Path) -> None:
    """Write tables and figure.

    :param found: the result
    :param folder: an existing folder
    """
    from ..report.style import save
    from ..report.tradeoff import draw_tradeoff

    found.curve.to_csv(folder / "curve.csv", index=False)
    found.accuracy.to_csv(folder / "accuracy.csv", index=False)
    if len(found.characters):
        found.characters.to_csv(folder / "characters.csv", index=False)
    write_json(folder / "summary.json", found.summary)
    save(draw_tradeoff(found.curve, found.summary), folder / "tradeoff")
