"""Kill `mtt symmetry` and `mtt purify` at random moments; not a test, run by hand.

    python tests/interrupts/kill_at_random.py --kills 20

After every kill there must be nothing half-written under the name of an output: it is
there whole, as its own summary says, or not at all. The next run cleans up. With
`--continue` each run goes on from the last one, and the tables are those of a run that
nobody disturbed.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch


for folder in ("", "pet_ssh", "bad_input"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))

from harness import write_world  # noqa: E402


COMMANDS = {
    "symmetry": ["symmetry", "model.ckpt", "x.xyz", "-o", "out", "--degree", "8"],
    "purify": ["purify", "model.ckpt", "train.yaml", "-o", "pure.ckpt"],
}
OUTPUTS = {"symmetry": ["out"], "purify": ["pure.ckpt", "pure-report"]}


def start(command: list[str]) -> subprocess.Popen:
    """Start `mtt` in this folder."""
    call = [sys.executable, "-m", "metatrain_symmetry", *command, "--overwrite"]
    return subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def whole(path: Path) -> bool:
    """Whether an output is absent, or complete."""
    if not path.exists():
        return True
    if path.is_file():
        return "architecture_name" in torch.load(path, weights_only=False)
    files = json.loads((path / "summary.json").read_text())["files"]
    there = [str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()]
    return sorted(there) == sorted(files)


def kill(name: str, longest: float) -> tuple[bool, int]:
    """Kill one run; whether its outputs are whole, and how much it left behind."""
    process = start(COMMANDS[name])
    # most of the time goes by before anything is written: aim at the end, too
    time.sleep(longest * random.choice([random.random(), random.uniform(0.85, 1.05)]))
    process.kill()
    process.wait()
    # complete pieces stay for --continue
    names = [p.name for p in Path().iterdir() if p.name.startswith(".")]
    hidden = [name for name in names if not name.endswith("-kept")]
    return all(whole(Path(output)) for output in OUTPUTS[name]), len(hidden)


def continued(kills: int, longest: float) -> int:
    """Kill runs that go on from each other; the tables that are not the same then."""
    command = [*COMMANDS["symmetry"], "--continue", "--budget", "none"]
    assert start(command).wait() == 0
    before = {path.name: path.read_bytes() for path in Path("out").glob("*.csv")}
    command[command.index("out")] = "again"
    for _ in range(kills):
        process = start(command)
        time.sleep(longest * random.uniform(0.3, 1.0))
        process.kill()
        process.wait()
    assert start(command).wait() == 0
    bad = [name for name in before if (Path("again") / name).read_bytes() != before[name]]
    print(f"mtt symmetry --continue: {kills} kills, tables that differ: {bad or 'none'}")
    return len(bad) + len([p for p in Path().iterdir() if p.name.startswith(".again")])


def main() -> int:
    """Kill every command many times, then let it finish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    os.chdir(tempfile.mkdtemp())
    write_world(Path())
    bad = 0
    for name, command in COMMANDS.items():
        began = time.perf_counter()
        assert start(command).wait() == 0
        longest = time.perf_counter() - began
        left = 0
        for _ in range(arguments.kills):
            good, hidden = kill(name, longest)
            bad += not good
            left += hidden > 0
        assert start(command).wait() == 0
        hidden = [p.name for p in Path().iterdir() if p.name.startswith(".")]
        bad += bool(hidden)
        print(
            f"mtt {name}: {arguments.kills} kills, hidden files after {left} of them, "
            f"{len(hidden)} after the next run"
        )
        if name == "symmetry":
            bad += continued(arguments.kills, longest)
    print(f"{bad} outputs were half-written")
    return bad


if __name__ == "__main__":
    sys.exit(main())
