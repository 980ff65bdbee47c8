"""The choice, the guard of forces, the figure, and what we use of metatrain."""

import inspect
import math

import numpy as np
import pandas as pd
import pytest
import torch
from common import TYPES, energy_info
from metatomic.torch import systems_to_torch
from metatrain.pet.modules.backend import PETBackend
from metatrain.utils.architectures import import_architecture
from metatrain.utils.data.dataset import _train_test_random_split
from metatrain.utils.io import model_from_checkpoint
from purify_common import generic, info_of, irreps, rich_info, structures, toy

from metatrain_symmetry.data import GivenStructure
from metatrain_symmetry.groups import Irrep
from metatrain_symmetry.purify.checks import check_memory, grid_degree
from metatrain_symmetry.purify.choose import Candidate, Score, choose, scan, score
from metatrain_symmetry.purify.features import FeatureEngine
from metatrain_symmetry.purify.gradients import Gradients, replaced
from metatrain_symmetry.purify.moments import Moments
from metatrain_symmetry.purify.options import complete, read_options
from metatrain_symmetry.purify.problems import find_problems
from metatrain_symmetry.purify.tables import CURVE
from metatrain_symmetry.purify.weights import add_to_readout, changed_parameters, readout
from metatrain_symmetry.report.tradeoff import draw_tradeoff


def candidate(A, rmse, alpha=1.0, ridge=0.0, training=None):
    score = Score(A, rmse)
    return Candidate(alpha, ridge, score, Score(A, training or rmse), [])


BEFORE = candidate(1.0, 1.0, math.nan)


def test_lowest_a_within_the_accepted_cost():
    cheap, dear = candidate(0.8, 1.009), candidate(0.5, 1.02)
    assert choose(BEFORE, [cheap, dear], 0.01) == (cheap, "")
    assert choose(BEFORE, [cheap, dear], 0.02) == (dear, "")
    assert choose(BEFORE, [cheap, dear], 0.0)[0] is None


def sized(A, rmse, ratio, alpha=1.0):
    score = Score(A, rmse, ratio)
    return Candidate(alpha, 0.0, score, score, [])


def test_predicting_nothing_is_no_gain():
    trained = sized(1.0, 1.0, 0.9, math.nan)
    silent, sound = sized(0.01, 1.0, 0.02), sized(0.8, 1.0, 0.8)
    assert choose(trained, [silent, sound], 0.01) == (sound, "")
    chosen, reason = choose(trained, [silent], 0.01)
    assert chosen is None
    assert "predicted less than 50 % of what the trained one does" in reason
    # a prediction that was too large may become smaller
    loud = sized(1.0, 1.0, 4.0, math.nan)
    assert choose(loud, [sound], 0.01) == (sound, "")


def noise(seed, atoms=40, K=5):
    """Moments of vectors that have nothing to do with their features."""
    generator = torch.Generator().manual_seed(seed)
    moments = Moments.zeros(3, K, 1, torch.device("cpu"))
    for _ in range(atoms):
        T = torch.randn(1, 3, 3, K, generator=generator, dtype=torch.float64)
        y = torch.randn(1, 3, 1, generator=generator, dtype=torch.float64)
        moments.add(2 * torch.eye(K, dtype=torch.float64), 0.3 * T, y)
    return moments


def test_a_target_that_was_not_learned_is_not_silenced(monkeypatch):
    training, held_out = [noise(0)], [noise(1)]
    w = [0.05 * torch.ones(1, 15, dtype=torch.float64)]
    before = Candidate(math.nan, math.nan, score(held_out, w), score(training, w), w)
    candidates = scan(training, held_out, w, [1.0, 100.0, 1e4], [0.0])
    assert before.held_out.norm_ratio == pytest.approx(
        (2 * (w[0] ** 2).sum() * held_out[0].samples / held_out[0].yy.sum()) ** 0.5
    )
    assert min(c.held_out.norm_ratio for c in candidates) < 0.01
    assert choose(before, candidates, 0.05)[0] is None
    monkeypatch.setattr("metatrain_symmetry.purify.choose.KEPT", 0.0)
    chosen, _ = choose(before, candidates, 0.05)
    assert chosen.held_out.A < 0.01 * before.held_out.A


def test_a_lucky_validation_set_is_not_enough():
    lucky, sound = candidate(0.2, 0.9, training=1.2), candidate(0.5, 1.0)
    assert choose(BEFORE, [lucky, sound], 0.01) == (sound, "")
    assert "or the training set" in choose(BEFORE, [lucky], 0.01)[1]


@pytest.mark.parametrize(
    ("candidates", "reason"),
    [
        ([candidate(1.0, 0.5)], "no readout had a lower"),
        ([candidate(0.9999, 0.5)], "no readout had a lower"),
        ([candidate(1.1, 0.5), candidate(0.5, 1.1)], "cost more than 1 % of RMSE on"),
        ([], "no readout had a lower"),
    ],
)
def test_nothing_to_be_gained(candidates, reason):
    chosen, why = choose(BEFORE, candidates, 0.01)
    assert chosen is None
    assert reason in why


def test_gradients_are_not_spoiled():
    first, second = candidate(0.5, 1.0), candidate(0.8, 1.0)
    chosen, _ = choose(BEFORE, [second, first], 0.01, lambda c: 2 - c.held_out.A)
    assert chosen is None
    chosen, _ = choose(BEFORE, [second, first], 0.01, lambda c: 1.5 if c is first else 1.0)
    assert chosen is second
    assert first.gradients == 1.5


class Few:
    """A validation set of structures with forces."""

    def __init__(self, engine, count=2):
        self.engine, self.atoms = engine, structures(count)

    def __len__(self):
        return len(self.atoms)

    def read(self, index, length_unit=""):
        system = systems_to_torch(self.atoms[index], dtype=torch.float64)

        def zeros(blocks):
            (block,) = [b for b in blocks if "force" in b.target]
            return {block: torch.zeros(len(system), 3, 1).double()}

        return GivenStructure("structure", system, zeros)


def test_guard_measures_forces_and_restores_the_model():
    model = toy(energy_info(gradients=True))
    engine = FeatureEngine(model, ["energy"])
    (problem,) = find_problems(engine)
    w0 = readout(model, problem)
    guard = Gradients.of(model, "energy", Few(engine))
    same, double = candidate(0.5, 1.0), candidate(0.5, 1.0)
    same.readouts, double.readouts = [w0], [2 * w0]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert guard.ratio([problem], same) == pytest.approx(1, rel=1e-9)
    # forces are linear in the readout, and the labels are zero
    assert guard.ratio([problem], double) == pytest.approx(2, rel=1e-9)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    with pytest.raises(ZeroDivisionError), replaced(model, [problem], [2 * w0]):
        raise ZeroDivisionError
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("featurizer", ["feedforward", "residual"])
def test_readouts_are_written_where_they_were_read(featurizer):
    model = toy(featurizer_type=featurizer)
    engine = FeatureEngine(model, list(rich_info().targets))
    problems = find_problems(engine)
    names = set(model.state_dict())
    for number, problem in enumerate(problems):
        before = [readout(model, p) for p in problems]
        generator = torch.Generator().manual_seed(number)
        change = torch.randn(before[number].shape, generator=generator).double()
        add_to_readout(model, problem, change)
        after = [readout(model, p) for p in problems]
        for i, (old, new) in enumerate(zip(before, after, strict=True)):
            expected = old + change if i == number else old
            torch.testing.assert_close(new, expected, rtol=1e-12, atol=1e-12)
        assert changed_parameters(model, problem) <= names


def test_replaced_last_layers_are_named():
    model = toy(energy_info())
    (problem,) = find_problems(FeatureEngine(model, ["energy"]))
    layers = model.backend.node_last_layers["energy"][0]
    layers[problem.key] = torch.nn.Sequential(layers[problem.key])
    with pytest.raises(ValueError, match="LoRA"):
        readout(model, problem)


def test_units_and_grid():
    model = toy(info_of(**{"mtt::high": generic(irreps((8, 1)), unit="e")}))
    engine = FeatureEngine(model, ["mtt::high"])
    problems = find_problems(engine)
    assert {p.part.unit for p in problems} == {"e"}
    assert grid_degree(problems, None) == 16
    with pytest.raises(ValueError, match="degree 16"):
        grid_degree(problems, 12)
    with pytest.raises(MemoryError, match=r"17\d unknowns for mtt::high \(8,\+\)"):
        check_memory(problems, engine.width, 2**20)
    energy = toy(energy_info())
    (problem,) = find_problems(FeatureEngine(energy, ["energy"]))
    assert problem.part.unit == "eV/atom"
    assert problem.part.irrep == Irrep(0)
    assert list(problem.scales) == TYPES
    (problem,) = find_problems(FeatureEngine(energy, ["energy"]), ["energy"])
    assert problem.part.unit == "eV"


def test_options(tmp_path):
    assert complete({})["max_rmse_increase"] == 0.01
    assert complete({"alpha": [0, math.inf]})["alpha"] == [0.0, math.inf]
    never = {"max_rmse_increase": math.inf}
    for wrong in ({"ridge": [math.inf]}, {"alpha": [math.nan]}, {"targets": 3}, never):
        with pytest.raises(ValueError, match="purify"):
            complete(wrong)
    (tmp_path / "o.yaml").write_text("- 1\n")
    with pytest.raises(ValueError, match="sections, not a list"):
        read_options(tmp_path / "o.yaml")


def test_figure(tmp_path):
    rows = []
    for state in ("best", "latest"):
        for target in ("energy", "mtt::a_$_b"):
            common = {"state": state, "target": target, "o3_lambda": 0, "o3_sigma": 1}
            common |= {"unit": "eV", "ridge": 0.0}
            rows.append(common | {"alpha": np.nan, "A": 1.0, "rmse": 2.0, "chosen": False})
            for alpha in (0.0, 1.0, 100.0, math.inf):
                A = 1.2 / (1 + alpha)
                rows.append(
                    common
                    | {"alpha": alpha, "A": A, "rmse": 2.3 - A / 3, "chosen": alpha == 1}
                )
    curve = pd.DataFrame(rows, columns=CURVE)
    summary = {
        "model": "m.ckpt",
        "grid_degree": 8,
        "structures": {"training": 3, "validation": 2},
        "settings": {"max_rmse_increase": 0.01},
    }
    figure = draw_tradeoff(curve, summary)
    assert len(figure.axes) == 4
    assert figure.axes[0].get_title(loc="left") == "energy (0,+)\nbest state"
    one = draw_tradeoff(curve.assign(state="best and latest"), summary)
    assert one.axes[0].get_title(loc="left") == "energy (0,+)\nbest and latest state"
    figure.savefig(tmp_path / "figure.png")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (_train_test_random_split, "train_dataset train_size test_size"),
        (model_from_checkpoint, "checkpoint context"),
        (import_architecture, "name"),
        (
            PETBackend._calculate_atomic_predictions,
            "self node_last_layer_features_dict edge_last_layer_features_dict padding_mask "
            "cutoff_factors requested_output_names",
        ),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_signature(function, expected):
    found = " ".join(inspect.signature(function).parameters)
    assert found == expected, f"{function.__qualname__} now takes: {found}"
