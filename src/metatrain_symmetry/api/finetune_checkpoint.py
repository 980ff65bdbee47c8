"""Fine-tune a checkpoint to symmetry: ``mtt purify`` with ``method: heads`` or ``full``."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..io import write_json
from .purify_checkpoint import Job


if TYPE_CHECKING:
    from ..finetune.run import Finetuned

RUN = "run.json"
"""Says which fine-tuning a folder of checkpoints belongs to."""

IDENTITY = ("training_set", "validation_set", "test_set", "seed", "base_precision")
"""Sections that decide the result; the test set takes its share of the training set."""


def finetune_checkpoint(job: Job, overwrite: bool, restart: bool) -> "Finetuned":
    """Fine-tune a checkpoint and write what was found.

    :param job: what is asked for
    :param overwrite: start anew where an interrupted run has left checkpoints
    :param restart: go on with them
    :raises ValueError: if something is wrong with the input; nothing has been written then
    :return: what was found
    """
    from ..finetune.run import finetune, prepare
    from ..purify.files import write_all

    several = int(os.environ.get("WORLD_SIZE", 1)) > 1  # torchrun
    if several or int(os.environ.get("SLURM_PROCID", 0)) > 0:  # srun
        raise ValueError(
            "fine-tuning runs in one process for now: start it without torchrun and with "
            "one task, or take purify.method: readout"
        )
    task = prepare(job.source, job.options, device=job.device, show=job.progress)
    wandb = task.options.wandb
    with _workplace(job, overwrite, restart) as work, _recorded(wandb):
        found = finetune(task, work)
        for line in lines(found):
            logging.info(line)

        def write(folder: Path) -> None:
            write_report(found, folder)
            if (work / "symmetry").is_dir():
                shutil.copytree(work / "symmetry", folder / "symmetry")

        write_all(job.folder, write, job.target, found.checkpoint)
    job.say_where()
    return found


@contextmanager
def _workplace(job: Job, overwrite: bool, restart: bool) -> Iterator[Path]:
    """Folder for checkpoints on the way; kept if the run is interrupted."""
    if job.target is None:
        if restart:
            raise ValueError(
                "a dry run keeps no checkpoints that it could go on from: leave out "
                "--restart"
            )
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)
        return
    folder = job.target.with_name(f"{job.target.stem}-finetuning")
    identity = _identity(job)
    if (folder / RUN).is_file():
        _check_unfinished(folder, identity, overwrite, restart)
    elif folder.exists():
        raise ValueError(
            f"the folder '{folder}' is needed for checkpoints on the way, and is there "
            "already: name another checkpoint with -o, or move the folder"
        )
    elif restart:
        raise ValueError(
            f"there is no interrupted run in '{folder}': leave out --restart, or name the "
            "checkpoint that it was to write with -o"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_json(folder / RUN, identity)
        yield folder
    except BaseException:
        if _checkpoints(folder):
            logging.warning(f"checkpoints are in '{folder}': go on with --restart")
        else:
            shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def _checkpoints(folder: Path) -> list[Path]:
    """What an interrupted run can be continued with."""
    return list(folder.glob("model_*.ckpt"))


def _check_unfinished(
    folder: Path, identity: dict[str, Any], overwrite: bool, restart: bool
) -> None:
    """An earlier run was interrupted: go on with it, or start anew."""
    if not restart and (overwrite or not _checkpoints(folder)):
        # one that was killed before its first checkpoint has nothing to lose
        shutil.rmtree(folder)
        return
    if not restart:
        raise ValueError(
            f"an interrupted run has left checkpoints in '{folder}': go on with --restart, "
            "or start anew with --overwrite"
        )
    if json.loads((folder / RUN).read_text()) != identity:
        raise ValueError(
            f"the run in '{folder}' was started with another model or other options: give "
            "those, or start anew with --overwrite and without --restart"
        )


def _identity(job: Job) -> dict[str, Any]:
    """What decides the result of a run."""
    from omegaconf import OmegaConf

    from ..purify.options import read_shared

    shared = read_shared(job.options)
    options: Any = OmegaConf.to_container(shared.options, resolve=True)
    kept = {name: options.get(name) for name in IDENTITY}
    digest = hashlib.sha256(job.source.read_bytes()).hexdigest()
    return {"model": digest, "options": json.loads(json.dumps(kept)), **shared.purify}


def _recorded(options: dict[str, Any] | None) -> Any:
    """A run of Weights & Biases, where the options ask for one."""
    if options is None:
        return nullcontext()
    return _wandb(options)


@contextmanager
def _wandb(options: dict[str, Any]) -> Iterator[None]:
    try:
        import wandb
    except ImportError:
        raise ValueError(
            "the options have a section wandb, and it is not installed: run pip install "
            "wandb, or take the section out"
        ) from None
    from metatrain.utils.logging import ROOT_LOGGER, WandbHandler

    with wandb.init(**options) as run:
        handler = WandbHandler(run)
        ROOT_LOGGER.addHandler(handler)
        try:
            yield
        finally:
            ROOT_LOGGER.removeHandler(handler)


def lines(found: "Finetuned") -> list[str]:
    """Say what was found in a few lines.

    :param found: the result
    """
    text = []
    for row in found.accuracy.to_dict("records"):
        name = f"{row['target']} ({row['o3_lambda']},{'+-'[row['o3_sigma'] < 0]})"
        text.append(
            f"{name}: A {row['A_before']:.4g} -> {row['A_after']:.4g} {row['unit']} "
            f"({100 * row['A_change']:+.1f} %), RMSE {row['rmse_before']:.4g} -> "
            f"{row['rmse_after']:.4g} ({100 * row['rmse_change']:+.2f} %), on "
            f"{row['validation_structures']} validation structures"
        )
    choice = found.choice
    if choice.chosen is None:
        return [*text, f"nothing to be gained: {choice.reason}, the weights stay"]
    share = choice.chosen.share
    where = "the end" if share == 1 else f"{100 * share:.0f} %"
    return [*text, f"chosen: the weights at {where} of the fine-tuning"]


def write_report(found: "Finetuned", folder: Path) -> None:
    """Write tables and figure.

    :param found: the result
    :param folder: an existing folder
    """
    from ..report.style import save
    from ..report.tradeoff import draw_way

    found.curve.to_csv(folder / "curve.csv", index=False)
    found.accuracy.to_csv(folder / "accuracy.csv", index=False)
    if len(found.characters):
        found.characters.to_csv(folder / "characters.csv", index=False)
    write_json(folder / "summary.json", found.summary)
    save(draw_way(found.curve, found.summary), folder / "tradeoff")
