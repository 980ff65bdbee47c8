"""One process of distributed trainings of metatrain, on CPUs; started by a test.

    python worker_of_training.py SECONDS FOLDER...

In each folder one is trained after ``options.yaml``. metatrain itself does that on GPUs of
Slurm only: what it starts there is replaced by gloo. Each measurement of the monitor takes
SECONDS longer. The last line on standard output is JSON: for each training the number of
sums over processes, and how long one of them took at most, with those of the measurements.
"""

import json
import os
import sys
import time

import metatrain.__main__
import metatrain.pet.trainer as trainer
import torch
import torch.distributed as dist
from metatrain.utils.distributed.distributed_data_parallel import DistributedDataParallel

from metatrain_symmetry.training.snapshots import Snapshots


TIMES = {"sums": [], "measurements": []}
measure = Snapshots.measure


def start(port):
    """Join the others."""
    dist.init_process_group("gloo")
    return torch.device("cpu"), dist.get_world_size(), dist.get_rank()


def slow(self, *arguments, **named):
    """Measure, and take one's time."""
    began = time.monotonic()
    time.sleep(SECONDS)
    found = measure(self, *arguments, **named)
    TIMES["measurements"].append(time.monotonic() - began)
    return found


def timed(original):
    """Watch how long a process waits for the others."""

    def collective(*arguments, **named):
        began = time.monotonic()
        found = original(*arguments, **named)
        TIMES["sums"].append(time.monotonic() - began)
        return found

    return collective


def wrapped(model, device_ids):
    """Train it together with the others."""
    return DistributedDataParallel(model)


def train(folder):
    """Train once; how often something happened, and how long it took at most."""
    os.chdir(folder)
    # the store of the last training may still be there
    os.environ["MASTER_PORT"] = str(int(os.environ["MASTER_PORT"]) + 1)
    for times in TIMES.values():
        times.clear()
    try:
        metatrain.__main__.main()
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return {name: [len(t), max(t, default=0.0)] for name, t in TIMES.items()}


if __name__ == "__main__":
    SECONDS, folders = float(sys.argv[1]), sys.argv[2:]
    Snapshots.measure = slow
    trainer.initialize_slurm_nccl_process_group = start
    trainer.DistributedDataParallel = wrapped
    # what metatrain calls; sums of gradients are inside of torch
    dist.all_reduce, dist.barrier = timed(dist.all_reduce), timed(dist.barrier)
    sys.argv = ["mtt", "train", "options.yaml"]
    print(json.dumps([train(folder) for folder in folders]))
