"""Renders the pages: templates, facts, links, a file written whole."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..io import write_text
from . import text


NESTED = ("settings", "versions")
"""Parts of a summary that are shown entry by entry."""

Entry = str | float | tuple[float, str]
"""A word, a number, or a number to sort by with the text to show."""


def write_html(template: str, content: dict[str, Any], path: str | Path) -> Path:
    """Fill a template; a reader never finds half a page.

    :param template: name of a file in ``templates``
    :param content: what it shows; everything that is no ``Markup`` is escaped
    :param path: the page; folders are made, CSV and JSON files already beside it are linked
    :return: the path
    """
    path = Path(path)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(number=text.number, exact=_exact)
    files = sorted([*path.parent.glob("*.csv"), *path.parent.glob("*.json")])
    links = [(quote(f"./{file.name}"), file.name) for file in files]
    page = environment.get_template(template).render(content, links=links)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    return path


def _exact(value: float) -> str:
    """What a script sorts by."""
    return "" if math.isnan(value) else repr(float(value))


def facts(summary: Mapping[str, Any], names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Settings, versions and other facts, as lines of a list.

    :param summary: of a report or a series
    :param names: entries shown before settings and versions; absent ones are left out
    :return: names and values
    """
    found = [(key.replace("_", " "), summary.get(key)) for key in names]
    for key in NESTED:
        found += [(f"{key}: {n}", value) for n, value in (summary.get(key) or {}).items()]
    return [
        (name, value if isinstance(value, str) else json.dumps(value, default=str))
        for name, value in found
        if value is not None
    ]
