"""The diagnosis: statuses by the numbers, words, and advice that fits the model."""

import math

import pandas as pd
import pytest

from metatrain_symmetry.measure.advice import ModelFacts
from metatrain_symmetry.measure.diagnosis import diagnose
from metatrain_symmetry.measure.labels import BLOCK
from metatrain_symmetry.measure.statuses import LABELS, STATUSES


FORCE = {"target": "non_conservative_force", "o3_lambda": 1, "o3_sigma": 1}
DENSITY = {"target": "mtt::density", "o3_lambda": 8, "o3_sigma": 1}
CHIRAL = {"target": "mtt::chirality", "o3_lambda": 0, "o3_sigma": -1}


def row(**changes):
    """One structure of an equivariance table: A is 10 % of everything."""
    values = {
        "structure": 0, **FORCE, "A": 0.1, "A_stderr": 0.001, "error": 1.0,
        "error_averaged": 1.0, "unit": "eV/A", "norm": 10.0, "target_norm": 10.0,
        "noise": 1e-6, "atoms": 4, "samples": 4, "forced_zero": 0, "detail": "",
        "sample_kind": "atom", **changes,
    }  # fmt: skip
    for name in ("A", "error", "error_averaged"):
        values.setdefault(f"{name}_per_atom", values[name])
    values.setdefault("unit_per_atom", values["unit"])
    values["per_atom"] = values["unit_per_atom"] != values["unit"]
    return values


def spectra(*probes):
    """Rows of characters: probe, kind, group and shares; exact unless they say more."""
    rows = []
    for probe, kind, group, shares in probes:
        block = {"target": "", "detail": "", "o3_lambda": None, "o3_sigma": None}
        if kind == "output":
            target, label = probe.split()
            sigma = 1 if label[-2] == "+" else -1
            block |= {"target": target, "o3_lambda": int(label[1]), "o3_sigma": sigma}
        for channel, share in shares.items():
            value, stderr = share if isinstance(share, tuple) else (share, 0.0)
            rows.append(
                {"probe": probe, "kind": kind, "group": group, "channel": channel,
                 "share": value, "stderr": stderr, **block}
            )  # fmt: skip
    columns = ["probe", "kind", "group", "channel", "share", "stderr", *BLOCK]
    return pd.DataFrame(rows, columns=columns)


CLEAN = spectra(
    ("non_conservative_force (1,+)", "output", "predictions",
     {"(0,+)": 0.01, "(1,+)": 0.98, "(2,+)": 0.01}),
)  # fmt: skip


def found(*rows, characters=CLEAN, facts=None):
    (finding,) = diagnose(pd.DataFrame(list(rows)), characters, facts)
    return finding


def status(*rows, **options):
    return found(*rows, **options)["status"]


def test_small_asymmetry_is_ok_and_says_so():
    finding = found(row())
    assert finding["status"] == "ok"
    # 0.1² / (0.1² + 1²), and 1 - sqrt(1 - that)
    assert "A is 0.1 ± 0.001 eV/A, 10 % of the RMSE of 1 eV/A" in finding["text"]
    assert "asymmetry makes up 0.99 % of the squared error" in finding["text"].lower()
    assert "lower the error by 0.5 %" in finding["text"]
    assert "Of the prediction, 98 % is (1,+)" in finding["text"]


@pytest.mark.parametrize("ratio", [0.59, 0.70])
def test_an_a_of_most_of_the_error_is_not_ok(ratio):
    large = row(A=ratio, error=1.0, error_averaged=math.sqrt(1 - ratio**2))
    finding = found(large, facts=ModelFacts("pet_ssh", l_max=4))
    assert finding["status"] == "asymmetric"
    assert f"{100 * ratio**2:.2g} % of the squared error" in finding["text"]
    assert "mtt purify MODEL.ckpt OPTIONS.yaml -r purify.method=full" in finding["text"]
    assert "mtt train" not in finding["text"]  # nobody has measured what that would bring
    assert "mtt symmetrize MODEL.ckpt -o averaged.pt" in finding["text"]


def test_an_untrained_model_is_not_ok():
    """Its prediction is 2 % of the target, and as clean as one could wish."""
    finding = found(row(A=0.01, norm=0.2, error=10.0, error_averaged=10.0))
    assert finding["status"] == "not learned"
    assert "the averaged prediction is 2 % of the target" in finding["text"]
    assert "purify" not in finding["text"]


def test_a_prediction_of_the_right_size_that_is_useless_is_not_learned():
    finding = found(row(error=9.5, error_averaged=9.5))
    assert finding["status"] == "not learned"
    assert "95 % of the size of the target" in finding["text"]


def test_a_relaxed_structure_does_not_make_a_model_unlearned():
    """Its forces are next to nothing, which no relative error says anything about."""
    small = {"norm": 0.3, "error": 0.3, "error_averaged": 0.28}
    finding = found(row(target_norm=0.1, **small))
    assert finding["status"] == "asymmetric"  # 0.1² of 0.1² + 0.28²
    assert "2.8 times as large as the target, which is small on" in finding["text"]
    # an untrained prediction that is far too large looks the same: OK is neither
    assert status(row(target_norm=0.1, norm=5.0, error=5.0, error_averaged=5.0)) == (
        "unknown"
    )
    finding = found(row(target_norm=1e-16, **small))
    assert finding["status"] == "asymmetric"
    assert "The target is zero on these structures" in finding["text"]


def test_numbers_that_are_not_known_decide_nothing():
    near = {"A": 0.3, "error_averaged": 0.95, "error": 1.0}  # 9 % of the squared error
    assert status(row(**near, A_stderr=0.003)) == "ok"
    assert status(row(**near, A_stderr=0.03)) == "ok"  # 9 ± 2 %: near enough
    finding = found(row(**near, A_stderr=0.09))
    assert finding["status"] == "unknown"
    assert "measure with more rotations or structures" in finding["text"]
    # far from the limit even that is known well enough
    assert status(row(A=0.03, A_stderr=0.01)) == "ok"


def test_a_missing_error_bar_is_not_zero():
    missing = float("nan")
    finding = found(row(A=0.3, error_averaged=0.95, A_stderr=missing))
    assert finding["status"] == "unknown"
    assert "0.3 (no error bar) eV/A" in finding["text"]
    assert status(row(A=0.1, A_stderr=missing)) == "ok"
    assert status(row(A=2.0, A_stderr=missing)) == "asymmetric"
    # known of one structure, but not of the other
    two = [row(A=0.3, error_averaged=0.95), row(structure=1, A=0.3, error_averaged=0.95)]
    assert status(*two) == "ok"
    two[1]["A_stderr"] = missing
    assert status(*two) == "unknown"


def test_without_the_averaged_error_the_given_one_has_to_do():
    missing = {"error_averaged": float("nan"), "target_norm": float("nan")}
    assert status(row(**missing)) == "ok"
    assert status(row(A=0.7, **missing)) == "asymmetric"
    assert status(row(A=0.35, **missing)) == "unknown"


def test_without_targets():
    missing = dict.fromkeys(("error", "error_averaged", "target_norm"), float("nan"))
    finding = found(row(**missing))
    assert finding["status"] == "unknown"
    assert "1 % of the size of the prediction" in finding["text"]
    assert "without targets" in finding["text"]
    assert status(row(A=5.0, **missing)) == "asymmetric"
    assert status(row(A=2e-6, **missing)) == "ok"  # rounding


def test_ratios_are_of_the_same_structures():
    """A structure without a target has a huge A, which says nothing about the error."""
    missing = dict.fromkeys(("error", "error_averaged", "target_norm"), float("nan"))
    finding = found(row(), row(structure=1, A=100.0, **missing))
    assert finding["status"] == "ok"
    assert (
        "10 % of the RMSE of 1 eV/A over the 1 of 2 structures with a target"
        in finding["text"]
    )


def test_energies_are_per_atom():
    energy = row(
        target="energy", o3_lambda=0, A=0.4, A_stderr=0.004, error=4.0, error_averaged=4.0,
        unit="eV", unit_per_atom="eV/atom", A_per_atom=0.1, error_per_atom=1.0,
        error_averaged_per_atom=1.0, samples=1,
    )  # fmt: skip
    text = found(energy)["text"]
    assert "A is 0.1 ± 0.001 eV/atom, 10 % of the RMSE of 1 eV/atom" in text


def test_the_parts_of_a_stress_are_named():
    stress = {"target": "non_conservative_stress", "unit": "eV/A^3"}
    assert "(0,+), trace/sqrt(3): A is" in found(row(**stress, o3_lambda=0))["text"]
    assert "(2,+), deviatoric part: A is" in found(row(**stress, o3_lambda=2))["text"]


def test_symmetry_forces_zero():
    finding = found(row(forced_zero=4, target_norm=0.0, norm=0.1, error=0.1))
    assert finding["status"] == "forced zero"
    assert "all of the prediction (0.1 eV/A) is asymmetry" in finding["text"]
    nothing = {"forced_zero": 4, "target_norm": 0.0, "norm": 0.0, "A": 0.0}
    assert "the prediction is zero up to rounding (0 eV/A)" in found(row(**nothing))["text"]
    finding = found(row(), row(structure=1, forced_zero=1))
    assert finding["status"] == "ok"
    assert "zero at 1 of 8 samples" in finding["text"]


LACKING = spectra(
    ("gnn_layers.0.edge_embedder", "layer", "GE",
     {"(0,+)": 0.4, "(1,+)": 0.6, "(8,+)": 1e-9}),
    ("mtt::density (8,+)", "output", "predictions", {"(0,+)": 1.0, "(8,+)": 1e-9}),
)  # fmt: skip


def test_a_network_that_lacks_the_irrep():
    finding = found(
        row(**DENSITY), characters=LACKING, facts=ModelFacts("pet_ssh", l_max=1)
    )
    assert finding["status"] == "cannot"
    assert "less than 0.01 % of the prediction" in finding["text"]
    assert "the geometry embedding holds only (0,+),(1,+)" in finding["text"]
    assert "ends at l_max = 1" in finding["text"]
    assert "geometry_embedding.l_max: 4" in finding["text"]
    assert "pet_ssh" not in finding["text"]
    plain = found(row(**DENSITY), characters=LACKING, facts=ModelFacts("pet", l_max=1))
    assert "architecture.name: pet_ssh and geometry_embedding.l_max: 4" in plain["text"]


def test_what_the_model_has_is_not_advised():
    facts = ModelFacts("pet_ssh", l_max=4)
    text = found(row(**DENSITY), characters=LACKING, facts=facts)["text"]
    assert "up to l_max = 4 already" in text
    assert "l_max: " not in text
    assert "Train longer" in text


def test_an_irrep_of_unknown_share_is_not_called_lacking():
    """Without an error bar, or with a large one, there may be some."""
    for share in ((1e-9, float("nan")), (1e-9, 1e-2)):
        table = LACKING.copy()
        layer = (table.kind == "layer") & (table.channel == "(8,+)")
        table.loc[layer, ["share", "stderr"]] = share
        assert status(row(**DENSITY), characters=table) == "not learned"


def test_pseudotensors_get_other_advice():
    table = spectra(
        ("n", "layer", "GNN", {"(0,+)": 0.9, "(0,-)": 0.1}),
        ("mtt::chirality (0,-)", "output", "predictions", {"(0,+)": 1.0, "(0,-)": 1e-8}),
    )
    facts = ModelFacts("pet", l_max=1)
    finding = found(row(**CHIRAL, samples=1), characters=table, facts=facts)
    assert finding["status"] == "not learned"
    assert "form in the transformer" in finding["text"]
    assert "among the layers, (0,-) first appears in n [GNN] (10 %)" in finding["text"]
    assert "l_max" not in finding["text"]


def test_advice_for_models_that_are_exported_or_not_ours():
    large = row(A=0.9, error_averaged=0.5)
    exported = found(large, facts=ModelFacts("AtomisticModel", checkpoint=False))["text"]
    assert "purify" not in exported
    assert "mtt symmetrize MODEL.ckpt -o averaged.pt" in exported
    other = found(large, facts=ModelFacts("SoapBpnn"))["text"]
    assert "purify" not in other
    assert "mtt symmetrize" in other
    wrapped = ModelFacts("EMT", checkpoint=False, calculator=True)
    assert (
        "(Python: metatrain_symmetry.SymmetrizedCalculator)"
        in found(large, facts=wrapped)["text"]
    )
    gradient = found(row(target="conservative_force", A=0.9), facts=ModelFacts("pet"))
    assert "purify.method=full" in gradient["text"]


def test_spectra_that_stop_too_early_are_said_to():
    table = spectra(("mtt::density (8,+)", "output", "predictions", {"(0,+)": 0.1}))
    finding = found(row(**DENSITY), characters=table)
    assert finding["status"] == "ok"
    assert "--lambda-max 8 or more" in finding["text"]


def test_shares_are_given_with_their_error():
    table = spectra(
        ("non_conservative_force (1,+)", "output", "predictions",
         {"(1,+)": (0.9, 0.05), "(2,+)": (0.2, 0.12), "(0,+)": (0.02, 0.004)}),
    )  # fmt: skip
    text = found(row(), characters=table)["text"]
    assert "Of the prediction, 90 ± 5 % is (1,+)" in text
    assert "the largest other part is (0,+) (2 ± 0.4 %)" in text


def test_a_share_within_its_error_is_given_as_a_bound():
    table = LACKING.copy()
    table.loc[table.kind == "output", "stderr"] = 1e-4
    text = found(row(**DENSITY), characters=table)["text"]
    assert "(8,+) makes up less than 0.02 % of the prediction" in text
    assert "less than less" not in text


def test_a_prediction_without_a_spectrum_is_not_said_to_need_a_larger_lambda():
    others = spectra(("energy (0,+)", "output", "predictions", {"(0,+)": 1.0}))
    assert "--lambda-max" not in found(row(), characters=others)["text"]


def test_one_table_of_statuses():
    assert list(LABELS) == [s.name for s in STATUSES]
    assert {s.tone for s in STATUSES} == {"good", "bad", "neutral"}
    assert all(s.meaning.endswith(".") and s.rule for s in STATUSES)
