"""Probes with their shares, as figures and pages read them from the tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..measure.labels import irrep_label, target_label
from ..measure.results import Report
from ..measure.series import Series
from ..models.pet.probes import GROUPS
from .shares import Cells


RESIDUAL = "residual"


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


@dataclass(frozen=True)
class Probe:
    """One place in the network, or one block of the output.

    :param name: of the probe
    :param kind: ``output`` or ``layer``
    :param group: where in the network
    :param target: of an output, with what distinguishes its blocks; empty for a layer
    :param irrep: of an output: the channel that a symmetric prediction is made of
    :param converged: whether all of it is
    :param cells: ``(channels,)``, along a training ``(channels, epochs)``
    """

    name: str
    kind: str
    group: str
    target: str
    irrep: str
    converged: bool
    cells: Cells

    @property
    def is_output(self) -> bool:
        """Whether it is a block of the output."""
        return self.kind == "output"


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
        return [probe for probe in self.probes if probe.is_output]

    @property
    def cells(self) -> Cells:
        """Those of all probes, ``(probes, channels[, epochs])``."""
        found = [probe.cells for probe in self.probes]
        return Cells(
            np.array([c.share for c in found]), np.array([c.stderr for c in found]),
            np.array([c.strength for c in found]),
        )  # fmt: skip

    def needed(self, probe: Probe) -> int | None:
        """Find the channel that a symmetric prediction is made of.

        :param probe: one of these
        :return: its place; nothing for a layer, or for the irreps of another group
        """
        names = self.channels
        return names.index(probe.irrep) if probe.irrep in names else None


def report_spectra(report: Report) -> Spectra:
    """Read a report.

    :param report: what was measured
    :return: one row of channels for each probe
    """
    table = report.characters.assign(epoch=0)
    found = _read(table, report.summary, [0])
    return Spectra(found.panels, [_at(probe, 0) for probe in found.probes])


def _at(probe: Probe, epoch: int) -> Probe:
    """A probe at one of its epochs."""
    return Probe(**{**vars(probe), "cells": probe.cells[:, epoch]})


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
    keys = table.groupby(["probe", "kind", "group"], sort=False).indices
    for key, rows in keys.items():
        arrays = [np.full((len(names), len(epochs)), np.nan) for _ in values]
        own = rows[known[rows]]
        for array, column in zip(arrays, values, strict=True):
            array[place[0][own], place[1][own]] = column[own]
        probes.append(_probe(key, table.iloc[rows], Cells(*arrays)))
    return Spectra(panels, _ordered(probes))


def _probe(key: Any, rows: pd.DataFrame, cells: Cells) -> Probe:
    """One probe; what its rows say of it is in the first."""
    name, kind, group = map(str, key)
    target, irrep = "", ""
    if kind == "output":
        first = rows.iloc[0]
        target = target_label(first["target"], first["detail"])
        if pd.notna(first["o3_lambda"]):
            irrep = irrep_label(int(first["o3_lambda"]), int(first["o3_sigma"]))
    converged = bool(rows["converged"].all())
    return Probe(name, kind, group or "other", target, irrep, converged, cells)


def _panels(table: pd.DataFrame, summary: dict[str, Any]) -> list[Panel]:
    """Proper and pseudo irreps of O(3), or those of another group; then the residual."""
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
        title, rest = f"irreps of {summary.get('group', 'the group')}", ("rest", "rest")
        panels = [Panel("irreps", title, "irrep", names, names)]
    if (table["channel"] == RESIDUAL).any():
        panels.append(Panel(RESIDUAL, RESIDUAL, rest[0], (RESIDUAL,), rest[1:]))
    return panels


def _ordered(probes: list[Probe]) -> list[Probe]:
    """Along the network; an unknown group comes before the predictions."""
    *known, last = GROUPS
    found = dict.fromkeys(probe.group for probe in probes)
    order = [*known, *(g for g in found if g not in GROUPS), last]
    return sorted(probes, key=lambda probe: order.index(probe.group))
