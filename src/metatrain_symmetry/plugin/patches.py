"""Every contact of ours with the internals of metatrain.

One function per module of metatrain, named in :data:`PATCHES`;
:mod:`metatrain_symmetry.plugin.hook` calls it once that module has been executed.
Standard library only: this is read while ``import torch`` is running. What each
function relies on is asserted by name in ``tests/plugin/test_contacts.py``.

``metatrain.__main__`` needs no function: it binds the names of ``metatrain.cli`` after
we replaced them, and where it was earlier, :func:`_replace` binds them again.
"""

import argparse
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from . import commands


SHIMS = Path(__file__).parent.resolve() / "shims"
"""Folder of packages that show up as ``metatrain.NAME``."""

ARCHITECTURES = ("pet_ssh",)
"""What we add to the architectures of metatrain."""

_MARK = "_metatrain_symmetry"


def patch_package(metatrain: ModuleType) -> None:
    """Let ``metatrain.pet_ssh`` be found.

    :param metatrain: the package ``metatrain``
    """
    if str(SHIMS) not in metatrain.__path__:
        metatrain.__path__.append(str(SHIMS))


def patch_architectures(architectures: ModuleType) -> None:
    """Let our architectures be listed, and their folders be known.

    :param architectures: the module ``metatrain.utils.architectures``
    """

    def find_all(original: Callable[[], list[str]]) -> list[str]:
        found = original()
        return found + [name for name in ARCHITECTURES if name not in found]

    def get_path(original: Callable[[str], Path], name: str) -> Path:
        path = original(name)  # has complained about an unknown name
        return SHIMS / name if name in ARCHITECTURES else path

    def get_name(original: Callable[[str | Path], str], path: str | Path) -> str:
        path = Path(path)
        directory = (path if path.is_dir() else path.parent).resolve()
        if path.exists() and directory.parent == SHIMS:
            return directory.name
        return original(path)

    _replace(architectures, "find_all_architectures", find_all)
    _replace(architectures, "get_architecture_path", get_path)
    _replace(architectures, "get_architecture_name", get_name)


def patch_pydantic(pydantic: ModuleType) -> None:
    """Let messages about wrong options point to our documentation.

    metatrain's own links lead to a page of docs.metatensor.org that does not exist.

    :param pydantic: the module ``metatrain.utils.pydantic``
    """

    def link(original: Callable[[Any, str], str], error: Any, cls: str) -> str:
        if error._architecture in ARCHITECTURES:
            return f"metatrain_symmetry.{error._architecture}.documentation.{cls}"
        return original(error, cls)

    _replace(pydantic.MetatrainArchitectureValidationError, "architecture_link", link)


def patch_export(export: ModuleType) -> None:
    """Let ``mtt`` have our sub-commands.

    ``main()`` knows three sub-commands by name. Ours travel as ``export_model``, and
    thereby have metatrain's ``--debug``, logging, ``error.log`` and exit codes.

    :param export: the module ``metatrain.cli.export``
    """

    def add_parsers(original: Callable[[Any], None], subparser: Any) -> None:
        original(subparser)
        for command in commands.COMMANDS:
            commands.add_parser(subparser, command)

    def prepare(
        original: Callable[[argparse.Namespace], None], args: argparse.Namespace
    ) -> None:
        if not hasattr(args, "_command"):
            original(args)

    def run(original: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        command = kwargs.pop("_command", None)
        if command is None:
            original(*args, **kwargs)
        else:
            commands.run(command, argparse.Namespace(**kwargs))

    _replace(export, "_add_export_model_parser", add_parsers)
    _replace(export, "_prepare_export_model_args", prepare)
    _replace(export, "export_model", run)


def patch_train(train: ModuleType) -> None:
    """Let options for our architectures be checked and completed before training.

    A training of theirs also goes on where Weights & Biases does not start. Options of
    another architecture with a section ``symmetry`` go to :mod:`.watched`; all others
    reach metatrain as they are.

    :param train: the module ``metatrain.cli.train``
    """

    def survive(original: Callable[..., None], logger: Any, args: Any) -> None:
        try:
            original(logger, args)
        except Exception as error:
            if not _is_ours(args):
                raise
            logger.warning(
                "Weights & Biases does not start, so the training goes on without it: "
                f"{' '.join(str(error).split()) or type(error).__name__}"
            )

    def checked(original: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        call = inspect.signature(original).bind(*args, **kwargs)
        call.apply_defaults()
        if _architecture_name(call.arguments["options"]) in ARCHITECTURES:
            from metatrain_symmetry.pet_ssh import preflight

            call.arguments["options"] = preflight.check(
                call.arguments["options"],
                call.arguments["restart_from"],
                call.arguments["checkpoint_dir"],
            )
        elif _asks_for_symmetry(call.arguments["options"]):
            from . import watched

            watched.train(original, call.arguments)
            return
        original(*call.args, **call.kwargs)

    _replace(train, "train_model", checked)
    _replace(train, "_setup_wandb_logging", survive)


PATCHES: dict[str, Callable[[ModuleType], None]] = {
    "metatrain": patch_package,
    "metatrain.utils.architectures": patch_architectures,
    "metatrain.utils.pydantic": patch_pydantic,
    "metatrain.cli.export": patch_export,
    "metatrain.cli.train": patch_train,
}
"""Which function extends which module."""


def _is_ours(args: argparse.Namespace) -> bool:
    """Whether ``mtt train`` is about to train one of our architectures."""
    from omegaconf import OmegaConf

    options = getattr(args, "options", None)
    if isinstance(options, str | Path):
        options = OmegaConf.load(options)
    return _architecture_name(options) in ARCHITECTURES


def _architecture_name(options: Any) -> Any:
    """Name in the options; None where they are such that metatrain will complain."""
    for key in ("architecture", "name"):
        if not isinstance(options, Mapping):  # DictConfig is one
            return None
        options = options.get(key)
    return options


def _asks_for_symmetry(options: Any) -> bool:
    """Whether there is a section ``training: symmetry``, empty or not."""
    try:
        for key in ("architecture", "training"):
            if not isinstance(options, Mapping):  # DictConfig is one
                return False
            options = options.get(key)
        return isinstance(options, Mapping) and "symmetry" in options
    except Exception:  # a reference that leads nowhere: metatrain says so
        return False


def _replace(owner: Any, name: str, replacement: Callable[..., Any]) -> None:
    """Replace a function of a module or class, wherever metatrain has bound its name.

    :param owner: the module or class
    :param name: name of the function
    :param replacement: called with the original, then with the arguments of the call
    """
    original = getattr(owner, name)
    if hasattr(original, _MARK):
        return

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return replacement(original, *args, **kwargs)

    setattr(wrapper, _MARK, True)
    setattr(owner, name, wrapper)
    # `from .architectures import find_all_architectures` before we came
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("metatrain.") and module is not None:
            for key, value in list(vars(module).items()):
                if value is original:
                    setattr(module, key, wrapper)
