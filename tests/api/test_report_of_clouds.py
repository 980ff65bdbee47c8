"""Reports of point clouds: tables, words, page; models of a public package."""

import re

import pytest
import torch
from clouds_common import PointNet, cloud

from metatrain_symmetry import (
    FunctionEngine,
    Output,
    PointCloudEngine,
    Report,
    octahedral_group,
    open_engine,
    symmetry_report,
)
from metatrain_symmetry.api import symmetry_report as module
from metatrain_symmetry.report.summary_lines import lines


QUICK = {"degree": 4, "lambda_max": 2, "circles": 2, "progress": False}
CLOUDS = [cloud(6, seed=1), cloud(9, seed=2)]


class Noisy(PointNet):
    """Drops points at random, also in eval mode."""

    def forward(self, points):
        keep = torch.randperm(points.shape[2])[:5]
        return super().forward(points[:, :, keep.sort().values])["class"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clouds") / "report"
    outputs = {"class logits": Output(kind="cloud", softmax=True)}
    symmetry_report(Noisy(), CLOUDS, folder, outputs=outputs, call="channels first",
                    **QUICK)  # fmt: skip
    return folder


def test_tables_are_those_of_other_models(folder):
    report = Report.load(folder)
    table = report.equivariance
    assert table.structure.tolist() == [0, 0, 1, 1]
    assert set(table.sample_kind) == {"cloud"}
    assert (table.A > 0).all()
    assert (table["sampling"] > 0).all()
    assert set(report.characters.group) == {
        "local", "mix", "classify", "segment", "predictions",
    }  # fmt: skip


def test_words_are_those_of_clouds(folder):
    report = Report.load(folder)
    said = "\n".join(lines(report))
    assert "2 clouds" in said
    assert "same random numbers in all orientations" in said
    page = (folder / "index.html").read_text()
    text = re.sub(
        r"<script.*?</script>|<style.*?</style>|src=\"[^\"]*\"", "", page, flags=re.S
    )
    text = re.sub(r"<[^>]*>", " ", text)
    for where in (said, text):
        assert not re.search(r"\b(eV|atoms?|mtt|--\w+)\b", where)
        assert not re.search(r"\bstructures?\b(?!: )", where.replace("max_structures", ""))
    assert "each point is one cloud" in text
    assert not (folder / "figures" / "network.svg").exists()


def test_points_have_a_table(tmp_path):
    report = symmetry_report(
        torch.nn.Linear(3, 2), CLOUDS, tmp_path / "out", probes=[], **QUICK
    )
    assert len(report.atoms) == 6 + 9
    assert list(report.atoms.columns[:3]) == ["structure", "point", "target"]
    assert len(Report.load(tmp_path / "out").atoms) == 15
    assert "sampling" not in report.equivariance


def test_another_group_and_a_part_of_the_clouds():
    report = symmetry_report(
        torch.nn.Linear(3, 1), CLOUDS, group=octahedral_group(), probes=[],
        max_structures=1, progress=False,
    )  # fmt: skip
    assert len(report.equivariance) == 1
    found = report.characters[report.characters.share > 1e-9]
    assert set(found.channel) == {"A1g", "T1u"}


def test_the_engine_is_chosen_and_the_dtype_is_that_asked_for():
    module = PointNet().float()
    engine = open_engine(module, probes=None, dtype=torch.float64)
    assert isinstance(engine, PointCloudEngine)
    engine.prepare(CLOUDS[0])
    assert engine.probes == ["local", "mix", "classify", "segment"]
    assert engine.dtype == torch.float64
    assert module.mix.weight.dtype == torch.float32
    assert not isinstance(FunctionEngine({}), PointCloudEngine)


def test_a_pointnet_of_a_public_package():
    models = pytest.importorskip("torch_pointcloud.models")
    module = models.PointNetSegmentation(
        0, 4, mlp1_channels=(8,), mlp2_channels=(8, 16), tnet_mlp1_dims=(8, 16),
        tnet_mlp2_dims=(8,), seg_head_dims=(8,),
    )  # fmt: skip
    report = symmetry_report(module, CLOUDS, **QUICK)
    assert set(report.equivariance.sample_kind) == {"point"}
    assert (report.equivariance.A > report.equivariance.noise).all()
    layers = report.characters[report.characters.kind == "layer"]
    assert {"encoder", "head"} <= set(layers.probe)


def test_what_is_kept_does_not_depend_on_the_number_of_a_gpu(monkeypatch):
    seen = []

    def watched(*arguments):
        seen.append(arguments[-1])
        raise InterruptedError

    monkeypatch.setattr(module, "pieces_of", watched)
    for device in ("cpu", "cpu:0", "cpu:1"):
        with pytest.raises(InterruptedError):
            symmetry_report(PointNet(), CLOUDS, call="channels first", device=device)
    assert seen[0] == seen[1] == seen[2]
