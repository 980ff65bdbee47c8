"""Bad input is answered in one sentence that says what is wrong and what to do.

Nothing is written, nothing runs on. The rows stand in ``table.py``, ``table_clouds.py``,
``table_training.py`` and ``table_symmetrise.py``.
"""

import copy
import os
import re
import shutil
import sys
from pathlib import Path

import harness
import pytest
import table
import table_clouds
import table_symmetrise
import table_training
import torch
from omegaconf import OmegaConf

from metatrain_symmetry import Output, PointCloud, symmetry_report
from metatrain_symmetry.api.purify_checkpoint import purify_checkpoint
from metatrain_symmetry.api.run_page import draw_run
from metatrain_symmetry.measure.series import COLUMNS
from metatrain_symmetry.pet_ssh import upgrade_pet_checkpoint
from metatrain_symmetry.training.options import complete as complete_symmetry


ADVICE = re.compile(
    r"\b(give|write|correct|names?|leave|copy|choose|make|takes?|did you mean|there are"
    r"|it has|set|lower|raise|should|must|needs?|train|wait|rename|check|only|compare"
    r"|ask|reads?)\b"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with everything that is right, and some things that are not."""
    folder = tmp_path_factory.mktemp("world")
    harness.write_world(folder)
    harness.write_symmetrise(folder)
    write_run(folder / "run")
    before, compiled = Path.cwd(), sys.dont_write_bytecode
    os.chdir(folder)
    sys.dont_write_bytecode = True  # a module of the folder is imported
    yield folder
    os.chdir(before)
    sys.dont_write_bytecode = compiled
    sys.modules.pop("written", None)


def write_run(folder):
    """A run that was watched, as far as its tables go."""
    folder.mkdir()
    for name, columns in COLUMNS.items():
        row = ",".join("1" for _ in columns)
        (folder / f"{name}.csv").write_text(",".join(columns) + f"\n{row}\n")
    (folder / "summary.json").write_text("{}")


def listing(folder):
    return {p: p.stat().st_mtime_ns if p.is_file() else 0 for p in folder.rglob("*")}


def answer(world, words, function, *arguments, **keywords):
    """Check what is said, and that nothing is written."""
    before = listing(world)
    with pytest.raises((ValueError, MemoryError)) as error:
        function(*arguments, **keywords)
    text = str(error.value)
    check(text, words)
    assert listing(world) == before
    return text


def check(text, words):
    assert len(text.splitlines()) == 1, text
    assert re.search(words, text), text
    assert not harness.RAW.search(text), text
    assert ADVICE.search(text), text
    assert len(text) < 600, text


def rows(*tables):
    """Rows as parameters, named by what is wrong."""
    found = [row for one in tables for row in one]
    names = [" ".join(str(row[:-1])[1:-2].split())[:60] for row in found]
    return pytest.mark.parametrize("row", found, ids=names)


@rows(table.MODEL, table.ARGUMENTS, table.OUTPUT, table.STRUCTURES)
def test_symmetry_report(world, row):
    changes, words = row
    arguments = {"model": "model.ckpt", "structures": "x.xyz", "output": "out"}
    keywords = arguments | harness.QUICK | changes
    answer(world, words, symmetry_report, **keywords)


@rows(table_clouds.CLOUDS, table_clouds.MODULES, table_clouds.ARGUMENTS)
def test_symmetry_report_of_clouds(world, row):
    changes, words = row
    given = {"model": table_clouds.Fixed(), "structures": table_clouds.points(6, 3)}
    quick = harness.QUICK | {"output": "out"}
    if "group" in changes:
        del quick["degree"], quick["lambda_max"]
    answer(world, words, symmetry_report, **given | quick | changes)


@rows(table_clouds.OF_ATOMS)
def test_arguments_of_clouds_beside_a_model_of_atoms(world, row):
    changes, words = row
    answer(world, words, symmetry_report, "model.ckpt", "x.xyz", **changes)


@rows(table_clouds.OUTPUTS)
def test_outputs(world, row):
    answer(world, row[1], Output, **row[0])


@rows(table_clouds.PARTS)
def test_point_clouds(world, row):
    answer(world, row[1], PointCloud, **row[0])


def test_names_of_arguments_are_those_of_python():
    with pytest.raises(TypeError, match="lamda_max"):
        symmetry_report("model.ckpt", "x.xyz", lamda_max=4)


@rows(table.EVAL)
def test_options_file_of_symmetry(world, row, tmp_path):
    path, value, words = row
    options = harness.edited(harness.eval_options(), path, value)
    OmegaConf.save(OmegaConf.create(options), tmp_path / "o.yaml")
    arguments = ["model.ckpt", tmp_path / "o.yaml", "out"]
    answer(world, words, symmetry_report, *arguments, **harness.QUICK)


@rows(table.COMMAND, table_training.COMMAND, table_symmetrise.COMMAND)
def test_commands(world, row):
    arguments, words = row
    before = listing(world)
    code, text = harness.mtt(*arguments)
    assert code in (1, 2), text
    if code == 1:
        check(text, words)
    else:  # of argparse, below the usage
        assert re.search(words, text), text
    assert listing(world) == before


@rows(table.RUN)
def test_folder_of_a_run(world, row, tmp_path):
    name, content, words = row
    run = tmp_path / "run"
    shutil.copytree(world / "run", run)
    path = run / name
    header = path.read_text().splitlines()[0]
    columns = header.count(",") + 1
    special = {"header": header + "\n", "words": header + "\n" + ",".join("a" * columns)}
    if content is None:
        path.unlink()
    elif isinstance(content, str):
        path.write_text(special[content] + "\n")
    else:
        path.write_bytes(content)
    answer(tmp_path, words, draw_run, run)


@rows(table_training.PURIFY)
def test_options_of_purify(world, row):
    path, value, words = row
    options = harness.edited(harness.training_options(), path, value)
    keywords = {"output": "new.ckpt", "progress": False}
    answer(world, words, purify_checkpoint, "model.ckpt", options, **keywords)


@rows(table_training.TEXTS)
def test_files_that_are_no_options(world, row, tmp_path):
    text, words = row
    (tmp_path / "o.yaml").write_text(text)
    call = [purify_checkpoint, "model.ckpt", tmp_path / "o.yaml", "new.ckpt"]
    answer(world, words, *call, progress=False)


@rows(table_training.ARGUMENTS)
def test_purify_checkpoint(world, row):
    changes, words = row
    keywords = {
        "model": "model.ckpt",
        "options": harness.training_options(),
        "output": "new.ckpt",
        "progress": False,
    }
    answer(world, words, purify_checkpoint, **keywords | changes)


@rows(table_training.EMBEDDING)
def test_geometry_embedding(world, row):
    embedding, words = row
    checkpoint = torch.load("plain.ckpt", weights_only=False)
    answer(world, words, upgrade_pet_checkpoint, checkpoint, embedding)


@rows(table_training.CHECKPOINT)
def test_checkpoints_with_a_part_missing(world, row):
    path, words = row
    checkpoint = torch.load("plain.ckpt", weights_only=False)
    *parents, last = path.split("/")
    place = checkpoint
    for key in parents:
        place = place[key]
    del place[last]
    answer(world, words, upgrade_pet_checkpoint, copy.copy(checkpoint), {})


@pytest.mark.parametrize("checkpoint", [None, 3, [1], "plain.ckpt", {}])
def test_no_checkpoint(world, checkpoint):
    answer(world, "checkpoint", upgrade_pet_checkpoint, checkpoint, {})


@rows(table_training.SYMMETRY)
def test_section_symmetry(world, row):
    options, words = row
    answer(world, words, complete_symmetry, options)
