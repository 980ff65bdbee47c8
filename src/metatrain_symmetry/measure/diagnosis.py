"""A diagnosis in words: what each target needs, where it appears, what to do.

An irrep counts as present in a layer where its share of the squared norm is above a
threshold and above twice its standard error.
"""

import math
from typing import Any

import pandas as pd

from ..group import Irrep


THRESHOLD = 1e-3
"""Share above which an irrep counts as present."""

PURE = 0.9
"""Share of its own irrep above which a prediction counts as clean."""


def diagnose(
    characters: pd.DataFrame, architecture: str = "", threshold: float = THRESHOLD
) -> list[dict[str, str]]:
    """Say for each output block whether the network can express it.

    :param characters: as in :class:`~metatrain_symmetry.measure.report.Report`
    :param architecture: name of the architecture, for the advice
    :param threshold: share above which an irrep counts as present
    :return: sentences, see the report
    """
    layers = characters[characters.kind == "layer"]
    findings = []
    for probe, rows in characters[characters.kind == "output"].groupby("probe", sort=False):
        name, _, text = str(probe).rpartition(" ")
        irrep = Irrep.parse(text)
        findings.append(_finding(name, irrep, rows, layers, architecture, threshold))
    return findings


def _finding(
    target: str,
    irrep: Irrep,
    rows: pd.DataFrame,
    layers: pd.DataFrame,
    architecture: str,
    threshold: float,
) -> dict[str, str]:
    """One output block."""
    own = rows[rows.channel == str(irrep)].share
    if own.empty:
        text = (
            f"target {target} {irrep}: the spectra stop below its λ; measure with "
            f"lambda_max >= {irrep.o3_lambda}"
        )
        return _entry(target, irrep, "late", text)
    share = float(own.iloc[0])
    start = f"target {target} {irrep}: {_percent(share)} of the prediction is {irrep}"
    where = _first(layers, irrep, threshold)
    if len(layers) and where is None:
        text = (
            f"{start}; no layer holds more than {_percent(threshold)} of {irrep}: "
            f"{_held(layers, threshold)}; {_advice(irrep, architecture)}"
        )
        return _entry(target, irrep, "missing", text)
    if where is not None:
        start += f"; it first appears in {where}"
    if share >= PURE:
        return _entry(target, irrep, "ok", start)
    others = rows[(rows.channel != str(irrep)) & (rows.channel != "residual")]
    largest: Any = others.iloc[int(others.share.argmax())]
    start += f", the largest other part is {largest.channel} ({_percent(largest.share)})"
    if share < threshold and irrep.o3_lambda + (irrep.o3_sigma == -1) > 0:
        text = f"{start}: the target is not learned; {_advice(irrep, architecture)}"
        return _entry(target, irrep, "missing", text)
    text = (
        f"{start}: train longer with rotational augmentation, or average over rotations "
        "at inference (metatomic.torch.o3.SymmetrizedModel)"
    )
    return _entry(target, irrep, "contaminated", text)


def _entry(target: str, irrep: Irrep, status: str, text: str) -> dict[str, str]:
    return {"target": target, "irrep": str(irrep), "status": status, "text": text}


def _present(rows: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Rows whose share is there beyond doubt."""
    return rows[(rows.share > threshold) & (rows.share > 2 * rows.stderr.fillna(0))]


def _first(layers: pd.DataFrame, irrep: Irrep, threshold: float) -> str | None:
    """Name of the first layer, in network order, that holds an irrep."""
    found = _present(layers[layers.channel == str(irrep)], threshold)
    if found.empty:
        return None
    first: Any = found.iloc[0]
    group = f" [{first.group}]" if first.group else ""
    return f"{first.probe}{group} ({_percent(first.share)})"


def _held(layers: pd.DataFrame, threshold: float) -> str:
    """What the geometry embedding holds, or the last layer where it was not probed."""
    embedding = layers[layers.group == "GE"]
    name = "the geometry embedding"
    if embedding.empty:
        last = layers.probe.iloc[-1]
        embedding, name = layers[layers.probe == last], str(last)
    found = _present(embedding[embedding.channel != "residual"], threshold)
    return f"{name} holds only {','.join(dict.fromkeys(found.channel))}"


def _advice(irrep: Irrep, architecture: str) -> str:
    """What to change, for an irrep that is missing."""
    if irrep.o3_sigma == -1:
        return (
            "pseudotensors can only form in the transformer: add attention or GNN layers "
            "and train longer (the onset is sudden)"
        )
    if irrep.o3_lambda < 2:
        return "train longer, or give this target a larger weight in the loss"
    l_max = math.ceil(irrep.o3_lambda / 2)
    option = f"set geometry_embedding.l_max >= {l_max}"
    if architecture and architecture != "pet_ssh":
        return f"use architecture pet_ssh and {option}"
    return option


def _percent(share: float) -> str:
    """Percent, with digits that say something."""
    if 0.999 < share < 1:
        return f"{100 * share:.3f} %"
    return f"{100 * share:.2g} %" if abs(share) < 0.1 else f"{100 * share:.1f} %"
