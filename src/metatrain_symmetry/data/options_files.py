"""Options files, read as ``mtt train`` and ``mtt eval`` read them, with their functions.

What they accept is accepted here, what they refuse is refused in one sentence.
"""

import linecache
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from metatrain.share import base_hypers
from metatrain.utils.pydantic import (
    MetatrainValidationError,
    validate_base_options,
    validate_eval_options,
)
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError

from ..messages import of_validation, quoted, reason
from ..places import input_file


Source = str | Path | Mapping[str, Any] | list[Any]

_UNION_TAGS = ("dict", "list", "str", "bool", "fraction", "int", "float", "GradientDict")


def load(source: Source, what: str = "the options file") -> DictConfig | ListConfig:
    """Read a YAML file.

    :param source: its path, or its content
    :param what: how messages call it
    :raises ValueError: if it cannot be read, or holds neither sections nor a list
    :return: its content; a copy of what was content already
    """
    if isinstance(source, DictConfig | ListConfig):
        return source.copy()
    if isinstance(source, Mapping | list):
        try:
            content = source if isinstance(source, list) else dict(source)
            created = OmegaConf.create(content)
        except Exception as error:
            raise ValueError(
                f"the options hold something that is no YAML ({reason(error)}): give "
                "numbers, texts, lists and sections"
            ) from error
        return _with_references(created)
    path = input_file(source, what)
    try:
        found = OmegaConf.load(path)
    except yaml.MarkedYAMLError as error:
        line = (
            "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
        )
        raise ValueError(
            f"{what} '{path}' is no YAML: {error.problem}{line}, correct it there"
        ) from error
    except Exception as error:
        raise ValueError(
            f"{what} '{path}' is no options file: give one in YAML, with sections"
        ) from error
    if not (OmegaConf.is_dict(found) or OmegaConf.is_list(found)) or not found:
        raise ValueError(f"{what} '{path}' has no sections: write them as for mtt train")
    return _with_references(found)


def training(source: Source) -> DictConfig:
    """Read the options of a training, checked by metatrain.

    The architecture may be missing and is not looked at.

    :param source: path of a file, or its content
    :raises ValueError: with one sentence, where metatrain would complain
    :return: as ``mtt train`` has them before it completes the data sets
    """
    options = load(source)
    if not OmegaConf.is_dict(options):
        raise ValueError(
            "the options of a training are sections, not a list: write them so"
        )
    content: Any = OmegaConf.to_container(options)
    others = {name: content.pop(name, None) for name in ("architecture", "purify")}
    try:
        checked = validate_base_options({**content, "architecture": {"name": "pet"}})
    except MetatrainValidationError as error:
        raise ValueError(sentence(error)) from error
    kept = {name: value for name, value in others.items() if value is not None}
    return OmegaConf.create({**checked, "architecture": {}, **kept})


def evaluation(source: Source) -> ListConfig | DictConfig:
    """Read an options file of ``mtt eval``, checked by metatrain.

    :param source: path of a file, or its content
    :raises ValueError: with one sentence, where metatrain would complain
    :return: one section with ``systems``, or several
    """
    options = load(source)
    if OmegaConf.is_dict(options) and "training_set" in options:
        raise ValueError(
            "these are the options of a training: write 'systems' and 'targets' at the top "
            "of the file, as for mtt eval"
        )
    content: Any = OmegaConf.to_container(options)
    try:
        return OmegaConf.create(validate_eval_options(content))
    except MetatrainValidationError as error:
        raise ValueError(sentence(error)) from error


def _with_references(options: Any) -> Any:
    """Options whose references lead somewhere."""
    try:
        OmegaConf.to_container(options, resolve=True)
    except InterpolationKeyError as error:
        raise ValueError(
            f"an option refers to another one that is not there ({reason(error)}): correct "
            "what stands in ${...}"
        ) from error
    return options


def sentence(error: MetatrainValidationError) -> str:
    """Say in one sentence what metatrain says on a page.

    :param error: of metatrain
    :return: about the innermost option that is wrong
    """
    errors = [(_place(one["loc"]), one) for one in error.errors]
    # an error of an alternative that was not meant is less deep
    depth = max(place.count(".") for place, _ in errors)
    deepest = [(place, one) for place, one in errors if place.count(".") == depth]
    place, first = next(
        (pair for pair in deepest if not pair[1]["type"].endswith("_type")), deepest[0]
    )
    if first["type"] == "union_tag_not_found":
        return (
            f"'{place}' is {quoted(first['input'])}, which metatrain cannot read: write it "
            "as its documentation of options says"
        )
    if first["type"].endswith("_type") and len(deepest) > 1:
        kinds = list(
            dict.fromkeys(one["msg"].rpartition("valid ")[2] for _, one in deepest)
        )
        names = " or ".join(kinds).replace("dictionary", "section")
        return f"'{place}' should be a {names}, not {quoted(first['input'])}"
    return of_validation(first, place, _known(place)).replace("dictionary", "section")


def _place(location: Iterable[Any]) -> str:
    """Path of an option, without what pydantic says of alternatives."""
    parts = [
        str(part)
        for part in location
        if part not in _UNION_TAGS
        and not str(part).startswith(("function-", "list["))
        and not str(part).endswith("Hypers")
    ]
    return ".".join(dict.fromkeys(parts)) or "options"


def _known(place: str) -> list[str]:
    """Names of options that there are beside one."""
    parts = place.split(".")
    parents = {
        "targets": base_hypers.TargetHypers,
        "systems": base_hypers.SystemsHypers,
    }
    found: Any = base_hypers.BaseHypers
    for part in parts[:-1]:
        if part.endswith("_set"):
            found = base_hypers.DatasetDictHypers
        found = parents.get(part, found)
    if found is base_hypers.BaseHypers and "." not in place:
        sections = [*base_hypers.EvalDatasetDictHypers.__annotations__]
        return [*found.__annotations__, *(n for n in sections if n not in ("systems",))]
    return list(found.__annotations__)


def said_by_metatrain(error: BaseException) -> bool:
    """Whether an error is one that metatrain raises in words of its own.

    :param error: as caught
    :return: false for what a library below it has raised
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    code = trace.tb_frame.f_code
    line = linecache.getline(code.co_filename, trace.tb_lineno).strip()
    return trace.tb_frame.f_globals.get("__name__", "").startswith("metatrain.") and (
        line.startswith("raise")
    )
