"""Probes with their shares, as figures and pages read them from the tables."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..measure.labels import BLOCK, BlockKey, irrep_label
from ..measure.results import Report
from ..measure.series import Series
from ..models.pet.probes import GROUPS
from .shares import Cells


RESIDUAL = "residual"

NOTHING = 1e-9
"""Share of a residual that is rounding."""


@dataclass(frozen=True)
class Panel:
    """Channels that stand beside each other in a heatmap.

    :param name: in one word
    :param title: in full
    :param axis: what its channels are counted by; of the residual, what it is
    :param channels: their labels in the tables
    :param ticks: short labels
    """

    name: str
    title: str
    axis: str
    channels: tuple[str, ...]
    ticks: tuple[str, ...]

    @property
    def sign(self) -> str:
        """Sign of σ, empty where there is none."""
        return self.title[-1] if "σ" in self.title else ""

    @property
    def long_axis(self) -> str:
        """The axis in full, such as ``degree λ of the irrep``."""
        return self.axis + " of the irrep" * bool(self.sign)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that tell all channels of all panels apart."""
        return self.ticks if self.name == RESIDUAL else self.channels


@dataclass(frozen=True)
class Probe:
    """One place in the network, or one block of the output.

    :param name: of the probe
    :param group: where in the network
    :param block: of an output; nothing for a layer
    :param converged: whether all of it is
    :param cells: ``(channels,)``, along a training ``(channels, epochs)``
    """

    name: str
    group: str
    block: BlockKey | None
    converged: bool
    cells: Cells


@dataclass(frozen=True)
class Spectra:
    """All probes, in the order of the network.

    :param panels: the channels, the same for all probes
    :param probes: in the order of the network, outputs last
    """

    panels: list[Panel]
    probes: list[Probe]

    @property
    def channels(self) -> tuple[str, ...]:
        """Labels of all channels, panel by panel."""
        return tuple(name for panel in self.panels for name in panel.channels)

    @property
    def parts(self) -> list[tuple[Panel, slice]]:
        """Each panel, and where its channels are in the cells."""
        ends = np.cumsum([len(panel.channels) for panel in self.panels]).tolist()
        starts = [0, *ends[:-1]]
        return [(p, slice(a, b)) for p, a, b in zip(self.panels, starts, ends, strict=True)]

    @property
    def irreps(self) -> list[tuple[Panel, slice]]:
        """The parts that are irreps: all but the residual."""
        return [part for part in self.parts if part[0].name != RESIDUAL]

    @property
    def outputs(self) -> list[Probe]:
        """Blocks of the output."""
        return [probe for probe in self.probes if probe.block]

    @property
    def cells(self) -> Cells:
        """Those of all probes, ``(probes, channels[, epochs])``."""
        found = [probe.cells for probe in self.probes]
        return Cells(
            np.array([c.share for c in found]), np.array([c.stderr for c in found]),
            np.array([c.strength for c in found]),
        )  # fmt: skip

    def needed(self, probe: Probe) -> int | None:
        """Place of the channel that a symmetric prediction is made of.

        None for a layer, and for the irreps of another group.
        """
        names, irrep = self.channels, str(probe.block.irrep) if probe.block else ""
        return names.index(irrep) if irrep in names else None


def report_spectra(report: Report) -> Spectra:
    """Read a report.

    :param report: what was measured
    :return: one row of channels for each probe
    """
    found = _read(report.characters.assign(epoch=0), report.summary, [0])
    probes = [replace(probe, cells=probe.cells[:, 0]) for probe in found.probes]
    return Spectra(found.panels, probes)


def series_spectra(series: Series) -> Spectra:
    """Read a series.

    :param series: what was measured along a training
    :return: rows of channels over epochs for each probe
    """
    return _read(series.characters, series.summary, series.epochs)


def _read(table: pd.DataFrame, summary: dict[str, Any], epochs: Sequence[int]) -> Spectra:
    """Rows of a tidy table as arrays."""
    # a probe without a group is not to be lost
    table = table.fillna({"kind": "", "group": ""})
    panels = _panels(table, summary)
    names = [name for panel in panels for name in panel.channels]
    place = (
        pd.Index(names).get_indexer(pd.Index(table["channel"])),
        pd.Index(epochs).get_indexer(pd.Index(table["epoch"].astype(int))),
    )
    values = [table[name].to_numpy(dtype=float) for name in ("share", "stderr", "B")]
    known = (place[0] >= 0) & (place[1] >= 0)
    probes = []
    # a head may share its name with the output it makes
    keys = ["probe", "kind", "group"]
    for rows in table.groupby(keys, sort=False).indices.values():
        arrays = [np.full((len(names), len(epochs)), np.nan) for _ in values]
        own = rows[known[rows]]
        for array, column in zip(arrays, values, strict=True):
            array[place[0][own], place[1][own]] = column[own]
        name, kind, group, *own_block = (table[c].iloc[rows[0]] for c in [*keys, *BLOCK])
        key = dict(zip(BLOCK, own_block, strict=True))
        block = BlockKey.of(key) if kind == "output" else None
        converged = bool(table["converged"].iloc[rows].all())
        probes.append(Probe(name, group or "other", block, converged, Cells(*arrays)))
    return Spectra(panels, _ordered(probes))


def _panels(table: pd.DataFrame, summary: dict[str, Any]) -> list[Panel]:
    """Proper and pseudo irreps of O(3), or those of another group; then the residual."""
    group = summary.get("group", "the group")
    if {"chi_lambda", "chi_sigma"} <= set(table.columns):
        degrees = table["chi_lambda"].dropna()
        size = 1 + (int(degrees.max()) if len(degrees) else 0)
        ticks = tuple(map(str, range(size)))
        rest = (f"beyond λ = {size - 1}", f"> {size - 1}")
        panels = [
            Panel(name, f"{name}  σ = {sign}", "degree λ",
                  tuple(irrep_label(d, sigma) for d in range(size)), ticks)
            for name, sign, sigma in (("proper", "+", 1), ("pseudo", "−", -1))
        ]  # fmt: skip
    else:
        found = [str(name) for name in table["channel"].unique() if name != RESIDUAL]
        names = tuple(summary.get("channels") or found)
        axis, ticks, rest = _counted(table, names, summary)
        panels = [Panel("irreps", f"irreps of {group}", axis, names, ticks)]
    left = table["share"][table["channel"] == RESIDUAL].abs()
    # a finite group leaves nothing but rounding
    if len(left) and (len(panels) > 1 or not left.max() < NOTHING):
        panels.append(Panel(RESIDUAL, RESIDUAL, rest[0], (RESIDUAL,), rest[1:]))
    return panels


def _counted(
    table: pd.DataFrame, names: tuple[str, ...], summary: dict[str, Any]
) -> tuple[str, tuple[str, ...], tuple[str, str]]:
    """What the irreps of another group are counted by, their ticks, and the residual."""
    counts = {"chi_lambda": "degree λ", "chi_m": "m"}
    column = next((name for name in counts if name in table.columns), None)
    limit = summary.get("lambda_max")
    rest = ("rest", "rest") if limit is None else (f"beyond {limit}", f"> {limit}")
    if column is None:
        return "irrep", names, rest
    ticks = tuple(name.split("=")[-1].replace("-", "−") for name in names)
    return counts[column], ticks, rest


def _ordered(probes: list[Probe]) -> list[Probe]:
    """Along the network; an unknown group comes before the predictions."""
    *known, last = GROUPS
    found = dict.fromkeys(probe.group for probe in probes)
    order = [*known, *(g for g in found if g not in GROUPS), last]
    return sorted(probes, key=lambda probe: order.index(probe.group))
