"""A training with a sudden transition, made of chosen numbers."""

import numpy as np
import pandas as pd
from synthetic import irrep_of

from metatrain_symmetry.groups.irreps import Irrep, irreps_up_to
from metatrain_symmetry.measure.series import COLUMNS, Series
from metatrain_symmetry.measure.tables import with_types


EPOCHS = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]
# target: irrep, unit, A before and after, RMSE before and after
TARGETS = {
    "energy": ("(0,+)", "eV", 0.5, 0.02, 3.0, 0.15),
    "force": ("(1,+)", "eV/A", 0.9, 0.03, 1.2, 0.08),
}
LAYERS = {
    "gnn_layers.0.compress": "EE",
    "gnn_layers.0_node": "GNN",
    "node_heads.energy.0": "LLF",
}
OUTPUTS = {f"{target} {values[0]}": "predictions" for target, values in TARGETS.items()}
EVENT = 32


def weights(probe, epoch, lambda_max):
    """Scalar at first; from the transition on, the needed irrep and high degrees."""
    late = epoch >= EVENT
    needed = Irrep(1 if probe.startswith("force") else 0)
    for irrep in irreps_up_to(lambda_max):
        decay = 0.45 if late else 1.3
        weight = 10.0 ** (-decay * irrep.o3_lambda) * (
            1.0 if irrep.o3_sigma == 1 else (3e-2 if late else 1e-6)
        )
        if probe in OUTPUTS and late:
            weight *= 1 if irrep == needed else 4.0 / epoch
        yield irrep, weight


def characters(probe, kind, group, epochs, lambda_max):
    rows = []
    target = probe.split()[0] if kind == "output" else ""
    own = irrep_of(TARGETS[target][0]) if target else None
    for epoch in epochs:
        found = dict(weights(probe, epoch, lambda_max))
        found[None] = 0.3 * min(found.values())
        total = sum(found.values())
        for irrep, weight in found.items():
            share = weight / total
            uncertain = irrep is not None and irrep.o3_sigma == -1 and epoch == 2
            rows.append(
                {
                    "epoch": epoch, "probe": probe, "kind": kind, "group": group,
                    "chi_lambda": None if irrep is None else irrep.o3_lambda,
                    "chi_sigma": None if irrep is None else irrep.o3_sigma,
                    "B": 4 * share, "share": share,
                    "stderr": share * (0.8 if uncertain else 0.1),
                    "channel": "residual" if irrep is None else str(irrep),
                    "estimator": "mixed", "converged": True, "target": target,
                    "detail": "", "o3_lambda": own and own.o3_lambda,
                    "o3_sigma": own and own.o3_sigma,
                }
            )  # fmt: skip
    return rows


def equivariance(target, epochs, truth):
    text, unit, first, last, worst, best = TARGETS[target]
    irrep = irrep_of(text)
    for i, epoch in enumerate(epochs):
        t = i / max(len(epochs) - 1, 1)
        A = first * (last / first) ** (t**2)
        rmse = worst * (best / worst) ** t if truth else np.nan
        yield {
            "epoch": epoch, "target": target, "detail": "", "sample_kind": "system",
            "per_atom": False, "o3_lambda": irrep.o3_lambda,
            "o3_sigma": irrep.o3_sigma, "unit": unit, "A": A, "A_stderr": 0.15 * A,
            "rmse": rmse, "A_over_rmse": A / rmse, "norm_ratio": t if truth else np.nan,
            "n_structures": 32, "estimator": "icosahedral", "rmse_all": 1.1 * rmse,
            "norm_ratio_all": t if truth else np.nan, "n_all": 64 if truth else 0,
        }  # fmt: skip


def make_series(epochs=EPOCHS, truth=("energy",), layers=LAYERS, lambda_max=8, **summary):
    probes = [(p, "layer", g) for p, g in layers.items()]
    probes += [(p, "output", g) for p, g in OUTPUTS.items()]
    shares = [row for p in probes for row in characters(*p, epochs, lambda_max)]
    errors = [row for t in TARGETS for row in equivariance(t, epochs, t in truth)]
    costs = [
        {
            "epoch": epoch, "evaluations": 2000, "seconds": 4.0,
            "training_seconds": 800.0, "n_structures": 32, "circles": 12,
            "design": "icosahedral",
            "note": "layers left out, to save time" if i == 3 else None,
        }
        for i, epoch in enumerate(epochs)
    ]  # fmt: skip
    text = "force (1,+): the share of (1,+) rose from 4.8e-02 to 9.2e-01"
    jump = [EVENT, 16, "force (1,+)", "(1,+)", 19.0, text]
    events = pd.DataFrame([jump] if EVENT in epochs else [], columns=COLUMNS["events"])
    table = pd.DataFrame(shares, columns=COLUMNS["characters"])
    return Series(
        pd.DataFrame(errors, columns=COLUMNS["equivariance"]),
        with_types(table),
        pd.DataFrame(costs, columns=COLUMNS["measurements"]),
        events,
        {"model": "pet-mad-s", "architecture": "experimental.pet_ssh", **summary},
    )
