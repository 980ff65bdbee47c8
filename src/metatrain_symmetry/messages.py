"""Errors in one sentence: what is wrong, and what to do about it."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


MOST = 80
"""Longest value that is quoted, in characters."""


def quoted(value: Any) -> str:
    """Quote a value, shortened and in one line.

    :param value: what was given
    :return: its representation
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """Suggest names that are close to one, or list all of them.

    :param name: what was given
    :param known: what there is
    :return: ``did you mean a, b?``, or ``there are a, b, c``, or ``there is only a``
    """
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(str(name), names, 3, 0.6)
    if near:
        return f"did you mean {', '.join(near)}?"
    if len(names) == 1:
        return f"there is only {names[0]}"
    return f"there are {', '.join(names)}" if names else "there are none"


def reason(error: BaseException) -> str:
    """First line of an error.

    :param error: any
    :return: its text, or its type where it has none
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def of_validation(error: Mapping[str, Any], place: str, known: Iterable[str] = ()) -> str:
    """Sentence for an error that pydantic has found.

    :param error: one of ``ValidationError.errors()``
    :param place: what the option is called, such as ``purify.degree``
    :param known: options that there are beside it, to suggest one
    :return: the sentence
    """
    kind = error["type"]
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        name = place.rpartition(".")[2]
        return f"there is no option '{place}': {did_you_mean(name, known)}"
    if kind in ("missing", "missing_argument"):
        return f"the option '{place}' is missing: give it"
    if kind == "too_short":
        return f"'{place}' is empty: give at least one entry, or leave it out"
    text = str(error["msg"]).removeprefix("Value error, ")
    if text.startswith("Input should"):
        text = f"'{place}' {text.removeprefix('Input ')}"
    elif place not in text:
        text = f"'{place}': {text[:1].lower()}{text[1:]}"
    given = quoted(error.get("input"))
    return text if given in str(error["msg"]) else f"{text}, not {given}"
