"""Character projections of the layers and outputs of the segmenter.

:func:`layer_report` is the one place where the study meets an engine.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pandas as pd
import torch
from torch import nn

from benchmarks.makers.tracks import CLASSES
from metatrain_symmetry import Block, FunctionEngine, Irrep, Settings, analyze


PLACES = ("position", "tokens", "blocks", "head.spread", "head.mix", "head.hidden")
"""Layers that are watched; of ``blocks`` all of them."""


def places_of(model: nn.Module) -> list[str]:
    """Paths of the layers that are watched, along the flow of data.

    :param model: a segmenter
    """
    paths = []
    for place in PLACES:
        module = model.get_submodule(place)
        if isinstance(module, nn.ModuleList):
            paths += [f"{place}.{i}" for i in range(len(module))]
        else:
            paths.append(place)
    return paths


def layer_report(
    model: nn.Module, clouds: list[torch.Tensor], settings: Settings
) -> pd.DataFrame:
    """Shares of the irreps of O(3) in layers, scores and probabilities.

    :param model: a segmenter
    :param clouds: ``(N, 4)`` each
    :param settings: of the measurement, one for each cloud
    :return: rows of ``characters.csv`` of a report, with the ``event`` they belong to;
        probabilities have the name of their class, and all scores together are ``logits``
    """
    precise = copy.deepcopy(model).double().eval()
    tables = []
    for number, cloud in enumerate(clouds):
        engine = _engine(precise, cloud.double(), places_of(model))
        prepared = engine.prepare(cloud[:, :3].double(), f"event {number}")
        report = analyze(engine, [prepared], settings=settings, progress=False)
        tables.append(report.characters.assign(event=number))
    found = pd.concat(tables, ignore_index=True)
    return found.assign(probe=found.target.where(found.kind == "output", found.probe))


def _engine(model: nn.Module, cloud: torch.Tensor, paths: list[str]) -> FunctionEngine:
    """Engine of one cloud, whose other columns do not rotate."""
    run = _Run(model, cloud[:, 3:], paths)

    def of_class(index: int) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda places: run(places)["logits"].softmax(-1)[:, :, None, index, None]

    def of_layer(path: str) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda places: run(places)[path]

    blocks = {Block(name, Irrep(0), "atom"): of_class(i) for i, name in enumerate(CLASSES)}
    layers = {path: of_layer(path) for path in [*paths, "logits"]}
    return FunctionEngine(blocks, layers, dtype=torch.float64)


class _Run:
    """All layers of a batch of rotated copies; the last batch is kept.

    :param model: a segmenter
    :param others: columns of the cloud that do not rotate ``(N, c)``
    :param paths: layers that are wanted
    """

    def __init__(self, model: nn.Module, others: torch.Tensor, paths: list[str]) -> None:
        self.model, self.others, self.paths = model, others, paths
        self.last: torch.Tensor | None = None
        self.values: dict[str, torch.Tensor] = {}

    @torch.no_grad()
    def __call__(self, places: torch.Tensor) -> dict[str, torch.Tensor]:
        if places is self.last:
            return self.values
        values: dict[str, torch.Tensor] = {}
        handles = [
            self.model.get_submodule(path).register_forward_hook(
                lambda _, __, out, path=path: values.update({path: out})
            )
            for path in self.paths
        ]
        try:
            others = self.others.expand(len(places), -1, -1)
            values["logits"] = self.model(torch.cat([places, others], dim=-1))
        finally:
            for handle in handles:
                handle.remove()
        self.last, self.values = places, values
        return values
