"""The monitor in a training of several processes: one measures, the others wait for it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import ase.io
import pandas as pd
import torch
from monitor_common import OPTIONS, SYMMETRY
from omegaconf import OmegaConf
from training_common import MOLECULES, changed


WORKER = Path(__file__).with_name("worker_of_training.py")


def prepare(folder, symmetry):
    """Molecules and options of a training."""
    folder.mkdir()
    ase.io.write(folder / "molecules.xyz", ase.io.read(MOLECULES, ":15"))
    content = changed(
        OPTIONS,
        architecture__training__num_epochs=2,
        architecture__training__batch_size=2,
        architecture__training__distributed=True,
        training_set__targets__energy__forces=False,
    )
    if symmetry is not None:
        content["architecture"]["training"]["symmetry"] = symmetry
    OmegaConf.save(OmegaConf.create(content), folder / "options.yaml")
    return folder


def train(*folders):
    """Train on two processes; what each of them says of each training."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    common = {
        "MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": "2",
        "SLURM_JOB_ID": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0",
    }  # fmt: skip
    started = [
        subprocess.Popen(
            [sys.executable, str(WORKER), "1.0", *map(str, folders)],
            env=os.environ | common | {"RANK": rank, "SLURM_PROCID": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in "01"
    ]
    found = []
    for process in started:
        out, _ = process.communicate(timeout=600)
        assert process.returncode == 0, out
        found.append(json.loads(out.splitlines()[-1]))
    return found


def test_two_processes_train_as_if_nobody_watched(tmp_path):
    plain, watched = prepare(tmp_path / "a", None), prepare(tmp_path / "b", SYMMETRY)
    first, second = train(plain, watched)
    (table,) = watched.glob("outputs/*/*/symmetry/measurements.csv")
    assert pd.read_csv(table).epoch.tolist() == [0, 1, 2]
    # the other one measures nothing, and both wait for each other as often as ever
    assert first[1]["measurements"][0] >= 3
    assert second[1]["measurements"][0] == 0
    assert len({times["sums"][0] for one in (first, second) for times in one}) == 1
    print("longest sums, measurements:", first, second)
    states = [torch.load(f / "model.ckpt", weights_only=False) for f in (plain, watched)]
    for name, value in states[0]["model_state_dict"].items():
        # what is whole are indices, some of which metatrain leaves as they were in memory
        if torch.is_tensor(value) and value.is_floating_point():
            assert torch.equal(states[1]["model_state_dict"][name], value), name
