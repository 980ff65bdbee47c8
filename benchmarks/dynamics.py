"""Does a repair of symmetry show in molecular dynamics?

Two molecules at constant energy, with conservative and with direct forces, before and after
a fine-tuning: velocity Verlet, steps of 0.5 fs, 300 K to begin with, no total momentum
or angular momentum, the same start for all. Models are evaluated in float64, so that drift
is the model's and not rounding: a step with conservative forces takes about a quarter
longer than in float32, one with direct forces no longer. The molecules are ethanol, which
has two soft torsions, and acetonitrile, which has none; each starts from its conformer of
lowest energy in ``data/xtb_molecules.xyz``.

What each number tests, and what it does not:

- Total energy (predicted potential energy plus kinetic energy). Conservative forces keep
  it, whether the model is invariant or not: what is left is the integrator's, bounded and
  proportional to the square of the time step, and roughness of the energy. Direct forces
  are no gradient of the predicted energy, nor of any: its drift tests that, not O(3).
- Net force and total momentum. Zero for conservative forces, since the energy does not
  change when all atoms are translated: PET has this by construction. Of direct
  forces it is a sum rule (Newton's third law), which an exactly equivariant
  model can violate. Only the part of it that changes with the orientation is asymmetry.
- Torque and angular momentum, about the centre of mass. For conservative forces the torque
  is minus the derivative of the energy along a rotation of the molecule: zero for every
  molecule if and only if the energy is invariant under rotations. So this is the number
  that must fall with A (inversion is not tested). For direct forces it is a sum rule,
  as the net force is: equivariance does not make it zero.

The gain of momenta at the end is one sample of a walk; the root mean squares of force and
torque along the trajectory are what to compare. ``direct`` are the forces as predicted;
their net force accelerates the whole molecule, which adds to the total energy.
``direct, centred`` are those forces without their mean over the atoms, which is
what ``MetatomicCalculator`` gives to ASE: there, momentum is kept by construction.

A trajectory ends early above 5000 K, or when an atom is further than 5 Å from all others.
The temperature is that of the motion relative to the centre of mass, with 3 N - 6 degrees
of freedom. The results file is rewritten after every case.

    python -m benchmarks.dynamics --before model.ckpt --after finetuned.ckpt \
        --output benchmarks/results/dynamics.json
"""

import argparse
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks._dynamics import KINDS, TIMESTEP, ModelCalculator, case
from benchmarks._results import run_cases, start, stop_if_failed


PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch", "ase")
MOLECULES = ("ethanol", "acetonitrile")
SEED = 0
EXPECTED = {
    "conservative": {
        "momentum_u_A_per_ps": 0.0,
        "net_force_rms_eV_per_A": 0.0,
        "angular_momentum_hbar": 0.0,
        "torque_rms_eV": 0.0,
        "energy_drift_meV_per_atom_ps": 0.0,
    },
    "direct": {},
    "direct, centred": {"momentum_u_A_per_ps": 0.0, "net_force_rms_eV_per_A": 0.0},
}
"""Of an equivariant model and short steps; symmetry fixes nothing for direct forces."""


def plan(models: dict[str, Path], ps: float) -> dict[str, Callable[[], dict[str, Any]]]:
    """All cases; what is compared is run in succession.

    :param models: checkpoint by its name in the table
    :param ps: length of a trajectory
    :return: what runs each case
    """
    return {
        f"{name}, {kind}, {model}": partial(_case, model, name, path, kind, ps)
        for name in MOLECULES
        for kind in KINDS
        for model, path in models.items()
    }


def _case(model: str, name: str, path: Path, kind: str, ps: float) -> dict[str, Any]:
    return {"model": model, **case(name, path, kind, ps, SEED)}


def table(result: dict[str, Any]) -> str:
    """Markdown table of a result."""
    lines = [
        "| molecule, forces, model | time (ps) | energy: drift (meV/atom/ps) | "
        "max (meV/atom) | T at the end (K) | momentum: end, max (u Å/ps) | "
        "angular momentum: end, max (ħ) | net force (eV/Å) | torque (eV) |",
        "|---" + "|---:" * 8 + "|",
    ]
    cases = result["cases"].items()
    lines += [_row(name, found) for name, found in cases if "time_ps" in found]
    return "\n".join(lines)


def _row(name: str, found: dict[str, Any]) -> str:
    """Row of a trajectory."""
    cells = [
        ("energy_drift_meV_per_atom_ps",),
        ("energy_max_deviation_meV_per_atom",),
        ("temperature_end_K",),
        ("momentum_end_u_A_per_ps", "momentum_max_u_A_per_ps"),
        ("angular_momentum_end_hbar", "angular_momentum_max_hbar"),
        ("net_force_rms_eV_per_A",),
        ("torque_rms_eV",),
    ]
    words = [", ".join(_short(found[key]) for key in keys) for keys in cells]
    reached = f"{found['time_ps']:g}"
    if found["stopped"]:
        reached += f" ({found['stopped']})"
    return f"| {' | '.join([name, reached, *words])} |"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def describe(path: Path) -> dict[str, str]:
    """Name and checksum of a file."""
    return {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="a checkpoint")
    parser.add_argument("--after", type=Path, required=True, help="the same, repaired")
    parser.add_argument("--output", type=Path, default=Path("dynamics.json"))
    parser.add_argument("--ps", type=float, help="length of a trajectory; 20 by default")
    parser.add_argument("--quick", action="store_true", help="0.01 ps by default")
    args = parser.parse_args()
    if args.ps is not None and args.ps < TIMESTEP / 1000:
        parser.error(f"--ps {args.ps:g} is shorter than a step: give a longer time")
    torch.set_num_threads(1)
    models = {"before": args.before, "after": args.after}
    try:  # nothing has been spent yet
        for path in models.values():
            ModelCalculator(path, "direct")
    except ValueError as error:
        parser.error(str(error))
    ps = args.ps or (0.01 if args.quick else 20.0)
    result = start("benchmarks.dynamics", PACKAGES)
    settings = {"ps": ps, "timestep_fs": TIMESTEP, "kelvin": 300.0, "seed": SEED}
    result["settings"] = {**settings, "dtype": "float64"}
    result["models"] = {name: describe(path) for name, path in models.items()}
    result["expected"] = EXPECTED
    run_cases(plan(models, ps), result, args.output)
    print(table(result))
    stop_if_failed(result, args.output)


if __name__ == "__main__":
    main()
