"""One embedding for two targets: forms against closed forms, and the study itself."""

import numpy as np
import pandas as pd
import pytest
import sphericart.torch
import torch
from ase import Atoms
from metatensor.torch import Labels, TensorBlock, TensorMap
from test_studies import shared_data, study

from benchmarks.studies import _embeddings, _series, one_embedding, pseudoscalar, readable
from benchmarks.studies._embedding_start import Start, explained
from benchmarks.studies._embeddings import FORMS, Form, FormEmbedding
from benchmarks.studies._study import Setting, make_data
from metatrain_symmetry.pet_ssh import model as product


def edges_of(vectors):
    distances = torch.linalg.norm(vectors, dim=-1, keepdim=True)
    return torch.cat([vectors, distances], dim=-1)[None]


@pytest.fixture
def vectors():
    return torch.randn(7, 3, generator=torch.Generator().manual_seed(1))


def test_the_form_of_the_branch(vectors):
    """Linear map and LayerNorm of harmonics whose degrees have norm r, as its tests say."""
    torch.manual_seed(0)
    embedding = FormEmbedding(12, FORMS["unit"])
    with torch.no_grad():
        embedding.norm.weight.normal_()
    solid = sphericart.torch.SolidHarmonics(4).compute(vectors)
    distances = torch.linalg.norm(vectors, dim=1)
    blocks = []
    for l in range(5):
        block = solid[:, l * l : (l + 1) ** 2]
        norm = torch.linalg.norm(block, dim=1)
        blocks.append(block * (distances / norm)[:, None])
    expected = embedding.norm(embedding.linear(torch.cat(blocks, dim=1)))
    torch.testing.assert_close(embedding(edges_of(vectors))[0], expected)
    assert embedding.linear.weight.abs().max() <= 1 / 5  # as torch makes it


def test_degrees_have_their_sizes(vectors):
    """Over many weights, the mean square of a feature from a degree is its size squared."""
    form = Form(l_max=3, first=1, sizes=(0.5, 0.2, 0.7), vectors=None)
    embedding = FormEmbedding(100_000, form)
    for index, size in enumerate(form.size):
        with torch.no_grad():
            embedding.linear.bias.zero_()
            other = FormEmbedding(100_000, form)
            other.linear.bias.zero_()
            other.gates[:] = torch.eye(3)[index]
            other.has_gates = True
            found = other(edges_of(vectors))[0].square().mean(dim=1)
        torch.testing.assert_close(found, torch.full((7,), size**2), rtol=0.03, atol=0)


@pytest.mark.parametrize("name", ["silent", "silent, bare", "zeroed"])
def test_silent_harmonics_are_heard_at_once(name, vectors):
    """The map of PET alone at the start, and a gradient that lets harmonics in."""
    torch.manual_seed(0)
    embedding = FormEmbedding(12, FORMS[name])
    edges = edges_of(vectors)
    expected = edges @ embedding.cartesian.weight.T + embedding.cartesian.bias
    torch.testing.assert_close(embedding(edges), expected)
    bare = vectors @ embedding.cartesian.weight[:, :3].T
    assert torch.allclose(expected[0], bare) == FORMS[name].bare
    embedding(edges).square().sum().backward()
    heard = embedding.gates if FORMS[name].gate == 0 else embedding.linear.weight
    assert (heard.grad != 0).all()


def test_eager_harmonics_move_faster(vectors):
    """The same embedding at the start, and five times the gradient for its weights."""
    edges, gradients, values = edges_of(vectors), [], []
    for eager in (1.0, 5.0):
        torch.manual_seed(0)
        embedding = FormEmbedding(12, Form(sizes=0.1, fixed=False, eager=eager))
        values.append(embedding(edges))
        values[-1].sum().backward()
        gradients.append(embedding.linear.weight.grad)
    torch.testing.assert_close(values[1], values[0])
    torch.testing.assert_close(gradients[1], 5 * gradients[0])


def test_a_factor_of_the_vectors_leaves_the_distance_alone(vectors):
    embedding = FormEmbedding(12, Form(vectors=8.0, sizes=0.0))
    weight, edges = embedding.cartesian.weight, edges_of(vectors)
    expected = 8 * vectors @ weight[:, :3].T + edges[0, :, 3:] * weight[:, 3]
    torch.testing.assert_close(embedding(edges)[0], expected + embedding.cartesian.bias)


@pytest.mark.parametrize("name", FORMS)
def test_padding_and_export(name, vectors):
    """Padded edges are finite, with finite gradients; TorchScript says the same."""
    embedding = FormEmbedding(12, FORMS[name])
    padded = torch.cat([vectors, torch.zeros(2, 3)])
    edges = edges_of(padded).requires_grad_()
    values = embedding(edges)
    (gradient,) = torch.autograd.grad(values.square().sum(), edges)
    assert torch.isfinite(values).all()
    assert torch.isfinite(gradient).all()
    torch.testing.assert_close(torch.jit.script(embedding)(edges), values)


def test_sizes_must_match_degrees():
    with pytest.raises(ValueError, match="as many sizes, but got 1"):
        Form(sizes=(0.1,))


def test_a_form_is_used_only_inside():
    before = product.GeometryEmbedding
    with _embeddings.used(FORMS["apart"]):
        assert isinstance(product.GeometryEmbedding(8, l_max=4), FormEmbedding)
    assert product.GeometryEmbedding is before
    with _embeddings.used(None):
        assert product.GeometryEmbedding is before


def test_explained_of_correlated_features():
    """y = a + b in features a, a + 2b and noise; and one that is only rounding."""
    covariance = np.array([[1.0, 1.0, 0, 0], [1, 5, 0, 0], [0, 0, 3, 0], [0, 0, 0, 0]])
    moments = np.array([1.0, 3.0, 0.0, 1e-20])
    assert explained(moments, moments, covariance, square=2.0) == pytest.approx(1.0)
    # a + 2b alone: 3² / (5 · 2), and two estimates of the moment
    one, part = moments[1:2], covariance[1:2, 1:2]
    assert explained(0.5 * one, 2 * one, part, 2.0) == pytest.approx(0.9)


class Told(torch.nn.Module):
    """Features that are known: the pseudo-scalar beside a vector, and a vector alone."""

    def requested_neighbor_lists(self):
        return []

    def forward(self, systems, outputs):
        (name,) = outputs
        found = []
        for system in systems:
            a, b, c = system.positions[1:] - system.positions[0]
            pseudo = torch.dot(a, torch.linalg.cross(b, c))
            found.append(torch.stack([pseudo + 3 * a[0], 2 * b[1]]))
        values = torch.stack(found)
        labels = Labels.range("system", len(systems))
        block = TensorBlock(values, labels, [], Labels.range("feature", 2))
        return {name: TensorMap(Labels.single(), [block])}


def test_what_can_be_read_of_known_features():
    """Orthogonal bonds of length 1: y = ±1, and the noise 3x has a mean square of 3."""
    corners = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    frames = [Atoms("CFClBr", corners), Atoms("CFClBr", -corners)]
    start = Start(frames, np.array([1.0, -1.0]), Told(), orbits=2, samples=6000)
    # the other vector is uncorrelated with both
    assert start.readable(Told(), "mtt::y") == pytest.approx(1 / (1 + 3), rel=0.05)


def setting(tmp_path, quick=False):
    return Setting(tmp_path, tmp_path, tmp_path, seeds=[0], quick=quick)


def test_what_can_be_read_of_new_models(tmp_path):
    """More with PET's own map than with harmonics, as in every seed of the study."""
    chosen = setting(tmp_path, quick=True)
    make_data(pseudoscalar.STUDY, chosen)
    table = readable.measure(chosen).set_index("variant").readable
    assert 0 < table["l_max 4"] < table["PET"] < 1


def test_rank_correlation_of_what_is_never_learned():
    rows = [("a", 0.3, 10), ("a", 0.1, 20), ("b", 0.01, 40), ("c", 0.001, np.nan)]
    table = pd.DataFrame(rows, columns=["variant", "readable", readable.LEFT])
    assert readable.correlation(table) == pytest.approx(-1)
    table.readable = table.readable.to_numpy()[::-1]
    assert readable.correlation(table) == pytest.approx(1)


def test_both_tasks_have_the_same_embedding(tmp_path):
    trainings = one_embedding.plan(setting(tmp_path))
    assert len({t.folder for t in trainings}) == len(trainings)
    models = {}
    for training in trainings:
        model = training.options["architecture"]["model"]
        key = (training.embedding, training.temperature)
        models.setdefault(key, []).append(model["geometry_embedding"])
        assert model["attention_temperature"] == training.temperature
    assert len(models) == sum(map(len, one_embedding.TRAINED.values()))
    assert all(len(both) == 2 and both[0] == both[1] for both in models.values())
    (one, *_) = [t for t in trainings if t.embedding == "unit"]
    assert one.command[:2] == [_embeddings.__file__, "unit"]
    assert one.command[2] == "train"


def test_errors_of_a_continued_training(tmp_path, monkeypatch):
    training = one_embedding.plan(setting(tmp_path))[0]
    head = "Epoch,learning rate,validation loss,validation mtt::triple_product RMSE\n,,,\n"
    logs = {"1": "0,1,9,4.0\n1,1,9,3.0\n2,1,9,8.0\n", "2": "2,1,9,1.0\n3,1,9,0.5\n"}
    for name, rows in logs.items():
        folder = training.folder / "outputs" / "day" / name
        folder.mkdir(parents=True)
        (folder / "train.csv").write_text(head + rows)
    monkeypatch.setattr(_series, "target_size", lambda training: 2.0)
    table = one_embedding.epochs_of(training)
    assert table.epoch.tolist() == [0, 1, 2, 3]
    assert table.relative_rmse.tolist() == [2.0, 1.5, 0.5, 0.25]
    final = one_embedding.ends(one_embedding.curves_of([training]))
    assert final.epoch_learned.tolist() == [2]
    assert final.pseudo_rmse.tolist() == [0.25]
    assert final.learned.tolist() == [1.0]
    assert final.l8_rmse.isna().all()


def test_one_embedding(tmp_path, tmp_path_factory):
    pytest.importorskip("pyscf")
    pytest.importorskip("rdkit")
    summary, _ = study("one_embedding", tmp_path, data=shared_data(tmp_path_factory))
    assert summary["not_finished"] == {}
    rows = pd.read_csv(tmp_path / "results" / "trainings.csv")
    assert set(rows.variant) == {"PET, temperature 1", "silent, temperature 1"}
    numbers = ["pseudo_rmse", "l8_rmse", "readable", "step"]
    assert np.isfinite(rows[numbers]).all(axis=None)
    assert rows.step[rows.variant == "PET, temperature 1"].tolist() == [1.0]
    start = pd.read_csv(tmp_path / "results" / "start.csv")
    assert start.merge(rows, on=["variant", "seed", "readable", "step"]).shape[0] == 2
    assert (tmp_path / "results" / "epochs.png").stat().st_size > 1000
