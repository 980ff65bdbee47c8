"""``mtt purify -r``: options from the command line, as ``mtt train`` has them."""

import argparse

import pytest

from metatrain_symmetry.cli import purify
from metatrain_symmetry.purify.options import read_shared


OPTIONS = """
seed: 3
training_set: a.xyz
validation_set: 0.1
purify: {degree: 4}
"""


@pytest.fixture
def path(tmp_path):
    place = tmp_path / "options.yaml"
    place.write_text(OPTIONS)
    return place


def parsed(*arguments):
    parser = argparse.ArgumentParser()
    purify.add_arguments(parser)
    return parser.parse_args(["model.ckpt", *map(str, arguments)])


def test_what_is_given_replaces_what_is_written(path):
    given = parsed(path, "-r", "purify.method=full", "-r", "seed=5")
    shared = read_shared(purify._options(given.options, given.override))
    assert shared.method == "full"
    assert shared.purify["degree"] == 4
    assert shared.sections.seed == 5


def test_without_any_the_file_is_read_as_it_is(path):
    given = parsed(path)
    assert purify._options(given.options, given.override) == str(path)


def test_a_section_that_is_not_there_yet(path):
    path.write_text(OPTIONS.replace("purify: {degree: 4}", ""))
    given = parsed(path, "--override", "purify.epochs=3")
    shared = read_shared(purify._options(given.options, given.override))
    assert shared.purify == {"epochs": 3}
    assert shared.method == "readout"
