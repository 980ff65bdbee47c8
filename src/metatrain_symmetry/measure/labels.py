"""What irreps and output blocks are called: the one place that spells them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..groups import Irrep


BLOCK = ["target", "detail", "o3_lambda", "o3_sigma"]
"""Columns that name an output block in every table."""


def irrep_label(o3_lambda: int, o3_sigma: int) -> str:
    """Spell an irrep of O(3).

    :param o3_lambda: degree
    :param o3_sigma: 1 or -1
    :return: such as ``(1,+)``

    >>> irrep_label(2, -1)
    '(2,-)'
    """
    return str(Irrep(int(o3_lambda), int(o3_sigma)))


def target_label(target: str, detail: str = "") -> str:
    """Spell a target.

    :param target: its name
    :param detail: what tells its blocks of one irrep apart, mostly nothing
    :return: such as ``energy`` or ``mtt::dos[center_type=6]``
    """
    return f"{target}[{detail}]" if detail else target


def block_label(target: str, detail: str, irrep: str) -> str:
    """Spell an output block.

    :param target: name of its target
    :param detail: see :func:`target_label`
    :param irrep: label of its irrep
    :return: such as ``energy (0,+)``
    """
    return f"{target_label(target, detail)} {irrep}"


@dataclass(frozen=True)
class BlockKey:
    """One output block, as a row of a table names it.

    :param target: name of the target
    :param detail: what tells blocks of one target and irrep apart
    :param irrep: how it transforms
    """

    target: str
    detail: str
    irrep: Irrep

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "BlockKey":
        """Read the columns :data:`BLOCK` of a row.

        :param row: values by column
        :return: the block
        """
        irrep = Irrep(int(row["o3_lambda"]), int(row["o3_sigma"]))
        return cls(row["target"], row["detail"], irrep)

    @property
    def columns(self) -> dict[str, Any]:
        """Values of the columns :data:`BLOCK`."""
        irrep = self.irrep
        values = (self.target, self.detail, irrep.o3_lambda, irrep.o3_sigma)
        return dict(zip(BLOCK, values, strict=True))

    def __str__(self) -> str:
        return block_label(self.target, self.detail, str(self.irrep))
