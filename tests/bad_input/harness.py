"""Small models, files and calls for the table of bad inputs."""

import copy
import io
import logging
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import ase
import ase.io
import numpy as np
import torch
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from common import energy_info, molecule, pet, pet_ssh
from metatomic.torch import AtomisticModel, ModelCapabilities, load_atomistic_model
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_generic_target_info
from omegaconf import OmegaConf
from table_symmetrise import WRITTEN

from metatrain_symmetry import symmetrize_model
from metatrain_symmetry.symmetrise.export import declared


FORCE = "non_conservative_force"
TINY = {
    "d_pet": 8,
    "d_head": 4,
    "d_node": 8,
    "d_feedforward": 8,
    "num_heads": 2,
    "num_gnn_layers": 1,
}
QUICK = {"degree": 4, "lambda_max": 2, "probes": [], "progress": False}

# what a library says, and what Python says, is no sentence of ours
RAW = re.compile(
    r"Traceback|Error:|object has no attribute|NoneType|unexpected keyword|positional arg"
    r"|must be str|invalid literal|could not convert|expected .* but got|For further"
    r"|pydantic|\[type=|site-packages|list index|not subscriptable|Errno"
)


def labelled(count=6):
    """Water-like molecules with energy, forces and direct forces."""
    found = []
    for i in range(count):
        atoms = molecule()
        atoms.rattle(0.1, seed=i)
        forces = np.random.default_rng(i).normal(size=(len(atoms), 3))
        atoms.calc = SinglePointCalculator(atoms, energy=-3.0 * i, forces=forces)
        atoms.arrays[FORCE] = forces
        found.append(atoms)
    return found


def info():
    """Energy with gradients, and direct forces."""
    options = {"quantity": "", "unit": "eV/A", "type": {"cartesian": {"rank": 1}}}
    options |= {"num_subtargets": 1, "sample_kind": "atom"}
    energy = energy_info(gradients=True)
    targets = {**energy.targets, FORCE: get_generic_target_info(FORCE, options)}
    return DatasetInfo("angstrom", energy.atomic_types, targets)


def write_world(folder):
    """Everything that is right: models, structures, options, a run."""
    model = pet_ssh(info(), **TINY)
    checkpoint = copy.deepcopy(model.get_checkpoint())
    checkpoint |= {"epoch": 3, "best_epoch": 2}
    torch.save(checkpoint, folder / "model.ckpt")
    plain = copy.deepcopy(pet(energy_info(), **TINY).get_checkpoint())
    torch.save(plain | {"epoch": 3, "best_epoch": 2}, folder / "plain.ckpt")
    model.export().save(str(folder / "model.pt"))
    ase.io.write(folder / "x.xyz", labelled())
    OmegaConf.save(OmegaConf.create(training_options()), folder / "train.yaml")
    OmegaConf.save(OmegaConf.create(eval_options()), folder / "eval.yaml")
    (folder / "text.txt").write_text("no structures in here\n")
    (folder / "empty.xyz").write_text("")
    (folder / "empty.yaml").write_text("")
    (folder / "folder").mkdir()
    (folder / "half.ckpt").write_bytes((folder / "model.ckpt").read_bytes()[:3000])
    (folder / "half.pt").write_bytes((folder / "model.pt").read_bytes()[:3000])
    torch.save({"state": 1}, folder / "foreign.ckpt")
    torch.save([1, 2], folder / "list.ckpt")
    torch.save({"architecture_name": "soap_bpnn"}, folder / "soap.ckpt")
    (folder / "full").mkdir()
    (folder / "full" / "mine.txt").write_text("mine")


def write_symmetrise(folder):
    """Calculators, structures for them, an averaged model and one for another device."""
    (folder / "written.py").write_text(WRITTEN)
    (folder / "folder.pt").mkdir()
    ase.io.write(folder / "cu.xyz", bulk("Cu", cubic=True))
    ase.io.write(folder / "xenon.xyz", ase.Atoms("Xe2", [[0, 0, 0], [0, 0, 4.0]]))
    symmetrize_model(folder / "model.pt", folder / "averaged.pt", "T")
    elsewhere = load_atomistic_model(str(folder / "model.pt"))
    given = elsewhere.capabilities()
    names = ("atomic_types", "interaction_range", "length_unit", "dtype")
    same = {name: getattr(given, name) for name in names}
    same["outputs"] = {name: given.outputs[name] for name in declared(elsewhere)}
    capabilities = ModelCapabilities(**same, supported_devices=["mps"])
    AtomisticModel(elsewhere.module, elsewhere.metadata(), capabilities).save(
        str(folder / "elsewhere.pt")
    )


def targets():
    """Targets of the training options."""
    return {
        "energy": {"key": "energy", "unit": "eV", "forces": False, "stress": False},
        FORCE: {
            "key": FORCE,
            "unit": "eV/A",
            "sample_kind": "atom",
            "type": {"cartesian": {"rank": 1}},
        },
    }


def eval_options():
    """Options as for ``mtt eval``."""
    systems = {"read_from": "x.xyz", "length_unit": "angstrom"}
    return {"systems": systems, "targets": targets()}


def training_options():
    """Options as for ``mtt train``, with a section of ours."""
    purify = {"degree": 4, "alpha": [0, 10], "ridge": [1e-2], "report_structures": 0}
    return {
        "seed": 1,
        "training_set": eval_options(),
        "validation_set": 0.4,
        "test_set": 0.0,
        "purify": purify,
    }


def edited(options, path, value):
    """Options with one entry changed, removed (``...``) or added."""
    options = copy.deepcopy(options)
    *parents, last = path.split("/")
    place = options
    for key in parents:
        place = place[int(key) if isinstance(place, list) else key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return options


def mtt(*arguments):
    """Run ``mtt`` in this process; return its exit code and what it says is wrong."""
    import metatrain.__main__

    argv, sys.argv = sys.argv, ["mtt", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    code, handlers = 0, logging.getLogger().handlers[:]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            metatrain.__main__.main()
    except SystemExit as stop:
        code = stop.code
    finally:
        sys.argv = argv
        logging.getLogger().handlers[:] = handlers
    # what metatrain keeps with its traceback, or what stands below the usage
    lines = err.getvalue().strip().splitlines()
    log = Path("error.log")
    if code == 1:
        lines = log.read_text().strip().splitlines()
        log.unlink()
    kind, _, text = lines[-1].partition(": ")
    return code, text if kind in ("ValueError", "MemoryError") else lines[-1]


def frames(**changes):
    """Structures, the second of which is changed."""
    found = labelled(2)
    for name, value in changes.items():
        if name == "energy":
            found[1].calc.results["energy"] = value
        elif name == "forces":
            found[1].calc.results["forces"] = value
        elif name == "arrays":
            found[1].arrays.update(value)
        elif name == "info":
            found[1].info.update(value)
        else:
            setattr(found[1], name, value)
    return found
