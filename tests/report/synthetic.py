"""A report that looks like one of a trained PET, made of chosen numbers."""

import numpy as np
import pandas as pd

from metatrain_symmetry.groups.irreps import Irrep, irreps_up_to
from metatrain_symmetry.measure.averages import averages
from metatrain_symmetry.measure.results import Report
from metatrain_symmetry.measure.tables import with_types


# target: irreps, unit, per structure?, median A, median error
TARGETS = {
    "energy": (["(0,+)"], "eV", True, 0.02, 0.2),
    "non_conservative_force": (["(1,+)"], "eV/A", False, 0.03, 0.1),
    "non_conservative_stress": (["(0,+)", "(2,+)"], "eV/A^3", False, 2e-4, 8e-4),
}
BLOCKS = [(target, irrep) for target, (irreps, *_) in TARGETS.items() for irrep in irreps]
OUTPUTS = [f"{target} {irrep}" for target, irrep in BLOCKS]
# probe: group, weight of the pseudo part
LAYERS = {
    "gnn_layers.0.edge_embedder": ("GE", 0.0),
    "gnn_layers.0.node_embedder": ("CE", 0.0),
    "gnn_layers.0.neighbor_embedder": ("NE", 0.0),
    "gnn_layers.0.compress": ("EE", 0.0),
    **{
        f"gnn_layers.{i}.trans.layers.{j}_{part}": ("transformer", 0.02)
        for i in range(2)
        for j in range(2)
        for part in ("node", "edge")
    },
    **{
        f"gnn_layers.{i}_{part}": ("GNN", 0.03) for i in (0, 1) for part in ("node", "edge")
    },
    "node_backbone.0": ("BBF", 0.004),
    "edge_backbone.0": ("BBF", 0.01),
    **{f"node_heads.{target}.0": ("LLF", 0.005) for target in TARGETS},
    **{f"edge_heads.{target}.0": ("LLF", 0.005) for target in TARGETS},
}


def irrep_of(text):
    """Irrep of a label such as ``(2,-)``."""
    degree, sign = text.strip("()").split(",")
    return Irrep(int(degree), 1 if sign == "+" else -1)


def equivariance(structures, errors, generator):
    rows = []
    for target, (irreps, unit, shared, size, error) in TARGETS.items():
        for text in irreps:
            irrep = irrep_of(text)
            for structure in range(structures):
                atoms = int(generator.integers(4, 40))
                per = atoms if shared else 1
                a = size * generator.lognormal(sigma=0.8)
                e = error * generator.lognormal(sigma=0.9) if errors else np.nan
                rows.append(
                    {
                        "structure": structure,
                        "target": target,
                        "detail": "",
                        "o3_lambda": irrep.o3_lambda,
                        "o3_sigma": irrep.o3_sigma,
                        "sample_kind": "system",
                        "per_atom": shared,
                        "A": a,
                        "A_stderr": 0.1 * a,
                        "error": e,
                        "error_averaged": 0.9 * e,
                        "unit": unit,
                        "A_per_atom": a / per,
                        "error_per_atom": e / per,
                        "error_averaged_per_atom": 0.9 * e / per,
                        "unit_per_atom": f"{unit}/atom" if shared else unit,
                        "norm": error * 30,
                        "target_norm": error * 30,
                        "noise": 1e-6 * error,
                        "atoms": atoms,
                        "samples": 1,
                        "forced_zero": 0,
                    }
                )
    return pd.DataFrame(rows)


def spectrum(probe, kind, group, needed, pseudo, generator, lambda_max, target=""):
    weights = {}
    for irrep in irreps_up_to(lambda_max):
        near = min(abs(irrep.o3_lambda - n.o3_lambda) for n in needed)
        scale = pseudo if irrep.o3_sigma == -1 else 1.0
        weights[irrep] = scale * 10 ** (-0.9 * near) * generator.lognormal(sigma=0.4)
    weights = {i: w if i not in needed else 30.0 for i, w in weights.items()}
    if group == "GE":
        weights = {i: w * (i in (Irrep(0), Irrep(1))) for i, w in weights.items()}
    if group in ("CE", "NE"):
        weights = {i: w * (i == Irrep(0)) for i, w in weights.items()}
    residual = 0.2 * min(w for i, w in weights.items() if i.o3_sigma == 1)
    total = sum(weights.values()) + residual
    common = {
        "probe": probe,
        "kind": kind,
        "group": group,
        "estimator": "mixed",
        "converged": probe not in NOT_CONVERGED,
        "target": target,
        "detail": "",
        "o3_lambda": needed[0].o3_lambda if target else None,
        "o3_sigma": needed[0].o3_sigma if target else None,
    }
    rows = []
    for irrep, weight in [*weights.items(), (None, residual)]:
        share = weight / total
        uncertain = irrep is not None and irrep.o3_sigma == -1 and generator.random() < 0.2
        rows.append(
            dict(
                common,
                chi_lambda=np.nan if irrep is None else irrep.o3_lambda,
                chi_sigma=np.nan if irrep is None else irrep.o3_sigma,
                B=share * 4.0,
                share=share,
                stderr=share * (0.8 if uncertain else 0.12),
                channel="residual" if irrep is None else str(irrep),
            )
        )
    return rows


def characters(layers, generator, lambda_max):
    rows = []
    for probe, (group, pseudo) in layers.items():
        rows += spectrum(
            probe, "layer", group, [Irrep(0), Irrep(1)], pseudo, generator, lambda_max
        )
    for target, irrep in BLOCKS:
        rows += spectrum(
            f"{target} {irrep}", "output", "predictions", [irrep_of(irrep)],
            1e-4 if target == "energy" else 0.02, generator, lambda_max, target,
        )  # fmt: skip
    return with_types(pd.DataFrame(rows))


NOT_CONVERGED = ("gnn_layers.1_edge", "non_conservative_stress (2,+)")
DIAGNOSIS = [
    {"target": "energy", "detail": "", "irrep": "(0,+)",
     "status": "ok", "text": "energy is 99.9 % (0,+): A is below 10 % of the error."},
    {"target": "non_conservative_force", "detail": "", "irrep": "(1,+)",
     "status": "asymmetric",
     "text": "2 % of non_conservative_force lies outside (1,+) & most of it is (0,+)."},
    {"target": "non_conservative_stress", "detail": "", "irrep": "(2,+)",
     "status": "not learned",
     "text": "(2,+) of non_conservative_stress first appears in the last layer < head."},
    {"target": "non_conservative_stress", "detail": "", "irrep": "(0,+)",
     "status": "cannot",
     "text": "No layer carries (0,+) of non_conservative_stress above 1 %."},
]  # fmt: skip


def medians(table):
    rows = []
    for (target, degree, sigma), block in table.groupby(
        ["target", "o3_lambda", "o3_sigma"], sort=False
    ):
        rows.append(
            {
                "target": target,
                "o3_lambda": int(degree),
                "o3_sigma": int(sigma),
                "A": float(block["A"].median()),
                "A_per_atom": float(block["A_per_atom"].median()),
                "error": float(block["error"].median()),
                "ratio": float((block["A"] / block["error"]).median()),
                "unit": block["unit"].iloc[0],
                "noise": float(block["noise"].median()),
            }
        )
    return rows


def make_report(structures=150, errors=True, layers=LAYERS, lambda_max=8, **summary):
    generator = np.random.default_rng(0)
    table = equivariance(structures, errors, generator)
    return Report(
        equivariance=table,
        atoms=pd.DataFrame(),
        characters=characters(layers, generator, lambda_max),
        summary={
            "model": "pet-mad-s.pt", "architecture": "pet", "structures": "test.xyz",
            "n_structures": structures, "lambda_max": lambda_max, "estimator": "mixed",
            "grid_degree": 16, "dtype": "float32", "converged": False,
            "convergence_text": "The residual is below 1 % for 23 of 24 probes.",
            "evaluations": 102600, "seconds": 431.7,
            "versions": {"metatrain": "2026.4", "torch": "2.11"},
            "settings": {"circles": 12, "seed": 0, "grid": {"degree": 16, "order": 17}},
            "medians": medians(table), "averages": averages(table),
            "created": "2026-11-21 14:00",
            **summary,
        },
        diagnosis=[dict(entry) for entry in DIAGNOSIS],
    )  # fmt: skip


def make_c3v_report(**summary):
    """The same with the irreps of C3v, as a report of another group has them."""
    report = make_report(structures=5, group="C3v", channels=["A1", "A2", "E"], **summary)
    table = report.characters.drop(columns=["chi_lambda", "chi_sigma"])
    names = {"(0,+)": "A1", "(1,+)": "E", "(0,-)": "A2"}
    table = table[table["channel"].isin(names)].assign(
        channel=lambda rows: rows["channel"].map(names), chi_irrep=lambda rows: rows.channel
    )
    report.characters = table
    return report
