"""The closed form against what can be written out, on small problems."""

import functools
import math

import pytest
import torch
from common import TYPES, molecule
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_generic_target_info
from purify_common import (
    accumulated,
    generic,
    info_of,
    irreps,
    rich_info,
    samples,
    structures,
    toy,
)

from metatrain_symmetry.groups import Irrep, O3Grid, representation
from metatrain_symmetry.models.metatomic import MetatomicEngine
from metatrain_symmetry.purify.features import FeatureEngine
from metatrain_symmetry.purify.labels import targets_of
from metatrain_symmetry.purify.moments import Moments, OrbitSums
from metatrain_symmetry.purify.problems import find_problems, sample_weights
from metatrain_symmetry.purify.solve import Path, matrix, whitening
from metatrain_symmetry.purify.weights import add_to_readout, readout


TARGETS = list(rich_info().targets)
GRID = O3Grid(4)


def physical(engine, sample, problem, matrices):
    """Predictions W Φ of rotated copies in physical units, ``(n, samples, d, P)``."""
    features = engine.evaluate(sample.structure, matrices, [], [problem.part.target])
    values = features.layers[problem.part.target]
    values = values * sample_weights(problem, sample.structure, False)[:, None]
    if problem.part.kind == "system":
        values = values.sum(1, keepdim=True)
    else:
        values = values[:, targets_of(engine, sample, problem, False)[0]]
    w = readout(engine.model, problem).reshape(
        -1, problem.part.irrep.dimension, engine.width
    )
    return torch.einsum("nsk,pmk->nsmp", values, w)


def whole_model(engine, sample, problem, matrices):
    """The same of the whole model, evaluated on rotated structures."""
    part = problem.part
    generic_engine = MetatomicEngine(engine.model, [part.target], dtype=torch.float64)
    (block,) = [b for b in generic_engine.blocks if b.irrep == part.irrep]
    prepared = generic_engine.prepare(sample.structure.system)
    found = generic_engine.evaluate(prepared, matrices, [block], []).targets[block]
    per_atom = "/atom" in part.unit
    return found[..., list(problem.properties)] / (prepared.n_atoms if per_atom else 1)


@pytest.mark.parametrize("featurizer", ["feedforward", "residual"])
def test_predictions_are_linear_in_the_features(featurizer):
    engine = FeatureEngine(toy(featurizer_type=featurizer), TARGETS)
    matrices = GRID.matrices[::37]
    checked = set()
    for sample in samples(engine, structures(2)):
        for problem in find_problems(engine):
            if targets_of(engine, sample, problem, False) is not None:
                found = physical(engine, sample, problem, matrices)
                expected = whole_model(engine, sample, problem, matrices)
                torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
                checked.add((problem.part.target, problem.part.irrep))
    assert {target for target, _ in checked} == set(TARGETS)
    assert ("non_conservative_stress", Irrep(2)) in checked
    assert ("mtt::density", Irrep(1, -1)) in checked


def fast_model(engine, sample, problem, matrices):
    """The same of the fast engine, which evaluates PET's own last layers."""
    part = problem.part
    (block,) = [
        b for b in engine.blocks if (b.target, b.irrep) == (part.target, part.irrep)
    ]
    found = engine.evaluate(sample.structure, matrices, [block], []).targets[block]
    scale = sample.structure.n_atoms if "/atom" in part.unit else 1
    return found[..., list(problem.properties)] / scale


def labelled(engine, samples, problem):
    """Structures that have labels, with these."""
    pairs = [(s, targets_of(engine, s, problem, False)) for s in samples]
    return [(sample, found[1]) for sample, found in pairs if found is not None]


def design_of(engine, samples, problem):
    """Predictions turned back as a linear map of the readout: one evaluation per unknown.

    Of shape ``(rotations, samples, components, unknowns)``, and the labels beside it.
    """
    w0 = readout(engine.model, problem)
    inverse = representation(problem.part.irrep, GRID.matrices).transpose(1, 2)
    pairs = labelled(engine, samples, problem)
    columns = []
    for k in range(w0.shape[1]):  # the model whose only weight is one, for all properties
        unit = torch.zeros_like(w0)
        unit[:, k] = 1
        add_to_readout(engine.model, problem, unit - readout(engine.model, problem))
        values = [fast_model(engine, s, problem, GRID.matrices)[..., :1] for s, _ in pairs]
        columns.append(torch.einsum("gmn,gsnp->gsmp", inverse, torch.cat(values, 1)))
    add_to_readout(engine.model, problem, w0 - readout(engine.model, problem))
    return torch.cat(columns, -1), torch.cat([y for _, y in pairs])


def brute_force(design, labels, w0, alpha, eta):
    """Least squares of predictions turned back."""
    root = GRID.weights.sqrt()[:, None, None, None]
    mean = (root.square() * design).sum(0)
    y = root * labels
    # Λ: squares of the features that a unit weight has, the same for all components
    sizes = (root * design).square().sum((0, 1)).reshape(design.shape[2], -1)
    per_feature = sizes.reshape(design.shape[2], design.shape[2], -1).sum(0)
    ridge = math.sqrt(eta) * torch.diag(per_feature.flatten().sqrt())
    rows = [root * design, math.sqrt(alpha) * root * (design - mean)]
    left = torch.cat([*(part.reshape(-1, w0.shape[1]) for part in rows), ridge])
    right = y.reshape(-1, y.shape[-1])
    right = torch.cat([right, torch.zeros_like(right), ridge @ w0.T])
    return torch.linalg.lstsq(left, right, driver="gelsd").solution.T


CASES = [
    ("energy", Irrep(0)),
    ("non_conservative_force", Irrep(1)),
    ("non_conservative_stress", Irrep(0)),
    ("non_conservative_stress", Irrep(2)),
    ("mtt::matrix", Irrep(1, -1)),
    ("mtt::density", Irrep(3)),
    ("mtt::scalars", Irrep(0)),
]


@functools.cache
def least_squares_of(target, irrep):
    """A problem, its moments, and what a direct solution needs."""
    info = DatasetInfo("Angstrom", TYPES, {target: rich_info().targets[target]})
    model = toy(info, featurizer_type="residual", d_head=2)
    # only crystals, every other one, have a stress: one alone tells too little
    atoms = structures(8 if "stress" in target else 2)
    engine, problems, chosen, moments = accumulated(model, [target], atoms, GRID)
    index = next(i for i, p in enumerate(problems) if p.part.irrep == irrep)
    w0 = readout(model, problems[index])
    return moments[index], w0, *design_of(engine, chosen, problems[index])


@pytest.mark.parametrize(("alpha", "eta"), [(0.0, 0.1), (3.0, 1e-3), (50.0, 0.0)])
@pytest.mark.parametrize(("target", "irrep"), CASES, ids=str)
def test_equals_least_squares_of_predictions_turned_back(target, irrep, alpha, eta):
    moments, w0, design, labels = least_squares_of(target, irrep)
    found = Path(moments, w0, eta).readout(alpha)
    expected = brute_force(design, labels, w0, alpha, eta)
    if eta == 0:  # directions without samples are free: compare what is predicted
        squares = moments.norm2(found - expected) / moments.norm2(expected)
        assert squares.max() < 1e-16
    else:
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


@pytest.fixture(scope="module")
def forces():
    """Moments of direct forces, with the trained readout."""
    info = info_of(non_conservative_force=generic({"cartesian": {"rank": 1}}, unit="eV/A"))
    model = toy(info)
    engine, problems, chosen, moments = accumulated(
        model, ["non_conservative_force"], structures(4), GRID
    )
    return engine, problems[0], chosen, moments[0], readout(model, problems[0])


def loss(moments, w, alpha, eta, w0):
    error, unsymmetric = moments.errors(w)
    step = (w - w0).reshape(len(w), moments.d, -1)
    ridge = (step.square() * moments.S.diagonal()).sum((1, 2))
    return error + alpha * unsymmetric + eta * ridge


@pytest.mark.parametrize(("alpha", "eta"), [(0.0, 0.0), (1.0, 1e-4), (100.0, 1.0)])
def test_gradient_of_the_loss_is_zero(forces, alpha, eta):
    *_, moments, w0 = forces
    w = Path(moments, w0, eta).readout(alpha).requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(moments, w, alpha, eta, w0).sum(), w)
    (at_start,) = torch.autograd.grad(
        loss(moments, start := w0.clone().requires_grad_(True), alpha, eta, w0).sum(), start
    )
    assert gradient.abs().max() < 1e-8 * at_start.abs().max()
    rest = matrix(moments, alpha, eta) @ w.detach().T - moments.b.T
    rest -= eta * moments.S.diagonal().repeat(3)[:, None] * w0.T
    assert rest.abs().max() < 1e-9 * moments.b.abs().max()


def test_sums_are_those_of_predictions(forces):
    engine, problem, chosen, moments, w0 = forces
    inverse = representation(problem.part.irrep, GRID.matrices).transpose(1, 2)
    error = unsymmetric = 0.0
    for sample in chosen:
        values = physical(engine, sample, problem, GRID.matrices)
        back = torch.einsum("gmn,gsnp->gsmp", inverse, values)
        y = targets_of(engine, sample, problem, False)[1]
        weights = GRID.weights[:, None, None, None]
        error += float((weights * (back - y).square()).sum())
        mean = (weights * back).sum(0)
        unsymmetric += float((weights * (back - mean).square()).sum())
    found = moments.errors(w0)
    assert math.isclose(float(found[0].sum()), error, rel_tol=1e-10)
    assert math.isclose(float(found[1].sum()), unsymmetric, rel_tol=1e-10)
    assert moments.samples == sum(sample.structure.n_atoms for sample in chosen)
    assert moments.structures == len(chosen)


def test_without_alpha_it_is_plain_least_squares(forces):
    *_, moments, w0 = forces
    w = Path(moments, w0).readout(0.0)
    assert moments.errors(w)[0].sum() <= moments.errors(w0)[0].sum()
    expected = moments.b @ torch.linalg.pinv(matrix(moments, 0.0), hermitian=True)
    difference = moments.norm2(w - expected).sum() / moments.norm2(expected).sum()
    assert difference < 1e-16


def test_large_alpha_leaves_the_equivariant_readouts(forces):
    *_, moments, w0 = forces
    path = Path(moments, w0)
    errors, unsymmetric = zip(
        *(moments.errors(path.readout(a)) for a in (0.0, 1.0, 1e2, 1e4, 1e8)), strict=True
    )
    errors = [float(e.sum()) for e in errors]
    unsymmetric = [float(u.sum()) for u in unsymmetric]
    assert errors == sorted(errors)
    assert unsymmetric == sorted(unsymmetric, reverse=True)
    assert unsymmetric[-1] < 1e-10 * unsymmetric[0]
    limit = path.readout(math.inf)
    scale = float(moments.norm2(w0).sum())
    assert abs(float(moments.errors(limit)[1].sum())) < 1e-12 * scale
    assert math.isclose(float(moments.errors(limit)[0].sum()), errors[-1], rel_tol=1e-4)


def test_a_large_ridge_keeps_the_weights(forces):
    *_, moments, w0 = forces
    w = Path(moments, w0, 1e12).readout(1.0)
    torch.testing.assert_close(w, w0, rtol=1e-8, atol=1e-8)


def test_directions_without_samples_keep_the_weights(forces):
    *_, moments, _ = forces
    K = len(moments.S)
    _, vectors = torch.linalg.eigh(moments.S)
    project = vectors[:, -3:] @ vectors[:, -3:].T  # features of three dimensions only
    big = torch.block_diag(*[project] * 3)
    poor = Moments(
        project @ moments.S @ project, big @ moments.Q @ big, moments.b @ big, moments.yy,
        moments.counts,
    )  # fmt: skip
    assert whitening(poor.S).shape[1] == 3
    generator = torch.Generator().manual_seed(0)
    w0 = torch.randn(1, 3 * K, generator=generator, dtype=torch.float64)
    path = Path(poor, w0)
    assert path.basis.shape == (3 * K, 9)
    # in the units of each feature the change has no part that predicts nothing
    sizes = poor.S.diagonal().sqrt()
    change = (path.readout(1.0) - w0).reshape(3, K) * sizes
    outside = torch.linalg.qr(vectors[:, :-3] * sizes[:, None]).Q
    assert (change @ outside).abs().max() < 1e-8 * change.abs().max()


class Toy:
    """Samples whose features mix three vectors with what is no vector, on purpose."""

    def __init__(self, K=12, seed=0):
        random = torch.Generator().manual_seed(seed)

        def draw(*shape):
            return torch.randn(*shape, generator=random, dtype=torch.float64)

        self.points = draw(20, 3, 3)
        self.mixing = draw(K, 9 + 6)
        self.mean = draw(6, 3, 3)
        self.clean = torch.zeros(3, 15, dtype=torch.float64)
        # the sum of the first two vectors, in the order y, z, x
        for m, axis in enumerate((1, 2, 0)):
            self.clean[m, [axis, 3 + axis]] = 1.0
        self.K = K

    def features(self, matrices):
        """Vectors, and products of their components: ``(g, samples, K)``."""
        turned = torch.einsum("gij,snj->gsni", matrices, self.points)
        products = torch.einsum(
            "kij,gsi,gsj->gsk", self.mean, turned[:, :, 0], turned[:, :, 2]
        )
        return torch.cat([turned.flatten(2), products], -1) @ self.mixing.T

    @property
    def labels(self):
        return (self.points[:, 0] + self.points[:, 1])[:, [1, 2, 0], None]

    def moments(self):
        found = Moments.zeros(3, self.K, 1, torch.device("cpu"))
        sums, matrices = OrbitSums(), GRID.matrices
        sums.add_square(self.features(matrices), GRID.weights)
        rho = representation(Irrep(1), matrices)
        sums.add_rotated(0, self.features(matrices), GRID.weights, rho)
        found.add(sums.S, sums.rotated(0), self.labels)
        return found


@pytest.mark.parametrize("alpha", [0.0, 1.0, 1e3, math.inf])
def test_contamination_is_removed_exactly(alpha):
    toy_data = Toy(K=15)
    moments = toy_data.moments()
    clean = (toy_data.clean @ torch.linalg.inv(toy_data.mixing)).reshape(1, -1)
    random = torch.Generator().manual_seed(1)
    dirt = torch.randn(clean.shape, generator=random, dtype=torch.float64)
    contaminated = clean + 0.1 * dirt
    size = float(moments.yy.sum())
    error, unsymmetric = (float(part.sum()) for part in moments.errors(contaminated))
    assert unsymmetric > 1e-2 * size
    w = Path(moments, contaminated).readout(alpha)
    error, unsymmetric = (float(part.sum()) for part in moments.errors(w))
    assert abs(unsymmetric) < 1e-12 * size
    if alpha < math.inf:  # which knows of no labels
        assert abs(error) < 1e-12 * size
        torch.testing.assert_close(w, clean, rtol=0, atol=1e-6)


def test_several_properties_with_one_scale_share_their_sums():
    info = info_of(**{"mtt::d": generic(irreps((1, 1)), n=3)})
    model = toy(info)
    for scales in model.scaler.model.scales.values():
        for block in scales.blocks():
            block.values[:] = torch.arange(1.0, 6)[:, None] * torch.arange(1.0, 4)
    _, problems, _, moments = accumulated(model, ["mtt::d"], structures(3), GRID)
    assert [p.properties for p in problems] == [(0, 1, 2)]
    assert moments[0].b.shape[0] == 3
    separate = [readout(model, problems[0])[i : i + 1] for i in range(3)]
    together = Path(moments[0], torch.cat(separate), 1e-3).readout(2.0)
    for i in range(3):
        one = Moments(
            moments[0].S, moments[0].Q, moments[0].b[i : i + 1], moments[0].yy[i : i + 1],
            moments[0].counts,
        )  # fmt: skip
        alone = Path(one, separate[i], 1e-3).readout(2.0)
        torch.testing.assert_close(alone[0], together[i], rtol=1e-9, atol=1e-9)
    assert len(TYPES) == len(problems[0].scales)


def atomic_basis():
    """Numbers of basis functions that differ between types: padded dense weights."""
    numbers = {
        number: [
            {"o3_lambda": 0, "o3_sigma": 1, "num": 1 + number % 3},
            {"o3_lambda": 2, "o3_sigma": 1, "num": 2},
        ]
        for number in (1, 6, 8)
    }
    options = generic({"spherical": {"irreps": numbers}})
    target = get_generic_target_info("mtt::basis", options)
    return DatasetInfo("Angstrom", [1, 6, 8], {"mtt::basis": target})


def test_atomic_basis_sums_are_those_of_predictions():
    engine, problems, chosen, moments = accumulated(
        toy(atomic_basis()), ["mtt::basis"], [molecule()], GRID
    )
    (sample,) = chosen
    values = engine.evaluate(sample.structure, GRID.matrices, engine.blocks, []).targets
    for irrep in (Irrep(0), Irrep(2)):
        error = unsymmetric = count = 0.0
        inverse = representation(irrep, GRID.matrices).transpose(1, 2)
        for block in (b for b in values if b.irrep == irrep):
            back = torch.einsum("gmn,gsnp->gsmp", inverse, values[block])
            weights = GRID.weights[:, None, None, None]
            mean = (weights * back).sum(0)
            error += float((weights * (back - sample.bare_targets[block]).square()).sum())
            unsymmetric += float((weights * (back - mean).square()).sum())
            count += mean.numel()
        own = [i for i, p in enumerate(problems) if p.part.irrep == irrep]
        sums = [moments[i].errors(readout(engine.model, problems[i])) for i in own]
        found = [float(sum(part[k].sum() for part in sums)) for k in (0, 1)]
        assert math.isclose(found[0], error, rel_tol=1e-9)
        assert math.isclose(found[1], unsymmetric, rel_tol=1e-9)
        d = irrep.dimension
        assert count == sum(
            moments[i].samples * len(problems[i].properties) * d for i in own
        )
