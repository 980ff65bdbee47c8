"""The study of point clouds: segmenter, training, measures, the published model."""

import argparse
import json
import time

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.transform import Rotation
from test_tracks import fake_electron

from benchmarks.makers import tracks
from benchmarks.studies import _clouds, point_clouds
from benchmarks.studies._clouds_layers import layer_report, places_of
from benchmarks.studies._polar_mae import PolarSegmenter
from benchmarks.studies._segmenter import Segmenter, Spread, farthest_points
from metatrain_symmetry import Settings


TURNS = torch.as_tensor(Rotation.random(5, np.random.default_rng(0)).as_matrix())


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Segmenter(dim=16, depth=2, heads=2, groups=12, size=6).eval()


@pytest.fixture
def cloud():
    torch.manual_seed(1)
    return torch.cat([5 * torch.randn(60, 3), torch.rand(60, 1)], dim=1)


@pytest.fixture
def data():
    made = [tracks.make(index, 0, fake_electron) for index in range(12)]
    points = [torch.as_tensor(one["points"][:80]) for one in made]
    labels = [torch.as_tensor(one["labels"][:80]) for one in made]
    pad = torch.nn.utils.rnn.pad_sequence
    lengths = torch.tensor([len(one) for one in labels])
    whole = _clouds.Events(pad(points, True), pad(labels, True, -1), lengths)
    return {"train": whole[:8], "validation": whole[8:10], "test": whole[10:]}


def test_farthest_points_against_a_plain_search(cloud):
    points = cloud[None, :, :3].expand(2, -1, -1)
    lengths, starts = torch.tensor([60, 40]), torch.tensor([3, 7])
    found = farthest_points(points, lengths, starts, 12)
    for row, (length, start) in enumerate(zip(lengths.tolist(), [3, 7], strict=True)):
        chosen = [start]
        some = points[row, :length].double()
        while len(chosen) < 12:
            chosen.append(int(torch.cdist(some, some[chosen]).amin(dim=1).argmax()))
        assert found[row].tolist() == chosen
    turned = points.double() @ TURNS[0].T
    assert torch.equal(farthest_points(turned, lengths, starts, 12), found)


@pytest.mark.parametrize("length", [60, 30, 8, 3])
def test_padding_changes_nothing(model, cloud, length):
    alone = model(cloud[None, :length])
    padded = torch.cat([cloud[:length], torch.full((70, 4), 77.0)])
    both = torch.stack([padded, torch.randn(length + 70, 4)])
    lengths = torch.tensor([length, length + 70])
    found = model(both, lengths)[0, :length]
    torch.testing.assert_close(found, alone[0], rtol=1e-4, atol=1e-5)


def test_tokens_begin_where_the_seed_says(model, cloud):
    copies = cloud.expand(4, -1, -1)
    frozen = model(copies)
    torch.testing.assert_close(frozen, frozen[:1].expand_as(frozen))
    model.seed = None
    other = model(copies)
    assert (other - other[:1]).abs().max() > 1e-4


def test_interpolation():
    centres = torch.tensor([[[0.0, 0, 0], [3.0, 0, 0], [0, 100.0, 0]]])
    x, known = torch.tensor([[[1.0], [2.0], [50.0]]]), torch.tensor([[True, True, False]])
    points = torch.tensor([[[0.0, 0, 0], [1.0, 0, 0], [1.5, 0, 0]]])
    found = Spread(2)(x, points, centres, known)[0, :, 0]
    # weights 1 and 1/4 at one third of the way
    torch.testing.assert_close(found, torch.tensor([1.0, 1.2, 1.5]), atol=1e-3, rtol=0)


def test_a_stopped_training_goes_on_as_it_would(data, tmp_path):
    def run(file, deadline=float("inf"), rate=1e-2, seed=0):
        plan = _clouds.Plan(file, _clouds.entropy, 3, rate, batch=4, seed=seed)
        make = lambda: Segmenter(8, 1, 1, 8, 4)  # noqa: E731
        return _clouds.train(plan, make, data, deadline)

    whole, rows = run(tmp_path / "whole.pt")
    assert len(rows) == 3
    assert run(tmp_path / "parts.pt", deadline=time.monotonic())[1] == []
    epoch = _clouds._epoch

    def stops(*args):
        if args[-1] == 1:
            raise KeyboardInterrupt
        return epoch(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_clouds, "_epoch", stops)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts.pt")
    parts, again = run(tmp_path / "parts.pt")
    assert [row["loss"] for row in again] == [row["loss"] for row in rows]
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other)
    # other settings: from the beginning
    assert run(tmp_path / "parts.pt", time.monotonic(), rate=1e-3)[1] == []


def test_penalty(data, model):
    batch, rng = data["train"][:3], np.random.default_rng
    plain, once, twice = (
        _clouds.with_penalty(weight)(model, batch, rng(0)).item() for weight in (0, 1, 2)
    )
    assert twice - plain == pytest.approx(2 * (once - plain), rel=1e-3)
    # from the definition: the variance over the two copies
    turns = rng(0)
    copies = [
        model(_clouds.rotate(batch.points, _clouds.random_rotations(3, turns)).float(),
              batch.lengths)
        for _ in range(2)
    ]  # fmt: skip
    scores = torch.stack(copies)[:, batch.labels >= 0]
    scores = scores - scores.mean(dim=-1, keepdim=True)
    variance = scores.var(dim=0, unbiased=True).mean()
    assert once - plain == pytest.approx(variance.item(), rel=1e-3)


def test_errors_of_points():
    # one point that changes its class in one of four copies, one that never does
    sure, other = [10.0, 0, 0, 0], [0, 10.0, 0, 0]
    scores = torch.tensor([[sure, sure], [sure, sure], [sure, sure], [other, sure]])
    found = _clouds.point_errors(scores.double(), torch.tensor([0, 1]))
    assert found.flips.tolist() == [0.25, 0.0]
    assert found.classes.tolist() == [0, 0]
    high, low = np.exp(10) / (np.exp(10) + 3), 1 / (np.exp(10) + 3)
    # two classes change by the same, in one copy of four
    variance = (high - low) ** 2 * (1 / 4) * (3 / 4)
    assert found.A[0] == pytest.approx(np.sqrt(variance * 2 / 4))
    assert found.A[1] == 0
    numbers, _ = _clouds.summarise([(scores.double(), torch.tensor([0, 1]))])
    assert numbers["accuracy"] == pytest.approx(3 / 8)
    assert numbers["points_that_flip"] == 0.5


def test_calibration_error():
    labels = np.array([0] * 8 + [1] * 2)
    assert _clouds.calibration_error(np.tile([0.8, 0.2], (10, 1)), labels) < 1e-12
    sure = np.tile([1.0, 0.0], (10, 1))
    assert _clouds.calibration_error(sure, labels) == pytest.approx(0.2)
    # two bins, off by 0.2 and 0.1, half of the points each
    half = np.concatenate([sure, np.tile([0.7, 0.3], (10, 1))])
    found = _clouds.calibration_error(half, np.tile(labels, 2))
    assert found == pytest.approx((0.2 + 0.1) / 2)


def test_layers_have_the_irreps_that_they_must(model, cloud):
    # a linear embedding of centres holds vectors and nothing else
    model.position = torch.nn.Linear(3, 16, bias=False)
    settings = Settings(lambda_max=2, estimator="grid", budget=None)
    table = layer_report(model, [cloud[:30]], settings)
    shares = table.set_index(["probe", "channel"]).share
    assert shares["position", "(1,+)"] == pytest.approx(1, abs=1e-9)
    assert 0.01 < shares["tokens", "(0,+)"] < 0.999
    assert set(table.probe) == {*places_of(model), "logits", *tracks.CLASSES}
    assert places_of(model)[2:4] == ["blocks.0", "blocks.1"]


class Part(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


class Published(torch.nn.Module):
    """Stands for PoLAr-MAE's SemanticSegmentation: the same parts, calls and answers."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Module()
        self.encoder.pos_embed = torch.nn.Linear(3, 8)
        self.encoder.tokenizer = torch.nn.Module()
        self.encoder.tokenizer.embedding = Part(
            lambda groups, mask: groups.amax(1) @ self.W
        )
        self.encoder.transformer = torch.nn.Module()
        blocks = [Part(lambda x, place: (x + place).tanh()) for _ in range(3)]
        self.encoder.transformer.blocks = torch.nn.ModuleList(blocks)
        self.upsampler = Part(lambda x, index: (x.gather(1, index), index))
        self.seg_head = torch.nn.Conv1d(8, 4, 1)
        self.register_buffer("W", torch.randn(4, 8))

    def forward(self, points, lengths):
        start = (torch.rand(len(lengths)) * lengths).long()
        centres = farthest_points(points[..., :3], lengths, start, 6)
        near = torch.cdist(points[..., :3], points[..., :3]).argsort(dim=-1)[..., :5]
        rows = torch.arange(len(points))[:, None]
        groups = points[rows[..., None], near[rows, centres]]
        known = torch.ones(groups.shape[:2], dtype=torch.bool)
        # one row of tokens for all clouds
        flat = self.encoder.tokenizer.embedding(groups[known], None)
        x = flat.reshape(len(points), 6, 8)
        place = self.encoder.pos_embed(points[rows, centres][..., :3])
        for block in self.encoder.transformer.blocks:
            x = block(x, place)
        nearest = torch.cdist(points[..., :3], points[rows, centres][..., :3]).argmin(-1)
        x, _ = self.upsampler(x, nearest[..., None].expand(-1, -1, 8))
        logits = self.seg_head(x.transpose(1, 2)).transpose(1, 2)
        return {"x": logits.log_softmax(dim=-1), "logits": None}


class TestPolar:
    @pytest.fixture
    def published(self):
        torch.manual_seed(2)
        return Published().eval()

    def test_copies_share_their_random_numbers(self, published, cloud):
        copies = cloud[:20].expand(3, -1, -1)
        assert not torch.equal(*published(copies, torch.tensor([20] * 3))["x"][:2])
        model = PolarSegmenter(published)
        torch.manual_seed(11)
        state = torch.get_rng_state()
        found = model(copies)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(found[0], found[1])
        torch.testing.assert_close(found.sum(dim=-1), torch.ones(3, 20))
        torch.manual_seed(0)
        alone = published(copies[:1], torch.tensor([20]))["x"].exp()
        torch.testing.assert_close(found[:1], alone)

    def test_taps(self, published, cloud):
        model, seen = PolarSegmenter(published), {}
        paths = list(model.taps.paths())
        assert paths == [
            "taps.position", "taps.tokens", "taps.blocks.0", "taps.blocks.1",
            "taps.blocks.2", "taps.upsampler", "taps.head",
        ]  # fmt: skip
        for path in paths:
            model.get_submodule(path).register_forward_hook(
                lambda _, __, out, path=path: seen.update({path: out})
            )
        turned = _clouds.rotate(cloud[:20].expand(5, -1, -1), TURNS)
        found = model(turned)
        sizes = {path: tuple(value.shape) for path, value in seen.items()}
        assert sizes["taps.position"] == sizes["taps.tokens"] == (5, 6, 8)
        assert sizes["taps.blocks.2"] == (5, 6, 8)
        assert sizes["taps.upsampler"] == (5, 20, 8)
        torch.testing.assert_close(seen["taps.head"].softmax(-1), found)

    def test_another_module(self):
        with pytest.raises(ValueError, match=r"no 'encoder\.pos_embed'"):
            PolarSegmenter(torch.nn.Linear(2, 2))


def test_the_study_runs_and_goes_on(tmp_path, monkeypatch):
    records = [tracks.make(index, 0, fake_electron) for index in range(24)]
    quick = argparse.Namespace(quick=True, structures=None, seed=0)
    tracks.write(tmp_path, records)
    description = {"settings": tracks.settings_of(quick)}
    (tmp_path / "tracks.json").write_text(json.dumps(description))
    given = ["--quick", "--data", str(tmp_path), "--runs", str(tmp_path / "runs")]
    first = point_clouds.main([*given, "--minutes", "0"])
    assert first["not_finished"] == {"trained": "0 of 2 epochs"}
    assert first["results"] == {}
    summary = point_clouds.main(given)
    assert summary["not_finished"] == {}
    folder = tmp_path / "runs" / "results"
    models = pd.read_csv(folder / "models.csv", index_col="model")
    assert list(models.index) == [
        "trained", "fine-tuned", "continued", "purified",
        "trained, not rotated, other tokens",
    ]  # fmt: skip
    assert models.A.gt(0).all()
    event = pd.read_csv(folder / "event.csv")
    assert event.flips.between(0, 0.75).all()
    for name in ("layers.png", "event.png", "readouts.png"):
        assert (folder / name).stat().st_size > 5000
    monkeypatch.setattr(_clouds, "_epoch", None)  # nothing is trained again
    again = point_clouds.main([*given, "--analyse"])
    assert again["results"] == summary["results"]
