"""Formulas as MathML, which browsers draw by themselves: the pages need no network."""

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx


def inline(self: Any, node: nodes.math) -> None:
    """Write a formula within a line.

    :param self: translator of Sphinx
    :param node: the formula
    :raises docutils.nodes.SkipNode: always, as there is nothing more to write
    """
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def block(self: Any, node: nodes.math_block) -> None:
    """Write a formula on a line of its own.

    :param self: translator of Sphinx
    :param node: the formula
    :raises docutils.nodes.SkipNode: always, as there is nothing more to write
    """
    self.body.append(f"<p>{convert(node.astext(), display='block')}</p>")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the renderer; ``html_math_renderer = "mathml"`` chooses it.

    :param app: of Sphinx
    :return: what Sphinx wants to know
    """
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
