"""Data, training and measures of the study of point clouds."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from benchmarks.studies._segmenter import CLASSES, Segmenter
from metatrain_symmetry.groups import named_group
from metatrain_symmetry.io import replacing


BINS = 15
"""Of the expected calibration error: equally wide, of the largest probability."""


@dataclass
class Events:
    """Simulated events, padded.

    :param points: ``(B, N, 4)``
    :param labels: ``(B, N)``, -1 where there is no point
    :param lengths: ``(B,)``
    """

    points: torch.Tensor
    labels: torch.Tensor
    lengths: torch.Tensor

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, chosen: Any) -> Events:
        lengths = self.lengths[chosen]
        most = int(lengths.max())
        return Events(self.points[chosen, :most], self.labels[chosen, :most], lengths)


def load(path: Path) -> dict[str, Events]:
    """Read the events, split 80:10:10 in their order, which is random.

    :param path: file of :mod:`benchmarks.makers.tracks`
    :return: ``train``, ``validation`` and ``test``
    """
    with np.load(path) as arrays:
        lengths = torch.as_tensor(arrays["lengths"])
        points = torch.as_tensor(arrays["points"]).split(lengths.tolist())
        labels = torch.as_tensor(arrays["labels"].astype(np.int64)).split(lengths.tolist())
    pad = torch.nn.utils.rnn.pad_sequence
    whole = Events(pad(points, True), pad(labels, True, -1), lengths)
    count, tenth = len(whole), max(len(whole) // 10, 1)
    edges = {
        "train": slice(0, count - 2 * tenth),
        "validation": slice(count - 2 * tenth, count - tenth),
        "test": slice(count - tenth, count),
    }
    return {name: whole[edge] for name, edge in edges.items()}


def rotate(points: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Rotate clouds, each by its own matrix.

    :param points: ``(B, N, 4)``
    :param matrices: ``(B, 3, 3)``
    """
    turned = points[..., :3] @ matrices.to(points).transpose(1, 2)
    return torch.cat([turned, points[..., 3:]], dim=-1)


def random_rotations(count: int, rng: np.random.Generator) -> torch.Tensor:
    """Rotations, half of them with an inversion: O(3).

    :param count: how many
    :param rng: source of random numbers
    :return: ``(count, 3, 3)``
    """
    matrices = Rotation.random(count, rng).as_matrix()
    return torch.as_tensor(matrices * rng.choice([-1, 1], size=count)[:, None, None])


def orbit(group: str, rng: np.random.Generator) -> torch.Tensor:
    """Elements of a group in a random frame.

    :param group: its name
    :param rng: source of random numbers
    :return: ``(elements, 3, 3)``
    """
    frame = torch.as_tensor(Rotation.random(None, rng).as_matrix())
    return named_group(group).elements @ frame


Loss = Callable[[Segmenter, Events, np.random.Generator], torch.Tensor]


def entropy(model: Segmenter, batch: Events, rng: np.random.Generator) -> torch.Tensor:
    """Cross-entropy of randomly rotated clouds.

    :param model: to train
    :param batch: of events
    :param rng: source of random numbers
    """
    points = rotate(batch.points, random_rotations(len(batch), rng))
    scores = model(points.float(), batch.lengths)
    return torch.nn.functional.cross_entropy(
        scores.flatten(0, 1), batch.labels.flatten(), ignore_index=-1
    )


def with_penalty(weight: float) -> Loss:
    """Loss of the symmetry fine-tuning: two copies, and what they do not share.

    :param weight: of the variance of the scores over the two copies
    :return: mean cross-entropy plus ``weight`` times the variance (unbiased, a mean over
        points and classes, scores without their mean over the classes)
    """

    def loss(model: Segmenter, batch: Events, rng: np.random.Generator) -> torch.Tensor:
        copies = [rotate(batch.points, random_rotations(len(batch), rng)) for _ in range(2)]
        scores = model(torch.cat(copies).float(), batch.lengths.repeat(2))
        error = torch.nn.functional.cross_entropy(
            scores.flatten(0, 1), batch.labels.repeat(2, 1).flatten(), ignore_index=-1
        )
        centred = scores - scores.mean(dim=-1, keepdim=True)
        one, other = centred.chunk(2)
        spread = ((one - other) ** 2 / 2)[batch.labels >= 0].mean()
        return error + weight * spread

    return loss


@dataclass
class Plan:
    """One training.

    :param file: checkpoint, written after each epoch
    :param loss: what is made small
    :param epochs: how many
    :param rate: largest learning rate
    :param batch: events of a step
    :param start: weights to begin with
    :param seed: of weights, order and rotations
    """

    file: Path
    loss: Loss
    epochs: int
    rate: float = 2e-3
    batch: int = 16
    start: dict[str, Any] | None = None
    seed: int = 0

    def settings(self, model: Segmenter, events: Events) -> dict[str, Any]:
        """What a checkpoint must agree with.

        :param model: before the first step
        :param events: to train on
        """
        digest = hashlib.sha256()
        for value in (*model.state_dict().values(), events.points, events.labels):
            digest.update(value.numpy().tobytes())
        return {
            "epochs": self.epochs,
            "rate": self.rate,
            "batch": self.batch,
            "seed": self.seed,
            "start": digest.hexdigest(),
        }


def train(
    plan: Plan, make: Callable[[], Segmenter], data: dict[str, Events], deadline: float
) -> tuple[Segmenter, list[dict[str, float]]]:
    """Train, or go on where an earlier run was; a change of the settings begins anew.

    :param plan: what to do
    :param make: makes the untrained model
    :param data: of :func:`load`
    :param deadline: no epoch begins after it, by :func:`time.monotonic`
    :return: the model, and one row for each epoch that is done
    """
    torch.manual_seed(plan.seed)
    model = make()
    if plan.start is not None:
        model.load_state_dict(plan.start)
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=0.01)
    steps = plan.epochs * -(-len(data["train"]) // plan.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.rate, steps + 1)
    rows: list[dict[str, float]] = []
    settings = plan.settings(model, data["train"])
    if plan.file.exists():
        kept = torch.load(plan.file, weights_only=True)
        if kept["settings"] == settings:
            model.load_state_dict(kept["model"])
            optimiser.load_state_dict(kept["optimiser"])
            schedule.load_state_dict(kept["schedule"])
            rows = kept["rows"]
    bar = tqdm(range(len(rows), plan.epochs), unit="epoch", desc=plan.file.stem)
    for epoch in bar:
        if time.monotonic() > deadline:
            break
        rows.append(_epoch(model, optimiser, schedule, plan, data, epoch))
        bar.set_postfix(rows[-1])
        content = {
            "settings": settings,
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "rows": rows,
        }
        plan.file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(plan.file) as new:
            torch.save(content, new)
    return model.eval(), rows


def _epoch(
    model: Segmenter,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.OneCycleLR,
    plan: Plan,
    data: dict[str, Events],
    epoch: int,
) -> dict[str, float]:
    """One epoch, from random numbers of its own: a stopped training goes on as it would."""
    begin, rng = time.monotonic(), np.random.default_rng([plan.seed, epoch])
    events, total = data["train"], 0.0
    order = torch.as_tensor(rng.permutation(len(events)))
    for chosen in order.split(plan.batch):
        optimiser.zero_grad()
        loss = plan.loss(model.train(), events[chosen], rng)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        total += loss.item() * len(chosen)
    with torch.no_grad():
        held_out = entropy(model.eval(), data["validation"], np.random.default_rng(0))
    return {
        "epoch": epoch,
        "loss": total / len(events),
        "validation_cross_entropy": held_out.item(),
        "wall_s": time.monotonic() - begin,
    }


@torch.no_grad()
def along_orbits(
    model: torch.nn.Module, events: Events, matrices: torch.Tensor
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Evaluate events along an orbit, one after the other.

    :param model: a segmenter with ``head.hidden`` and ``head.readout``
    :param events: the events
    :param matrices: ``(m, 3, 3)``
    :return: for each event scores ``(m, N, classes)`` and last features ``(m, N, p)`` in
        float64, and labels ``(N,)``
    """
    seen: list[torch.Tensor] = []
    hidden = model.get_submodule("head.hidden")
    handle = hidden.register_forward_hook(lambda _, __, out: seen.append(out))
    try:
        bar = tqdm(events.lengths.tolist(), unit="event", desc="orbits")
        for points, labels, length in zip(events.points, events.labels, bar, strict=True):
            cloud = points[:length].expand(len(matrices), -1, -1)
            seen.clear()
            scores = model(rotate(cloud, matrices).float())
            yield scores.double(), seen[0].double(), labels[:length]
    finally:
        handle.remove()


@dataclass
class PointErrors:
    """What rotations do to the points of one event or of several.

    :param A: equivariance error of the probabilities, per class ``(n,)``
    :param flips: share of the copies whose class is not the most frequent one ``(n,)``
    :param classes: the most frequent class ``(n,)``
    :param labels: the right one ``(n,)``
    """

    A: np.ndarray
    flips: np.ndarray
    classes: np.ndarray
    labels: np.ndarray


def point_errors(scores: torch.Tensor, labels: torch.Tensor) -> PointErrors:
    """Errors of each point from scores along an orbit that averages over the group.

    :param scores: ``(m, N, classes)``
    :param labels: ``(N,)``
    """
    probabilities = scores.softmax(dim=-1)
    squared = probabilities.var(dim=0, unbiased=False).mean(dim=-1)
    votes = torch.nn.functional.one_hot(scores.argmax(dim=-1), scores.shape[-1])
    counts = votes.sum(dim=0)
    flips = 1 - counts.amax(dim=-1) / len(scores)
    return PointErrors(
        squared.sqrt().numpy(), flips.numpy(), counts.argmax(dim=-1).numpy(), labels.numpy()
    )


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error.

    :param probabilities: ``(n, classes)``
    :param labels: ``(n,)``
    :return: mean difference of confidence and accuracy over :data:`BINS` equally wide bins
        of the largest probability, weighted by how many points they hold
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    off = np.bincount(bins, confidence - right, minlength=BINS)
    return float(np.abs(off).sum() / len(labels))


def summarise(
    outputs: list[tuple[torch.Tensor, torch.Tensor]],
) -> tuple[dict[str, float], list[PointErrors]]:
    """Numbers of a model on events.

    :param outputs: for each event scores ``(m, N, classes)`` and labels ``(N,)``
    :return: numbers over all points and copies, and errors of the points of each event
    """
    errors = [point_errors(scores, labels) for scores, labels in outputs]
    A = np.concatenate([one.A for one in errors])
    flips = np.concatenate([one.flips for one in errors])
    probabilities = np.concatenate(
        [scores.softmax(dim=-1).flatten(0, 1).numpy() for scores, _ in outputs]
    )
    labels = np.concatenate([np.tile(y.numpy(), len(scores)) for scores, y in outputs])
    variances = torch.cat(
        [s.softmax(dim=-1).var(dim=0, unbiased=False) for s, _ in outputs]
    )
    right = probabilities[np.arange(len(labels)), labels]
    hits = probabilities.argmax(axis=1) == labels
    per_class = {
        f"accuracy_{k}": float(hits[labels == k].mean())
        for k in range(CLASSES)
        if (labels == k).any()
    }
    return {
        "accuracy": float(hits.mean()),
        **per_class,
        "cross_entropy": float(-np.log(np.maximum(right, 1e-300)).mean()),
        "calibration_error": calibration_error(probabilities, labels),
        "A": float(np.sqrt((A**2).mean())),
        **{f"A_{k}": float(v) for k, v in enumerate(variances.mean(dim=0).sqrt())},
        "A_median": float(np.median(A)),
        "points_that_flip": float((flips > 0).mean()),
        "flips": float(flips.mean()),
        "points": float(len(A)),
    }, errors
