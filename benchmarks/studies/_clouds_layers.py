"""Character projections of the layers and outputs of the segmenter."""

from __future__ import annotations

import copy

import pandas as pd
import torch
from torch import nn

from benchmarks.makers.tracks import CLASSES
from metatrain_symmetry import Output, PointCloudEngine, Settings, analyze


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
    outputs = {name: Output(kind="point") for name in ("logits", *CLASSES)}
    tables = []
    for number, cloud in enumerate(clouds):
        engine = PointCloudEngine(precise, _scores, places_of(model), outputs)
        prepared = engine.prepare(cloud.double(), f"event {number}")
        report = analyze(engine, [prepared], settings=settings, progress=False)
        tables.append(report.characters.assign(event=number))
    found = pd.concat(tables, ignore_index=True)
    return found.assign(probe=found.target.where(found.kind == "output", found.probe))


def _scores(model: nn.Module, points: torch.Tensor) -> dict[str, torch.Tensor]:
    """What is measured of the answers: scores, and the probability of each class."""
    logits = model(points)
    each = logits.softmax(-1).split(1, dim=-1)
    return {"logits": logits, **dict(zip(CLASSES, each, strict=True))}
