"""``.. options-table:: CLASS``: a table of options, made from the code that reads them.

Takes the TypedDict classes with which metatrain describes hyperparameters, whose
docstrings stand under each key, and pydantic models documented with ``:param:``.
"""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from metatrain.utils.hypers import init_with_defaults
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective


HEAD = [
    ".. list-table::",
    "   :header-rows: 1",
    "   :widths: 20 20 60",
    "",
    "   * - option",
    "     - default",
    "     - meaning",
]


def rows(path: str) -> Iterator[tuple[str, Any, list[str]]]:
    """Read the options of a class.

    :param path: full name of the class
    :raises ValueError: if an option has no description
    :return: name, default, lines of its description in reStructuredText
    """
    module, _, name = path.rpartition(".")
    found = getattr(import_module(module), name)
    if issubclass(found, BaseModel):
        texts = parameters(inspect.getdoc(found) or "")
        defaults = {key: field.default for key, field in found.model_fields.items()}
    else:
        analyzer = ModuleAnalyzer.for_module(module)
        docs = analyzer.find_attr_docs()
        texts = {key: docs[name, key] for owner, key in docs if owner == name}
        own = vars(found)
        defaults = {k: v for k, v in init_with_defaults(found).items() if k in own}
    missing = sorted(set(defaults) - set(texts))
    if missing:
        raise ValueError(f"the option '{missing[0]}' of {path} is not described")
    for key, default in defaults.items():
        yield key, default, texts[key]


def parameters(docstring: str) -> dict[str, list[str]]:
    """Descriptions of the parameters in a docstring.

    :param docstring: with fields ``:param name: text``, its indentation cleaned
    :return: the text of each, in one line
    """
    parts = re.split(r"^:param (\w+):", docstring, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {name: [" ".join(text.split())] for name, text in pairs}


def as_yaml(value: Any) -> str:
    """Spell a default as an options file does.

    :param value: the default
    :return: one line
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(as_yaml, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


class OptionsTable(SphinxDirective):
    """The directive."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the table as reStructuredText and parse it.

        :return: the table
        """
        lines = list(HEAD)
        for name, default, text in rows(self.arguments[0]):
            lines += [f"   * - ``{name}``", f"     - ``{as_yaml(default)}``", "     - "]
            lines[-1] += text[0].strip()
            lines += [f"       {line}".rstrip() for line in text[1:]]
        container = nodes.container()
        source = f"options of {self.arguments[0]}"
        content = StringList(lines, source=source)
        self.state.nested_parse(content, self.content_offset, container)
        return list(container.children)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive.

    :param app: of Sphinx
    :return: what Sphinx wants to know
    """
    app.add_directive("options-table", OptionsTable)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
