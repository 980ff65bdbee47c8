"""Options files of the studies, changed for a variant, with absolute paths."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml


ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
GENERATED = "data/generated"


def load(name: str, data: Path) -> dict[str, Any]:
    """Read an options file of ``configs/``.

    :param name: of the file
    :param data: folder with the made data, in place of ``data/generated``
    :return: options; a run may happen in any folder
    """
    text = (CONFIGS / name).read_text()
    content: dict[str, Any] = yaml.safe_load(text)
    return _relocated(content, data.resolve())


def changed(options: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Change options.

    :param options: nested options, left as they are
    :param changes: new values by dotted path; a path that is not there is made
    :return: the changed options
    """
    result = copy.deepcopy(options)
    for path, value in changes.items():
        *parents, last = path.split(".")
        node = result
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = copy.deepcopy(value)
    return result


def evaluation(options: dict[str, Any], stem: str) -> dict[str, Any]:
    """Options as for ``mtt eval``, for files beside those of the training.

    :param options: of a training
    :param stem: name of the files, without suffix
    :return: ``systems`` and ``targets``
    """
    section = copy.deepcopy(options["training_set"])
    for part in (section["systems"], *section["targets"].values()):
        if "read_from" in part:
            path = Path(part["read_from"])
            part["read_from"] = str(path.with_name(stem + path.suffix))
    return {"systems": section["systems"], "targets": section["targets"]}


def _relocated(node: Any, data: Path) -> Any:
    if isinstance(node, dict):
        return {key: _relocated(value, data) for key, value in node.items()}
    if isinstance(node, list):
        return [_relocated(value, data) for value in node]
    if isinstance(node, str) and node.startswith(f"{GENERATED}/"):
        return str(data / node.removeprefix(f"{GENERATED}/"))
    return node
