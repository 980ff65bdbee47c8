"""Small trainings on shipped molecules, and ``mtt`` in this process."""

import copy
import sys
from pathlib import Path

import metatrain.__main__
from common import SMALL
from omegaconf import OmegaConf


MOLECULES = Path(__file__).parents[1] / "data/xtb_molecules.xyz"
OPTIONS = {
    "seed": 1,
    "architecture": {
        "name": "pet_ssh",
        "model": {**SMALL, "num_gnn_layers": 1},
        "training": {
            "num_epochs": 3,
            "learning_rate": 3e-3,
            "batch_size": 4,
            "num_workers": 0,
        },
    },
    "training_set": {
        "systems": {"read_from": "molecules.xyz", "length_unit": "angstrom"},
        "targets": {
            "energy": {"key": "energy", "unit": "eV", "forces": True},
            "non_conservative_force": {
                "key": "non_conservative_force",
                "unit": "eV/Angstrom",
                "sample_kind": "atom",
                "type": {"cartesian": {"rank": 1}},
            },
        },
    },
    "validation_set": 0.2,
    "test_set": 0.2,
}


def changed(options=OPTIONS, **changes):
    """Options with other entries; ``architecture__training__x=1`` changes one."""
    found = OmegaConf.create(copy.deepcopy(options))
    for key, value in changes.items():
        OmegaConf.update(found, key.replace("__", "."), value)
    return OmegaConf.to_container(found)


def mtt(*arguments, expect=0):
    """Run ``mtt`` in this process and in this folder; return what went to the log."""
    argv, sys.argv = sys.argv, ["mtt", *map(str, arguments)]
    code = 0
    try:
        metatrain.__main__.main()
    except SystemExit as stop:
        code = stop.code
    finally:
        sys.argv = argv
    errors = [Path("error.log"), *Path("outputs").glob("*/*/error.log")]
    text = "".join(path.read_text() for path in errors if path.exists())
    assert code == expect, text
    return text
