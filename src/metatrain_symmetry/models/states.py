"""Reads a model from a file: a checkpoint in one of its states, or an exported model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metatrain.utils.io import is_exported_file, load_model, model_from_checkpoint

from ..places import input_file
from .checkpoints import Checkpoint, read_checkpoint, refuse_branch


STATES = {"best": "best_model_state_dict", "latest": "model_state_dict"}
"""What ``mtt export`` and ``mtt eval`` take, and what a restart continues with."""

_CONTEXTS = {"best": "export", "latest": "restart"}
_EPOCHS = {"best": "best_epoch", "latest": "epoch"}


@dataclass(frozen=True)
class Loaded:
    """A model and the state it was read in.

    :param model: the module
    :param state: ``best`` or ``latest``; empty where a file holds one state only
    :param epochs: completed passes over the training set, None if unknown
    """

    model: Any
    state: str = ""
    epochs: int | None = None

    @property
    def text(self) -> str:
        """Such as ``best state (after 64 epochs)``, empty where there is one only."""
        if not self.state or self.epochs is None:
            return f"{self.state} state" if self.state else ""
        return f"{self.state} state (after {self.epochs} epochs)"


def load(
    path: Path, extensions: str | Path | None = None, state: str | None = None
) -> Loaded:
    """Read a model.

    :param path: a checkpoint or an exported model
    :param extensions: folder of the extensions of an exported model
    :param state: ``best`` or ``latest`` of a checkpoint; None for the best one, which
        metatrain exports and evaluates
    :raises ValueError: if it cannot be read, or does not hold the state
    :return: the model and what it is
    """
    if state not in (None, *STATES):
        raise ValueError(
            f"give best or latest for the state of a checkpoint, not '{state}'"
        )
    if path.suffix in (".yaml", ".yml"):
        raise ValueError(f"'{path}' is an options file: give a checkpoint or a model")
    input_file(path, "the model")
    if extensions is not None and not Path(extensions).is_dir():
        raise ValueError(f"there is no folder of extensions '{extensions}': correct it")
    exported = _is_exported(path)
    if exported and state is None:
        try:
            return Loaded(load_model(path, extensions_directory=extensions))
        except Exception as error:
            raise _unreadable(path) from error
    if exported:
        raise ValueError(
            f"'{path}' is an exported model, which holds one state only: leave out "
            "--state, or give the checkpoint"
        )
    try:
        checkpoint = read_checkpoint(path)
    except ValueError as error:
        raise _unreadable(path) from error
    refuse_branch(path, checkpoint)
    return _from_checkpoint(path, checkpoint, state)


def _from_checkpoint(path: Path, checkpoint: Checkpoint, state: str | None) -> Loaded:
    """The model of one state."""
    held = [name for name, key in STATES.items() if checkpoint.get(key) is not None]
    if state is not None and state not in held:
        instead = f": use --state {held[0]}" if held else ", nor any other that we know"
        raise ValueError(f"'{path}' holds no {state} state{instead}")
    # without a best state, metatrain exports the latest if it can
    name = state or (held[0] if held else "")
    context: Any = _CONTEXTS.get(state or "best")
    epoch = checkpoint.get(_EPOCHS.get(name, ""))
    try:
        # may take the checkpoint apart
        model = model_from_checkpoint(checkpoint, context=context)
    except Exception as error:
        if name == "latest" and state is None:
            raise ValueError(
                f"'{path}' holds no best state, which metatrain would export: use --state "
                "latest"
            ) from error
        raise _unreadable(path) from error
    # metatrain counts from 0 the epoch that was completed last
    return Loaded(model, name, None if epoch is None else int(epoch) + 1)


def _is_exported(path: Path) -> bool:
    """Whether a file is an exported model; one that is no archive is not."""
    try:
        return is_exported_file(str(path))
    except RuntimeError:
        # read_checkpoint says what is wrong with it
        return False


def _unreadable(path: Path) -> ValueError:
    return ValueError(
        f"'{path}' cannot be read as a checkpoint or an exported model, perhaps because it "
        "is truncated or of a later version: give a whole .ckpt or .pt file of metatrain"
    )
