"""``.. quantities-table::`` and ``.. statuses-table::``: numbers and diagnoses explained.

From :data:`metatrain_symmetry.measure.quantities.QUANTITIES` and
:data:`metatrain_symmetry.measure.statuses.STATUSES`.
"""

from collections.abc import Sequence
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from metatrain_symmetry.measure.quantities import QUANTITIES
from metatrain_symmetry.measure.statuses import STATUSES


def list_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a table in reStructuredText.

    :param heads: of the columns
    :param rows: cells of one line each
    :return: its lines
    """
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (heads, *rows):
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return lines


def quantities() -> list[str]:
    """One row per quantity.

    :return: lines of a table
    """
    rows = []
    for quantity in QUANTITIES:
        column = f" (``{quantity.column}``)" if quantity.column else ""
        parts = [quantity.components, f"per {quantity.per}", quantity.average]
        meaning = quantity.meaning
        if quantity.metatrain:
            meaning += f" metatrain: *{quantity.metatrain}*."
        value = "; ".join(part for part in parts if part)
        rows.append((f"{quantity.name}{column}", meaning, value, quantity.unit))
    return list_table(("quantity (column)", "meaning", "one value is", "unit"), rows)


def statuses() -> list[str]:
    """One row per status of a diagnosis.

    :return: lines of a table
    """
    rows = [(f"**{status.label}**", status.meaning, status.rule) for status in STATUSES]
    return list_table(("status", "meaning", "given when"), rows)


class Table(SphinxDirective):
    """A directive without arguments."""

    def run(self) -> list[nodes.Node]:
        """Parse what the function of this name writes.

        :return: the table
        """
        lines = {"quantities-table": quantities, "statuses-table": statuses}[self.name]()
        container = nodes.container()
        content = StringList(lines, source=self.name)
        self.state.nested_parse(content, self.content_offset, container)
        return list(container.children)


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directives.

    :param app: of Sphinx
    :return: what Sphinx wants to know
    """
    app.add_directive("quantities-table", Table)
    app.add_directive("statuses-table", Table)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
