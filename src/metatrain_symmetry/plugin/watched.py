"""``training: {symmetry: {}}`` under metatrain's own architectures.

The section is taken out before metatrain validates the options, and comes back in two
places only: as the monitor around that architecture's trainer, and in the run's
``options_restart.yaml``, so that a restart from it watches on. Checkpoints never hold it.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metatrain.utils.architectures import get_default_hypers, import_architecture
from metatrain.utils.distributed.logging import is_main_process
from omegaconf import DictConfig, OmegaConf

from ..io import recover, replacing
from ..pet_ssh.preflight import check_restart
from ..training import Monitor, complete
from ..training.continuation import remember
from ..training.options import SymmetryHypers, check_files


KEY = "architecture.training.symmetry"
"""Where the section stands in an options file."""

ON_TOP = 'start_epoch + self.hypers["num_epochs"]'
"""In the source of a trainer whose restarts train ``num_epochs`` more epochs."""


def train(original: Callable[..., None], arguments: Mapping[str, Any]) -> None:
    """Train as metatrain does, watched.

    :param original: ``train_model`` of metatrain
    :param arguments: of the call, all of them, with the section in the options
    :raises ValueError: if the section is wrong, if the architecture cannot be watched, or
        if the checkpoint of a restart is of another architecture
    """
    options, section = _without_section(arguments["options"])
    call = {**arguments, "options": options}
    symmetry = complete(section)
    if symmetry is None:
        original(**call)
        return
    check_files(symmetry)
    name = options["architecture"]["name"]
    try:
        trainer = import_architecture(name).__trainer__
    except (ImportError, ValueError):
        original(**call)  # metatrain says what is wrong with the name
        return
    check_architecture(name, get_default_hypers(name)["training"])
    if arguments["restart_from"] is not None:
        check_restart(arguments["restart_from"], name)
        remember(arguments["checkpoint_dir"], arguments["restart_from"])
    with watching(trainer, symmetry, section):
        original(**call)


def check_architecture(name: str, training: Mapping[str, Any]) -> None:
    """Refuse what has nothing to watch.

    :param name: of an architecture
    :param training: its default hyperparameters
    :raises ValueError: if it is not trained epoch by epoch, or not from the beginning
    """
    if "num_epochs" not in training:
        raise ValueError(
            f"training.symmetry: '{name}' is not trained in epochs, so there is nothing to "
            "watch: leave the section out, and measure the model with mtt symmetry"
        )
    if "model_checkpoint" in training:
        raise ValueError(
            f"training.symmetry: '{name}' wraps a model that is trained already, and reads "
            "it too late to be watched: leave the section out, and measure the model with "
            "mtt symmetry"
        )


@contextmanager
def watching(
    trainer: type, options: SymmetryHypers, section: Mapping[str, Any]
) -> Iterator[None]:
    """Put the monitor around a trainer for a while.

    :param trainer: class of metatrain; its ``train`` is replaced meanwhile
    :param options: complete options ``training.symmetry``
    :param section: as the user wrote them, for ``options_restart.yaml``
    """
    inherited = "train" not in vars(trainer)
    original = trainer.train  # type: ignore[attr-defined]
    signature = inspect.signature(original)

    @functools.wraps(original)
    def train(self: Any, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(self, *args, **kwargs).arguments
        folder = given["checkpoint_dir"]
        if is_main_process():
            keep_section(Path(folder), section)
        start, last = epochs(self)
        with Monitor(given["model"], given["val_datasets"], folder, start, last, options):
            original(self, *args, **kwargs)

    trainer.train = train  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if inherited:
            del trainer.train  # type: ignore[attr-defined]
        else:
            trainer.train = original  # type: ignore[attr-defined]


def epochs(trainer: Any) -> tuple[int, int]:
    """Epochs completed before and at the end of a training that begins.

    :param trainer: of metatrain; some train ``num_epochs`` in all, others so many more
        after a restart
    :return: ``(start, last)``
    """
    done = getattr(trainer, "epoch", None)
    start = 0 if done is None else done + 1
    number = trainer.hypers["num_epochs"]
    module = inspect.getmodule(type(trainer))
    on_top = module is not None and ON_TOP in inspect.getsource(module)
    return start, start + number if on_top else number


def keep_section(run: Path, section: Mapping[str, Any]) -> None:
    """Write the section into the options that metatrain has kept with a run.

    :param run: its folder; nothing is done where it holds no options
    :param section: as the user wrote it
    """
    path = run / "options_restart.yaml"
    if not path.is_file():
        return
    options = OmegaConf.load(path)
    OmegaConf.update(options, KEY, dict(section), force_add=True)
    recover(path)
    with replacing(path) as new:
        OmegaConf.save(options, new)


def _without_section(options: Any) -> tuple[DictConfig, Any]:
    """A copy of the options without the section, and the section, references resolved."""
    copied: Any = OmegaConf.create(OmegaConf.to_container(OmegaConf.create(options)))
    section = OmegaConf.select(copied, KEY)
    if OmegaConf.is_config(section):
        section = OmegaConf.to_container(section, resolve=True)
    del copied["architecture"]["training"]["symmetry"]
    return copied, section
