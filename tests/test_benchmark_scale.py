"""Exponents and costs that are known are found again, from exact and from noisy times."""

import json

import numpy as np
import pytest

from benchmarks._scale_fit import CostModel, Gpu, fit, residuals, slope
from benchmarks._scale_sets import WRITERS, write_set
from benchmarks._scale_show import MANY, fitted, tables
from benchmarks.scale import measured_gpu


TRUTH = CostModel(1.5e-3, 2e-5, 0.2, 4e-6, 3.3)


def case(part, n, evaluations, structures=0, probes=0, lambda_max=1, **more):
    return {
        "part": part, "atoms": n, "edges": 8 * n, "places": int(4 * n**1.3),
        "evaluations": evaluations, "structures": structures,
        "reported": structures * (part == "report"),
        "probes": probes, "lambda_max": lambda_max, "seconds": 0.0, **more,
    }  # fmt: skip


def axes(noise=0.0, seed=0):
    """Cases as the benchmark has them, with the times of a known model."""
    random = np.random.default_rng(seed)
    found = {
        "atoms": [(n, 1, 4, 36) for n in (9, 36, 126, 504, 999)],
        "lambda_max": [(9, k, 10, 40 * k**2) for k in (1, 2, 3, 4, 6, 8)],
        "probes": [(9, 4, p, 684) for p in (1, 2, 5, 10, 25)],
    }
    made = {}
    for axis, points in found.items():
        several = []
        for n, lambda_max, probes, evaluations in points:
            several.append(case("floor", n, evaluations))
            several.append(case("structure", n, evaluations, 1, probes, lambda_max))
        made[axis] = several
    made["structures"] = [
        case("report", 9, 350 + 50 * count, count, 5, 1) for count in (4, 8, 16, 32)
    ]
    for points in made.values():
        for point in points:
            point["seconds"] = TRUTH.seconds(point) * np.exp(noise * random.normal())
    return made


def flat(made):
    return [point for points in made.values() for point in points]


def test_the_exponent_of_a_power_law_is_exact():
    x = [1.0, 3.0, 10.0, 55.0]
    value, error = slope(x, [7 * v**2.25 for v in x])
    assert value == pytest.approx(2.25, abs=1e-12)
    assert error < 1e-12
    # by hand: logarithms 0, 1, 2 give 0, 1, 1, so 1/2 with a rest of 1/6 over 2
    value, error = slope(np.exp([0, 1, 2]), np.exp([0, 1, 1]))
    assert (value, error) == pytest.approx((0.5, (1 / 6 / 2) ** 0.5))
    with pytest.raises(ValueError, match="three points"):
        slope([1, 2], [1, 2])


def test_error_bars_of_exponents_are_honest():
    z, x = [], np.geomspace(1, 100, 8)
    for seed in range(300):
        noise = np.random.default_rng(seed).normal(size=8)
        value, error = slope(x, x**1.7 * np.exp(0.1 * noise))
        z.append((value - 1.7) / error)
    # Student's t with six degrees of freedom has a variance of 3/2
    assert abs(np.mean(z)) < 4 * (1.5 / 300) ** 0.5
    assert 1.1 < np.var(z) < 2.1


def test_the_cost_model_is_found_again():
    cases = flat(axes())
    model = fit(cases)
    for name, value in TRUTH.as_dict().items():
        if name != "exponent_error":
            assert getattr(model, name) == pytest.approx(value, rel=1e-6)
    assert max(map(abs, residuals(model, cases))) < 1e-6
    # and as it says itself, with closed forms
    known = case("report", 100, 240, 2, 5, 2)
    expected = 240 * (1.5e-3 + 2e-5 * 1592) + 2 * (0.2 + 4e-6 * 5 * 800 * 2**3.3)
    assert model.seconds(known) == pytest.approx(expected, rel=1e-6)


def test_the_cost_model_of_noisy_times_has_an_honest_exponent():
    z = []
    for seed in range(40):
        model = fit(flat(axes(0.1, seed)))
        z.append((model.exponent - TRUTH.exponent) / model.exponent_error)
        assert model.evaluation(1592) == pytest.approx(TRUTH.evaluation(1592), rel=0.2)
    assert abs(np.mean(z)) < 4 / 40**0.5
    assert 0.5 < np.std(z) < 1.6


def test_many_gpus_share_what_one_takes():
    gpu = Gpu(
        evaluation=1e-5, reduction=0.02, atoms=20, edges=160, places=196, lambda_max=8
    )
    plan = case("report", 20, 1000 * 120, 1000, 3, 4)
    # λmax halved
    seconds = 120_000 * 1e-5 + 1000 * (0.02 * 3 * 0.5**3.3 + 0.2)
    assert gpu.hours(plan, 8, TRUTH) == pytest.approx(seconds / 8 / 3600)
    assert gpu.hours(plan, 1, TRUTH) == pytest.approx(seconds / 3600)
    small, large = measured_gpu()
    assert (small.atoms, large.atoms) == (9, 99)
    assert 1e-6 < small.evaluation < large.evaluation < 1e-2
    assert measured_gpu((1e-3, None))[0].evaluation == 1e-3


def test_results_hold_exponents_residuals_and_hours():
    made = {name: {"points": points} for name, points in axes().items()}
    found = fitted(made, [Gpu(1e-5, 0.02, 9, 72, 69)], 8)
    exponents = {(e["axis"], e["part"]): e["exponent"] for e in found["exponents"]}
    # of the floor evaluations grow as λ², the reduction with the exponent of the model
    assert exponents["lambda_max", "floor"] == pytest.approx(2)
    assert exponents["lambda_max", "reduction"] == pytest.approx(3.3)
    assert found["median_residual"] < 1e-6
    hours = found["extrapolated"]
    assert hours[0]["structures"] == MANY
    assert hours[0]["hours"] == pytest.approx((120 * 1e-5 + 0.2) * MANY / 8 / 3600)
    text = tables({"cases": made, **found})
    assert "λmax^(3.30 ±" in text
    assert "| the bare model | lambda_max | 1 | 8 | 2.00 ± 0.00 |" in text
    assert fitted({}, [], 8) == {}
    json.dumps(found)


@pytest.mark.parametrize("kind", WRITERS)
def test_sets_have_as_many_structures_as_asked_for(kind, tmp_path):
    from metatrain_symmetry.data.datasets import open_sets
    from metatrain_symmetry.data.options_files import evaluation

    options = write_set(kind, 37, tmp_path)
    (one,), _ = open_sets(evaluation(options), "options")
    assert len(one.indices) == 37
    # the 16 distinct ones, again and again
    first, again = one.sample(20)[0], one.sample(36)[0]
    assert first.positions.tolist() == again.positions.tolist() != []
    assert first.positions.tolist() != one.sample(35)[0].positions.tolist()
    assert one.sample(20)[1]["energy"].block().gradients_list() == ["positions"]
