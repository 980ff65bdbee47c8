"""What the pages have in common: templates, facts, links, a file written whole."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..io import write_text


NESTED = ("settings", "versions")
"""Parts of a summary that are shown entry by entry."""


def write_html(template: str, content: dict[str, Any], path: Path) -> Path:
    """Fill a template; a reader never finds half a page.

    :param template: name of a file in ``templates``
    :param content: what it shows; everything that is no ``Markup`` is escaped
    :param path: the page; folders are made
    :return: the path
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path


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


def links(path: Path) -> list[tuple[str, str]]:
    """Tables that lie beside a page.

    :param path: the page
    :return: addresses and names
    """
    files = [*path.parent.glob("*.csv"), *path.parent.glob("*.json")]
    return [(quote(f"./{file.name}"), file.name) for file in sorted(files)]
