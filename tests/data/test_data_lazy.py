"""Data sets of any format say the same, and are read structure by structure."""

import zipfile

import ase.io
import common
import metatensor.torch as mts
import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from metatensor.learn.data import group_and_join
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import systems_to_torch
from metatrain.utils.data.dataset import DiskDataset
from metatrain.utils.data.writers import DiskDatasetWriter, MemmapWriter
from metatrain.utils.omegaconf import expand_dataset_config

from metatrain_symmetry import symmetry_report
from metatrain_symmetry.data import datasets, frame_sets, read, read_structures
from metatrain_symmetry.data.archive import Archive
from metatrain_symmetry.data.frames import Frames
from metatrain_symmetry.data.opened import open_archive, open_data
from metatrain_symmetry.data.splits import Sections, read_sets
from metatrain_symmetry.models import open_engine
from metatrain_symmetry.training.held_out import find_structures


COUNT = 12
OPTIONS = "systems: {read_from: %s}\ntargets:\n  energy: {read_from: %s, unit: eV%s}\n"


@pytest.fixture(scope="module")
def model():
    return common.pet_ssh(common.energy_info(gradients=True))


def structures():
    """Molecules of different sizes with labels that float32 holds."""
    found = []
    for i in range(COUNT):
        random = np.random.default_rng(i)
        atoms = common.molecule()[: 2 + i % 3]
        atoms.rattle(0.05, rng=random)
        atoms.positions = atoms.positions.astype(np.float32)
        forces = random.normal(size=(len(atoms), 3)).astype(np.float32)
        atoms.calc = SinglePointCalculator(atoms, energy=-0.25 * i, forces=forces)
        found.append(atoms)
    return found


def energy_of(atoms, index):
    """Energy and its gradient, as metatrain keeps them."""
    one = Labels(["system"], torch.tensor([[index]]))
    block = TensorBlock(
        torch.tensor([[atoms.get_potential_energy()]], dtype=torch.float64),
        one, [], Labels(["energy"], torch.tensor([[0]])),
    )  # fmt: skip
    rows = torch.tensor([[0, a] for a in range(len(atoms))])
    gradient = TensorBlock(
        -torch.from_numpy(atoms.get_forces().astype(float))[..., None],
        Labels(["sample", "atom"], rows),
        [Labels(["xyz"], torch.arange(3).reshape(-1, 1))],
        block.properties,
    )
    block.add_gradient("positions", gradient)
    return TensorMap(Labels(["_"], torch.tensor([[0]])), [block])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same structures in every format, with an options file for each."""
    folder = tmp_path_factory.mktemp("formats")
    known = structures()
    ase.io.write(folder / "set.xyz", known)
    for writer in (DiskDatasetWriter(folder / "set.zip"), MemmapWriter(folder / "set")):
        for atoms in known:
            system = systems_to_torch(atoms, dtype=torch.float64)
            writer.write([system], {"energy": energy_of(atoms, 0)})
        writer.finish()
    for name, more in (
        ("set.xyz", ""),
        ("set.zip", ""),
        ("set", ", forces: {key: energy_forces}, stress: false"),
    ):
        path = folder / name
        (folder / f"{name}.yaml").write_text(OPTIONS % (path, path, more))
    return folder


def labels(given, engine):
    return [[v for _, v in sorted(one.targets(engine.blocks).items(), key=str)]
            for one in given]  # fmt: skip


@pytest.mark.parametrize("name", ["set.xyz", "set.zip", "set"])
@pytest.mark.parametrize("large", [0, 2**40])
def test_all_formats_say_the_same(model, files, monkeypatch, name, large):
    monkeypatch.setattr(frame_sets, "LARGE", large)
    engine = open_engine(model)
    expected = read_structures(files / "set.xyz", engine)
    found = read_structures(files / f"{name}.yaml", engine)
    assert len(found) == COUNT
    for index in (0, 5, COUNT - 1, 5):
        one, other = found[index], expected[index]
        assert found.size(index) == len(one.system) == len(other.system)
        torch.testing.assert_close(one.system.positions, other.system.positions)
        assert one.system.types.tolist() == other.system.types.tolist()
        assert one.name == f"structure {index}"
    for mine, theirs in zip(labels(found, engine), labels(expected, engine), strict=True):
        assert len(mine) == len(theirs) == 2
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_a_batch_of_a_large_file_is_that_of_a_small_one(files, monkeypatch):
    """metatrain puts batches together by labels, which say which structure it is."""
    batches = []
    section = {"systems": {"read_from": str(files / "set.xyz")},
               "targets": {"energy": {"read_from": str(files / "set.xyz")}}}  # fmt: skip
    for large in (2**40, 0):
        monkeypatch.setattr(frame_sets, "LARGE", large)
        (part,) = expand_dataset_config(_omega(section))
        data, _ = open_data(part)
        batch = group_and_join([data[i] for i in (7, 2, 5)])
        batches.append(batch._asdict()["energy"])
    whole, single = batches
    assert single.block().samples.column("system").tolist() == [7, 2, 5]
    mts.allclose_raise(single, whole)


def test_a_few_of_many_are_read_and_no_others(model, files, monkeypatch):
    seen = []
    text = Frames.text
    monkeypatch.setattr(Frames, "text", lambda self, i: seen.append(i) or text(self, i))
    monkeypatch.setattr(frame_sets, "LARGE", 0)
    options = {"lambda_max": 1, "degree": 2, "probes": (), "progress": False}
    for source in (files / "set.xyz", files / "set.xyz.yaml"):
        seen.clear()
        report = symmetry_report(model, source, max_structures=2, **options)
        chosen = np.sort(np.random.default_rng(0).choice(COUNT, 2, replace=False))
        # what a target is, is known from the first one
        first = {0} if source.suffix == ".yaml" else set()
        assert set(seen) == {*chosen.tolist()} | first
        assert (
            report.equivariance.atoms.unique().tolist()
            == [len(structures()[i]) for i in chosen]
            or len(set(report.equivariance.atoms)) == 1
        )
        assert np.isfinite(report.equivariance.error).all()
    # the monitor's choice as well
    seen.clear()
    known = {"structures": str(files / "set.xyz"), "n_structures": 3, "seed": 1}
    found = find_structures(known, open_engine(model), [], files)
    assert [one.name for one in found] == [f"structure {i}" for i in seen]
    assert len(set(seen)) == 3


def test_zip_and_folder_without_options(model, files):
    engine = open_engine(model)
    expected = labels(read_structures(files / "set.xyz", engine), engine)
    found = labels(read_structures(files / "set.zip", engine), engine)
    assert all(
        torch.allclose(a, b)
        for mine, theirs in zip(found, expected, strict=True)
        for a, b in zip(mine, theirs, strict=True)
    )
    # a folder does not say what its arrays are
    assert labels(read_structures(files / "set", engine), engine) == [[]] * COUNT


def test_purify_reads_all_formats_and_the_same_split(files):
    sets = []
    for name in ("set.xyz", "set.zip", "set"):
        more = (
            {"forces": {"key": "energy_forces"}, "stress": False} if name == "set" else {}
        )
        path = str(files / name)
        energy = {"read_from": path, "unit": "eV", **more}
        section = {"systems": {"read_from": path}, "targets": {"energy": energy}}
        sets.append(read_sets(Sections(_omega(section), 0.25, 0.25, seed=3)))
    assert [len(one) for one in sets[0]] == [6, 3]
    for other in sets[1:]:
        for mine, theirs in zip(sets[0], other, strict=True):
            assert mine.chosen.tolist() == theirs.chosen.tolist()
            for i in range(len(mine)):
                a, b = mine.read(i).system, theirs.read(i).system
                torch.testing.assert_close(a.positions, b.positions)


def _omega(content):
    from omegaconf import OmegaConf

    return OmegaConf.create(content)


def test_our_index_of_a_zip_is_that_of_metatrain(files, tmp_path):
    theirs, ours = (
        DiskDataset(files / "set.zip"),
        Archive(files / "set.zip", {"energy": {}}),
    )
    assert len(ours) == len(theirs) == COUNT
    assert ours.get_all_atom_counts().tolist() == theirs.get_all_atom_counts().tolist()
    for index in (0, 11):
        for name, part in ours[index]._asdict().items():
            other = theirs[index][name]
            if name == "system":
                assert torch.equal(part.positions, other.positions)
            else:
                assert torch.equal(part.block().values, other.block().values)
    with pytest.raises(IndexError):
        ours[COUNT]
    # large files keep sizes and offsets elsewhere
    large = tmp_path / "large.zip"
    with zipfile.ZipFile(files / "set.zip") as old, zipfile.ZipFile(large, "w") as new:
        for info in old.infolist():
            with new.open(info.filename, "w", force_zip64=True) as member:
                member.write(old.read(info))
    found = Archive(large, {"energy": {}})
    assert torch.equal(found[3]["system"].positions, theirs[3]["system"].positions)


def test_what_is_unusual_in_a_zip_is_left_to_metatrain(files, tmp_path):
    packed, gap = tmp_path / "packed.zip", tmp_path / "gap.zip"
    with zipfile.ZipFile(files / "set.zip") as old:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
            for info in old.infolist():
                new.writestr(info.filename, old.read(info))
        with zipfile.ZipFile(gap, "w") as new:
            for info in old.infolist():
                if not info.filename.startswith("4/"):
                    new.writestr(info.filename, old.read(info))
    for path, why in ((packed, "compressed"), (gap, "dense range")):
        with pytest.raises(ValueError, match=why):
            open_archive(path, {"energy": {}})
    broken = bytearray((files / "set.zip").read_bytes())
    place = broken.index(b"0/energy.mts") + 400
    broken[place] ^= 1
    (tmp_path / "broken.zip").write_bytes(broken)
    with pytest.raises(ValueError, match="damaged"):
        open_archive(tmp_path / "broken.zip", {"energy": {}})[0]


def test_frames_are_those_of_ase(files, tmp_path):
    mixed = tmp_path / "mixed.xyz"
    crystal = common.crystal()
    ase.io.write(mixed, [*structures()[:2], crystal], format="extxyz")
    text = mixed.read_text() + "1\nplain\nH 0 0 0\nVEC1 5 0 0\nVEC2 0 5 0\nVEC3 0 0 5\n"
    mixed.write_text(text + "2\n\nH 0 0 0\nH 0 0 0.7\n")
    frames, expected = Frames(mixed), ase.io.read(mixed, ":")
    assert frames.sizes.tolist() == [len(atoms) for atoms in expected]
    for mine, theirs in zip(frames, expected, strict=True):
        assert mine == theirs
        assert str(mine.info) == str(theirs.info)
    assert [frames[-1], *frames[1:3]] == [expected[-1], *expected[1:3]]
    mixed.write_text(text + "3\n\nH 0 0 0\n")
    with pytest.raises(ValueError, match="ends within"):
        Frames(mixed)


def test_a_bad_structure_of_many_is_named_when_it_is_read(model, files, monkeypatch):
    monkeypatch.setattr(read, "CHECKED", 3)
    monkeypatch.setattr(frame_sets, "LARGE", 0)
    bad = files / "bad.xyz"
    known = structures()
    known[7].symbols[0] = "U"
    ase.io.write(bad, known)
    engine = open_engine(model)
    (files / "bad.yaml").write_text(OPTIONS % (bad, bad, ""))
    for source in (bad, files / "bad.yaml"):
        found = read_structures(source, engine)
        assert len(found[6].system) == len(known[6])
        with pytest.raises(ValueError, match="structure 7 has the element U"):
            found[7]
        monkeypatch.setattr(read, "CHECKED", COUNT)
        with pytest.raises(ValueError, match="structure 7 has the element U"):
            read_structures(source, engine)
        monkeypatch.setattr(read, "CHECKED", 3)


def test_targets_that_come_and_go_are_refused(files, monkeypatch, tmp_path):
    monkeypatch.setattr(frame_sets, "LARGE", 0)
    known = structures()
    known[4].calc = SinglePointCalculator(known[4], energy=1.0)
    ase.io.write(tmp_path / "some.xyz", known)
    path = str(tmp_path / "some.xyz")
    (part,) = expand_dataset_config(
        _omega({"systems": {"read_from": path}, "targets": {"energy": {"read_from": path}}})
    )
    data, infos = open_data(part)
    assert infos["energy"].gradients == ["positions"]
    with pytest.raises(ValueError, match=r"structure 4 of .*some\.xyz"):
        data[4]


def test_what_is_no_data_set_is_said_in_a_sentence(model, tmp_path):
    engine = open_engine(model)
    wrong, folder = tmp_path / "wrong.zip", tmp_path / "folder"
    wrong.write_text("this is no archive")
    folder.mkdir()
    np.save(folder / "ns.npy", 3)
    for path in (wrong, folder):
        with pytest.raises(ValueError, match=r"cannot be read as a data set of metatrain"):
            read_structures(path, engine)
    with pytest.raises(ValueError, match="does not exist"):
        read_structures(tmp_path / "none.zip", engine)
    with pytest.raises(ValueError, match="is a folder"):
        read_structures(tmp_path, engine)


def test_a_file_that_changes_while_it_is_read(tmp_path):
    path = tmp_path / "growing.xyz"
    ase.io.write(path, structures())
    frames = Frames(path)
    assert len(frames[3]) == len(structures()[3])
    ase.io.write(path, structures(), append=True)
    with pytest.raises(ValueError, match="has changed while it was being read"):
        frames[3]


@pytest.mark.parametrize(("end", "said"), [("\n \n\n", False), ("\n2\n", True)])
def test_what_follows_a_blank_line_is_not_lost_in_silence(tmp_path, caplog, end, said):
    path = tmp_path / "blank.xyz"
    ase.io.write(path, structures()[:2])
    path.write_text(path.read_text() + end)
    assert len(Frames(path)) == len(ase.io.read(path, ":")) == 2
    assert ("a blank line after 2 structures" in caplog.text) == said


def test_metatrain_speaks_once_of_a_large_file(model, files, monkeypatch, caplog):
    monkeypatch.setattr(frame_sets, "LARGE", 0)
    with caplog.at_level("INFO"):
        found = read_structures(files / "set.xyz.yaml", open_engine(model))
        assert len(found[0].system) == len(found[0].system)
    assert caplog.text.count("Forces found in section 'energy'") == 1


def test_looking_for_a_mistake_stops_at_the_first_one(tmp_path, monkeypatch):
    known, seen = structures(), []
    ase.io.write(tmp_path / "some.xyz", known)
    monkeypatch.setattr(
        ase.io, "iread", lambda *_: (seen.append(i) or known[i] for i in range(COUNT))
    )
    monkeypatch.setattr(ase.io, "read", None)
    target = {"key": "nrg", "sample_kind": "system"}
    fault = datasets._fault_of_ase(tmp_path / "some.xyz", target)
    assert "structure 0 of" in fault
    assert "has no entry 'nrg'" in fault
    assert seen == [0]


def test_a_zip_file_that_was_cut_while_it_is_read(files, tmp_path):
    cut = tmp_path / "cut.zip"
    cut.write_bytes((files / "set.zip").read_bytes())
    found = open_archive(cut, {"energy": {}})
    cut.write_bytes(b"")
    with pytest.raises(ValueError, match="is damaged: copy or write it anew"):
        found[0]
