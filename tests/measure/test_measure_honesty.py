"""Error bars against exact values, over seeds, for every channel and every A shown."""

from functools import lru_cache, partial

import numpy as np
import pandas as pd
import pytest
import torch

from metatrain_symmetry.groups import Irrep, O3Grid, random_frame
from metatrain_symmetry.measure.analysis import analyze
from metatrain_symmetry.measure.errors import Replicates, ratio, widening
from metatrain_symmetry.measure.settings import Settings
from metatrain_symmetry.measure.structure import measure_structure
from metatrain_symmetry.models import Block, FunctionEngine


VANISHING = 1e-12
"""What the exact grid itself does not know better."""

FAR_DEGREE = 28

VECTOR = Block("force", Irrep(1), "atom", "eV/A")


def wavy(points):
    """Not band-limited, with all pseudo channels, and directions of the laboratory."""
    x, y, z = points.unbind(-1)
    axial = torch.linalg.cross(points, points.roll(1, dims=1), dim=-1)
    return torch.stack([torch.sin(2 * x * y + z), torch.tanh(axial[..., 0] + y)], dim=-1)


def force(points):
    """A vector with a tail of high degrees, and a part that is not equivariant."""
    axial = torch.linalg.cross(points, points.roll(1, dims=1), dim=-1)
    found = points + 0.2 * axial + 0.2 * torch.sin(3 * points.roll(1, dims=-1))
    return found.roll(-1, dims=-1).unsqueeze(-1)


def peak(points, sharpness=6):
    """A layer that sees one orientation only: many circles miss it."""
    directions = points / points.norm(dim=-1, keepdim=True)
    return torch.exp(sharpness * (directions[:, :1, 2] - 1)).reshape(-1, 1, 1)


def beyond(points):
    """One, and a Legendre polynomial of a degree that no circle looks at."""
    z = points[:, :1, 2] / points[:, :1].norm(dim=-1)
    last, legendre = torch.ones_like(z), z
    for l in range(2, FAR_DEGREE + 1):
        last, legendre = legendre, ((2 * l - 1) * z * legendre - (l - 1) * last) / l
    return (1 + 0.1 * (2 * FAR_DEGREE + 1) ** 0.5 * legendre).reshape(-1, 1, 1)


def engine_and_structures(count):
    engine = FunctionEngine(targets={VECTOR: force}, layers={"layer": wavy, "peak": peak})
    random = np.random.default_rng(5)
    clouds = [torch.from_numpy(random.normal(size=(4, 3))) for _ in range(count)]
    return engine, [engine.prepare(cloud, f"cloud {i}") for i, cloud in enumerate(clouds)]


@lru_cache
def exact(count):
    """Shares and A of some structures from a grid of degree 40."""
    engine, structures = engine_and_structures(count)
    grid = O3Grid(40, 4, frame=random_frame(99))
    powers, norms, A = {}, {}, []
    for structure in structures:
        found = measure_structure(engine, structure, grid, engine.blocks, engine.probes)
        A.append(found.equivariance[VECTOR].A)
        for key, spectrum in found.spectra.items():
            name = key if isinstance(key, str) else "force (1,+)"
            powers[name] = powers.get(name, 0) + spectrum.powers.powers[0]
            norms[name] = norms.get(name, 0) + spectrum.powers.norm2[0]
    shares = {name: (powers[name] / norms[name]).tolist() for name in powers}
    return shares, np.array(A), [str(irrep) for irrep in grid.irreps]


def scores(count, seeds, **options):
    """z of every channel and of every A."""
    shares, A, channels = exact(count)
    engine, structures = engine_and_structures(count)
    rows = []
    for seed in range(seeds):
        settings = Settings(lambda_max=4, seed=seed, budget=None, **options)
        report = analyze(engine, structures, settings=settings, progress=False)
        table = report.characters.set_index(["probe", "channel"])
        for probe, values in shares.items():
            known = [*zip(channels, values, strict=True), ("residual", 1 - sum(values))]
            for channel, value in known:
                if abs(value) < VANISHING:
                    continue
                found = table.loc[(probe, channel)]
                z = (found.share - value) / found.stderr
                kind = "pseudo" if channel.endswith("-)") else "proper"
                rows.append((kind, f"{probe} {channel}", z, found.stderr / value))
        errors = report.equivariance
        for a, e, value in zip(errors.A, errors.A_stderr, A, strict=True):
            rows.append(("A", "force", (a - value) / e, e / value))
    return pd.DataFrame(rows, columns=["kind", "name", "z", "relative"])


@pytest.mark.parametrize(
    "options",
    [
        {"degree": 8},
        {"degree": 12},
        {"estimator": "circles", "circles": 12},
        {"estimator": "grid"},
    ],
    ids=["small grid", "larger grid", "circles", "grid"],
)
def test_z_scores_of_every_channel(options):
    found = scores(8, 6, **options)
    assert found.z.notna().all()
    assert (found.z.abs() > 3).mean() <= 0.02
    for _, rows in found.groupby("kind"):
        assert (rows.z.abs() > 3).mean() <= 0.03
    # honest is not enough: the errors say something as well
    assert found[found.kind == "proper"].relative.median() < 0.2
    assert found[found.kind == "A"].relative.median() < 0.1


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("degree", "largest"), [(8, 0.8), (12, 0.2)])
def test_z_scores_of_few_structures(count, degree, largest):
    """With as many circles as are taken unasked."""
    found = scores(count, 24, degree=degree)
    assert found.z.notna().all()
    assert (found.z.abs() > 3).mean() <= 0.02
    for _, rows in found[~found.name.str.startswith("peak")].groupby("name"):
        assert (rows.z.abs() > 3).sum() <= 1
    left = found[found.name.isin(["layer residual", "force (1,+) residual"])]
    assert left.relative.median() < largest


def residuals(layer, count, seeds, **options):
    """Residuals of a layer over seeds, and their errors."""
    _, structures = engine_and_structures(count)
    engine = FunctionEngine(layers={"layer": layer})
    found = []
    for seed in range(seeds):
        settings = Settings(lambda_max=4, seed=seed, budget=None, **options)
        table = analyze(engine, structures, settings=settings, progress=False).characters
        found.append(table[table.channel == "residual"][["share", "stderr"]].iloc[0])
    return pd.DataFrame(found)


@pytest.mark.parametrize("count", [1, 8, 32])
def test_a_residual_that_no_circle_resolves(count):
    """What is folded from there is the same for all structures: no average over them."""
    found = residuals(beyond, count, 6, degree=8)
    z = (found.share - 0.01 / 1.01) / found.stderr
    assert z.abs().max() < 3
    assert abs(z.mean()) < 1
    assert found.stderr.median() < 0.03


def test_circles_that_miss_a_sharp_peak_do_not_replace_the_grid():
    sharp = partial(peak, sharpness=30)
    _, structures = engine_and_structures(1)
    engine = FunctionEngine(layers={"layer": sharp})
    grid = O3Grid(60, 4, frame=random_frame(99))
    (spectrum,) = measure_structure(
        engine, structures[0], grid, [], engine.probes
    ).spectra.values()
    truth = 1 - float(spectrum.powers.powers.sum() / spectrum.powers.norm2)
    found = residuals(sharp, 1, 24, degree=8)
    assert ((found.share - truth).abs() / found.stderr).max() < 3


def test_shares_and_residual_on_one_set_have_the_sum_one():
    engine, structures = engine_and_structures(2)
    settings = Settings(lambda_max=4, degree=12, budget=None)
    report = analyze(engine, structures, settings=settings, progress=False)
    for _, rows in report.characters.groupby("probe"):
        assert set(rows.estimator) == {"grid"}
        assert rows.share.sum() == pytest.approx(1, abs=1e-13)


def test_a_small_grid_knows_pseudo_channels_that_circles_do_not():
    grid = scores(8, 2, degree=12)
    circles = scores(8, 2, estimator="circles", circles=16)
    low = ["layer (1,-)", "layer (2,-)", "layer (3,-)"]
    of_grid = grid[grid.name.isin(low)].relative.median()
    of_circles = circles[circles.name.isin(low)].relative.median()
    assert of_grid < of_circles / 5


def test_errors_are_widened_by_students_t():
    assert widening(10**6) == pytest.approx(1, abs=1e-5)
    assert widening(1) == pytest.approx(13.97 / 2, rel=1e-3)  # t of 0.97725
    assert widening(4) == pytest.approx(2.869 / 2, rel=1e-3)
    assert np.isnan(widening(0))


@pytest.mark.parametrize("n", [2, 3, 4, 8])
def test_coverage_of_a_ratio_from_few_replicates(n):
    """Replicates of one structure: two errors are missed as seldom as promised."""
    random = np.random.default_rng(0)
    z = []
    for _ in range(4000):
        value, error = ratio([Replicates(1 + 0.1 * random.normal(size=n), np.ones(n))])
        z.append(abs(value - 1) / error)
    z = np.array(z)
    # 4.55 % are expected; without widening 30 % for n = 2, 11.6 % for n = 4
    assert (z > 2).mean() == pytest.approx(0.0455, abs=0.01)
    assert (z > 3).mean() < 0.037


def test_scatter_over_structures_where_replicates_are_missing():
    part = Replicates(np.array([1.0]), np.array([1.0]), float("nan"))
    assert np.isnan(ratio([part])[1])  # unknown, not zero
    random = np.random.default_rng(1)
    z = []
    for _ in range(2000):
        parts = [
            Replicates(1 + 0.1 * random.normal(size=1), np.ones(1), float("nan"))
            for _ in range(6)
        ]
        value, error = ratio(parts)
        z.append(abs(value - 1) / error)
    assert (np.array(z) > 2).mean() == pytest.approx(0.0455, abs=0.015)


def test_a_single_structure_keeps_its_bound():
    """There is no scatter over structures that could make it smaller."""
    part = Replicates(np.array([1.0]), np.array([2.0]), noise=0.04)
    assert ratio([part]) == pytest.approx((0.5, 0.1))


def test_a_random_choice_adds_the_error_of_choosing():
    parts = [Replicates(np.array([float(i)]), np.ones(1)) for i in range(4)]
    assert ratio(parts)[1] == 0
    some = ratio(parts, population=8)[1]
    assert 0 < some < ratio(parts, population=10**9)[1]
