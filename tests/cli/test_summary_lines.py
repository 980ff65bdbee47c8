"""What ``mtt symmetry`` prints."""

import math

import pandas as pd
import pytest

from metatrain_symmetry.measure.averages import averages
from metatrain_symmetry.measure.results import Report
from metatrain_symmetry.measure.tables import CHARACTERS
from metatrain_symmetry.report.summary_lines import lines, notes, table


def equivariance(**changes):
    """An energy and both parts of a stress on two structures of four atoms."""
    blocks = [
        ("energy", 0, "eV", "eV/atom", 0.4, 4),
        ("non_conservative_stress", 0, "eV/A^3", "eV/A^3", 0.01, 1),
        ("non_conservative_stress", 2, "eV/A^3", "eV/A^3", 0.02, 1),
    ]
    rows = [
        {
            "structure": i, "target": target, "detail": "", "o3_lambda": degree,
            "o3_sigma": 1, "sample_kind": "system", "per_atom": unit != per_atom,
            "A": A, "A_stderr": A / 50, "error": 2 * A, "error_averaged": 3 * A,
            "unit": unit, "A_per_atom": A / n, "error_per_atom": 2 * A / n,
            "error_averaged_per_atom": 3 * A / n, "unit_per_atom": per_atom,
            "norm": 10 * A, "target_norm": 10 * A, "noise": 1e-9, "atoms": 4,
            "samples": 1, "forced_zero": 0, **changes,
        }
        for target, degree, unit, per_atom, A, n in blocks
        for i in range(2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


DIAGNOSIS = [
    {"target": "energy", "detail": "", "irrep": "(0,+)", "status": "ok",
     "text": "energy (0,+): fine."},
    {"target": "non_conservative_stress", "detail": "", "irrep": "(2,+)",
     "status": "forced zero", "text": "non_conservative_stress (2,+): zero."},
]  # fmt: skip
SUMMARY = {
    "model": "model.ckpt", "architecture": "pet", "n_structures": 2,
    "state_text": "latest state (after 7 epochs)", "convergence_text": "converged: yes",
}  # fmt: skip


@pytest.fixture
def report():
    characters = pd.DataFrame(columns=CHARACTERS)
    return Report(equivariance(), pd.DataFrame(), characters, SUMMARY, DIAGNOSIS)


def test_everything_is_said_once_and_in_order(report):
    found = lines(report)
    assert found[0] == "model.ckpt, pet, latest state (after 7 epochs), 2 structures"
    assert found[-1] == "converged: yes"
    assert found.count("OK: energy (0,+): fine.") == 1
    assert "forced to zero: non_conservative_stress (2,+): zero." in found
    assert not any("?" in line for line in found)


def test_the_table_is_aligned_and_per_atom(report):
    head, *rows = table(averages(report.equivariance), DIAGNOSIS)
    assert [row.index("(") for row in rows[:1]] == [head.index("irrep")]
    assert rows[0].startswith("energy, per atom")
    assert rows[1].startswith("non_conservative_stress, trace/sqrt(3)")
    assert rows[2].startswith("non_conservative_stress, deviatoric part")
    # 0.4 eV of 4 atoms; A² / (A² + 9 A²) = 10 %
    assert rows[0].split("(0,+)")[1].split() == [
        "0.1", "±", "0.001", "eV/atom", "0.50", "10", "%", "OK",
    ]  # fmt: skip
    assert "0.02 ± 0.0003  eV/A^3" in rows[2]
    assert rows[2].endswith("forced to zero")
    ends = {row.index("%") for row in rows}
    assert len(ends) == 1


def test_what_is_missing_is_shown_as_missing():
    missing = equivariance(
        A_stderr=math.nan, error=math.nan, error_per_atom=math.nan,
        error_averaged=math.nan, error_averaged_per_atom=math.nan, target_norm=math.nan,
    )  # fmt: skip
    entries = averages(missing)
    _, first, *_ = table(entries, [])
    assert first.split("(0,+)")[1].split() == ["0.1", "±", "?", "eV/atom", "-", "-"]
    assert notes(entries) == [
        "'?': no error bar is known, which does not mean that it is zero."
    ]


def test_without_outputs_there_is_no_table(report):
    report.equivariance = report.equivariance[:0]
    report.diagnosis = []
    assert lines(report) == [lines(report)[0], "converged: yes"]


def test_advice_is_given_once(report):
    advice = "Train longer."
    report.diagnosis = [
        {
            **DIAGNOSIS[0],
            "irrep": f"({i},+)",
            "text": f"found {i}. {advice}",
            "advice": advice,
        }
        for i in range(2)
    ]
    found = lines(report)
    assert "OK: found 1." in found
    assert "what to do for energy (0,+), energy (1,+): Train longer." in found
    assert sum("Train longer" in line for line in found) == 1
