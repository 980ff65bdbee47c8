"""Tables that version 0.1 wrote can still be read."""

import pandas as pd
import pytest

from metatrain_symmetry.measure.earlier import with_columns
from metatrain_symmetry.measure.results import Report
from metatrain_symmetry.measure.series import COLUMNS, Series, rewrite
from metatrain_symmetry.measure.tables import EQUIVARIANCE


def test_blocks_are_read_from_names():
    table = pd.DataFrame(
        {
            "probe": ["a.layer", "energy/pbe (0,+)", "mtt::dos[center_type=6] (2,-)"],
            "kind": ["layer", "output", "output"],
            "channel": ["(0,+)", "(0,+)", "residual"],
        }
    )
    found = with_columns(table)
    assert found.target.fillna("").tolist() == ["", "energy/pbe", "mtt::dos"]
    assert found.detail.fillna("").tolist() == ["", "", "center_type=6"]
    assert found.o3_lambda.tolist()[1:] == [0, 2]
    assert found.o3_sigma.tolist()[1:] == [1, -1]
    assert with_columns(found) is found


@pytest.mark.parametrize("column", ["unit", "unit_per_atom"])
def test_what_is_per_atom_is_read_from_units(column):
    units = {"unit": ["eV/atom", "eV/A"]}
    if column == "unit_per_atom":
        units = {"unit": ["eV", "eV/A"], "unit_per_atom": ["eV/atom", "eV/A"]}
    table = pd.DataFrame({"target": ["energy", "force[k=1]"], "A": [1.0, 2.0], **units})
    found = with_columns(table)
    assert found.per_atom.tolist() == [True, False]
    assert found.target.tolist() == ["energy", "force"]
    assert found.detail.tolist() == ["", "k=1"]


def test_a_series_of_version_0_1_is_drawn_and_continued(tmp_path):
    new = ("detail", "sample_kind", "per_atom")
    columns = [c for c in COLUMNS["equivariance"] if c not in new]
    old = pd.DataFrame([dict.fromkeys(columns, 1.0)], columns=columns)
    old = old.assign(target="energy", unit="eV/atom", epoch=0, estimator="grid")
    old.to_csv(tmp_path / "equivariance.csv", index=False)
    cost = dict.fromkeys(COLUMNS["measurements"], 0)
    pd.DataFrame([cost]).to_csv(tmp_path / "measurements.csv", index=False)
    series = Series.load(tmp_path)
    assert series.equivariance.per_atom.tolist() == [True]
    rewrite(tmp_path, series)
    again = Series.load(tmp_path)
    assert again.equivariance[COLUMNS["equivariance"]].equals(series.equivariance)


def test_a_report_of_version_0_1_is_loaded(tmp_path):
    columns = [c for c in EQUIVARIANCE if c not in ("detail", "sample_kind", "per_atom")]
    row = dict.fromkeys(columns, 1.0) | {"target": "energy", "unit": "eV"}
    row["unit_per_atom"] = "eV/atom"
    pd.DataFrame([row]).to_csv(tmp_path / "equivariance.csv", index=False)
    character = {"probe": "energy (0,+)", "kind": "output", "channel": "(0,+)",
                 "chi_lambda": 0, "chi_sigma": 1, "share": 1.0}  # fmt: skip
    pd.DataFrame([character]).to_csv(tmp_path / "characters.csv", index=False)
    (tmp_path / "summary.json").write_text('{"diagnosis": []}')
    report = Report.load(tmp_path)
    assert report.equivariance.detail.tolist() == [""]
    assert report.characters.target.tolist() == ["energy"]
