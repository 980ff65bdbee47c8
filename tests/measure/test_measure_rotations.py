"""What averages over sets of rotations leave of A: closed forms, and averages made."""

import numpy as np
import pandas as pd
import pytest
import torch
from metatomic.torch.o3._quadrature import choose_quadrature, get_rotation_quadrature
from scipy.spatial.transform import Rotation

from metatrain_symmetry.groups import Irrep, irreps_up_to, octahedral_group, representation
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.labels import BlockKey
from metatrain_symmetry.measure.results import Report
from metatrain_symmetry.measure.rotation_sets import rotation_sets
from metatrain_symmetry.measure.rotations import sentence
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.models import Block, FunctionEngine


SETS = {points.name: points for points in rotation_sets()}
SCALAR = Block("energy", Irrep(0), "system", "eV")
VECTOR = Block("force", Irrep(1), "atom", "eV/A")
CLOUD = torch.tensor([[0.9, -0.4, 1.2], [0.1, 0.8, -0.5], [-1.1, 0.3, 0.6]]).double()

REMOVED = {"T": {1, 2, 5}, "O": {1, 2, 3, 5, 7, 11}, "I": {*range(1, 6), 7, 8, 9, 11}}
"""Degrees up to 11 of which the rotations of a group leave nothing."""


@pytest.mark.parametrize("name", REMOVED)
def test_what_a_group_leaves_of_each_irrep(name):
    pairs = [*zip(irreps_up_to(11), SETS[name].kept(11), strict=True)][1:]
    gone = {irrep.o3_lambda for irrep, kept in pairs if kept == 0}
    assert gone == REMOVED[name]
    assert pairs[0][1] == pytest.approx(1)  # (0,-): no rotation changes it
    both = SETS[f"{name}i"].kept(11)
    for (irrep, kept), value in zip(pairs, both[1:], strict=True):
        assert value == pytest.approx(kept if irrep.parity == 1 else 0)


def test_numbers_of_invariants_of_the_icosahedron():
    """One in λ = 6, 10, 12, 15, of 2 λ + 1; two in λ = 30."""
    kept = SETS["I"].kept(30)[::2]
    for degree, count in {6: 1, 10: 1, 12: 1, 15: 1, 30: 2}.items():
        assert kept[degree] == pytest.approx(count / (2 * degree + 1))


@pytest.mark.parametrize("largest", [0, 1, 2])
def test_quadratures_are_those_of_metatomic(largest):
    rule = choose_quadrature(2 * largest + 1)
    matrices, weights = get_rotation_quadrature(*rule, include_inversion=True)
    same(SETS[f"SymmetrizedModel.wrap, λ ≤ {largest}"], matrices, weights)


def test_quadrature_is_that_of_metatomic_ase():
    calculator = pytest.importorskip("metatomic_ase").SymmetrizedCalculator(None)
    found = SETS["metatomic-ase, l_max 3"]
    same(found, calculator.quadrature_rotations, calculator.quadrature_weights)


def same(points, matrices, weights):
    assert points.evaluations == len(weights)
    rows = []
    for some, masses in (points.elements(), (matrices, weights)):
        table = np.column_stack([np.asarray(some).reshape(-1, 9), np.asarray(masses)])
        rows.append(table)
    for row in rows[1]:
        assert abs(rows[0] - row).max(axis=1).min() < 1e-12


def test_the_smallest_quadrature_for_vectors_is_the_octahedral_group():
    expected = SETS["Oi"].kept(20)
    assert SETS["SymmetrizedModel.wrap, λ ≤ 1"].kept(20) == pytest.approx(expected)


def legendre(points):
    """Degrees 2 and 6 of the first point, and the chirality of all three."""
    z = points[:, 0, 2] / points[:, 0].norm(dim=-1)
    two, six = (3 * z**2 - 1) / 2, (231 * z**6 - 315 * z**4 + 105 * z**2 - 5) / 16
    handed = 0.2 * torch.linalg.det(points).sign()
    return (two + six + handed).reshape(-1, 1, 1, 1)


def report_of(function, block, seed=0, **options):
    engine = FunctionEngine({block: function})
    settings = Settings(**{"lambda_max": 4, "budget": None, "seed": seed, **options})
    return analyze(engine, [engine.prepare(CLOUD)], settings=settings, progress=False)


def test_closed_form():
    """``A² = 1/5 + 1/13 + 0.04``; I leaves a thirteenth of (6,+), and all of (0,-)."""
    found = report_of(legendre, SCALAR, degree=16, lambda_max=8, circles=100)
    table = found.rotations.set_index("set")
    total = 1 / 5 + 1 / 13 + 0.04
    expected = {
        "one orientation": 1,
        "i": (1 / 5 + 1 / 13) / total,
        "I": (1 / 13**2 + 0.04) / total,
        "Ii": 1 / 13**2 / total,
        "24 random": 1 / 24,
    }
    for name, share in expected.items():
        row = table.loc[name]
        assert abs(row.share - share) < 3 * row.share_err + 1e-9, name
        assert row.share_err < 0.05 * share, name
        left = (share * total) ** 0.5 / len(CLOUD)
        assert row.A_left == pytest.approx(left, rel=0.05), name
    assert set(table.unit) == {"eV/atom"}


def force(points):
    """A vector with pseudo parts, a tail, and directions of the laboratory."""
    axial = torch.linalg.cross(points, points.roll(1, dims=1), dim=-1)
    found = points + 0.2 * axial + 0.2 * torch.sin(3 * points.roll(1, dims=-1))
    return found.roll(-1, dims=-1).unsqueeze(-1)


def haar(count, random):
    signs = torch.from_numpy(random.choice([-1.0, 1.0], count))
    turns = Rotation.random(count, rng=random).as_matrix()
    return torch.from_numpy(turns) * signs[:, None, None]


def averaged(function, block, points, count, seed):
    """Averages over a set in random frames, rotated back: A² from their scatter."""
    random = np.random.default_rng(seed)
    matrices, weights = points.elements()
    frames, starts = haar(count, random), haar(count, random)
    means = []
    for frame, start in zip(frames, starts, strict=True):
        elements = frame @ matrices @ frame.mT @ start
        values = function(CLOUD @ elements.mT)
        turn = representation(block.irrep, elements)
        means.append(torch.einsum("g,gmn,gsmp->snp", weights, turn, values))
    return np.stack([mean.numpy() for mean in means])


@pytest.mark.parametrize("name", ["i", "T", "Oi", "I", "metatomic-ase, l_max 3"])
def test_averages_that_are_made_leave_what_is_predicted(name):
    """Within 10 %: a vector, whose ε is not f itself."""
    found = report_of(force, VECTOR, degree=20, lambda_max=8, circles=300)
    row = found.rotations.set_index("set").loc[name]
    made = averaged(force, VECTOR, SETS[name], 1200, seed=1)
    left = float(made.var(axis=0, ddof=1).mean()) ** 0.5
    assert row.A_left == pytest.approx(left, rel=0.1)
    assert row.A_left_err < 0.05 * row.A_left


def test_error_bars_over_seeds():
    exact = report_of(force, VECTOR, degree=24, lambda_max=12, circles=200)
    exact = exact.rotations.set_index("set")
    z = []
    for seed in range(30):
        found = report_of(force, VECTOR, seed, degree=8, circles=8).rotations
        rows = found[found.kind.isin(["group", "metatomic"])].set_index("set")
        z.append((rows.share - exact.share[rows.index]) / rows.share_err)
    scores = pd.concat(z).abs()
    assert (scores > 3).mean() <= 0.03
    assert (scores > 2).mean() <= 0.1
    assert scores.median() > 0.1  # error bars say something


def test_circles_alone_know_it_too():
    found = report_of(force, VECTOR, estimator="circles", circles=200).rotations
    other = report_of(force, VECTOR, degree=16, circles=200).rotations
    both = found.merge(other, on="set").query("kind_x == 'group'")
    error = np.hypot(both.share_err_x, both.share_err_y)
    assert ((both.share_x - both.share_y).abs() < 4 * error).all()


def test_nothing_is_said_of_an_equivariant_model_or_of_a_finite_group():
    length = report_of(lambda p: p.norm(dim=-1).sum(1).reshape(-1, 1, 1, 1), SCALAR)
    assert not len(length.rotations)
    engine = FunctionEngine({SCALAR: legendre})
    data = [engine.prepare(CLOUD)]
    assert not len(analyze(engine, data, octahedral_group(), progress=False).rotations)


def test_table_is_saved_and_a_sentence_names_a_group(tmp_path):
    found = report_of(force, VECTOR, degree=16, circles=50)
    found.save(tmp_path)
    loaded = Report.load(tmp_path).rotations
    pd.testing.assert_frame_equal(
        loaded, found.rotations, check_dtype=False, check_exact=False
    )
    key = BlockKey("force", "", Irrep(1))
    table = found.rotations.set_index("set")
    words = sentence(loaded, key)
    name = words.split(" is the smallest")[0].split()[-1]
    assert table.share[name] + 2 * table.share_err[name] <= 0.2**2
    smaller = table[(table.kind == "group") & (table.evaluations < table.evaluations[name])]
    assert (smaller.share + 2 * smaller.share_err > 0.2**2).all()
    assert not sentence(loaded, BlockKey("energy", "", Irrep(0)))
