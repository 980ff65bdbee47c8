"""Tables and the figure of the benchmark of scale."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._scale_fit import CostModel, Gpu, fit, residuals, slope


MANY = 1_000_000
"""Structures to which is extrapolated."""

PLANS = {
    "A alone, rotations and inversions of the icosahedron": (120, 0, 1),
    "grid of degree 16, λmax 8, outputs and 25 probes": (3740, 26, 8),
}
"""Evaluations of each structure, what is resolved, λmax."""

QUANTITIES = {
    "floor": "the bare model",
    "structure": "a structure",
    "reduction": "the reduction",
    "report": "a report",
}


def fitted(cases: Mapping[str, Any], gpus: Sequence[Gpu], count: int) -> dict[str, Any]:
    """Exponents, cost model, residuals and extrapolation.

    :param cases: of the benchmark
    :param gpus: what one takes, for structures of each size
    :param count: how many GPUs share the structures
    :return: what belongs into the results; empty if no times were measured
    """
    axes = {n: c["points"] for n, c in cases.items() if "points" in c}
    points = [point for several in axes.values() for point in several]
    if not points:
        return {}
    model = fit(points)
    rest = sorted(abs(r) for r in residuals(model, points))
    return {
        "exponents": [row for name in axes for row in _exponents(name, axes[name])],
        "cost_model": model.as_dict(),
        "residuals": {
            part: [round(r, 3) for r in residuals(
                model, [p for p in points if p["part"] == part])]
            for part in ("floor", "structure", "report")
        },
        "median_residual": rest[len(rest) // 2],
        "extrapolated": [
            _extrapolated(name, plan, gpu, count, model)
            for name, plan in PLANS.items() for gpu in gpus
        ],
    }  # fmt: skip


def _extrapolated(
    name: str, plan: tuple[int, int, int], gpu: Gpu, count: int, model: CostModel
) -> dict[str, Any]:
    """Hours of a plan for many structures, on GPUs and on one core."""
    evaluations, probes, lambda_max = plan
    case = {"structures": MANY, "atoms": gpu.atoms, "edges": gpu.edges, "probes": probes,
            "places": gpu.places, "reported": MANY,
            "evaluations": MANY * evaluations, "lambda_max": lambda_max}  # fmt: skip
    return {
        "plan": name, "atoms": gpu.atoms, "structures": MANY, "gpus": count,
        "gpu_evaluation_s": gpu.evaluation, "hours": gpu.hours(case, count, model),
        "hours_one_core": model.seconds(case) / 3600,
    }  # fmt: skip


def _exponents(axis: str, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Exponents along one axis; of bare model, structure, and their difference."""
    if axis == "both":
        return []
    found = []
    for part, (x, y) in _curves(axis, points).items():
        if len(x) > 2:
            value, error = slope(x, y)
            found.append({"axis": axis, "part": part, "exponent": value, "stderr": error,
                          "from": x[0], "to": x[-1]})  # fmt: skip
    return found


def _curves(
    axis: str, points: list[dict[str, Any]]
) -> dict[str, tuple[list[float], list[float]]]:
    """What is plotted against what, by part."""
    curves: dict[str, tuple[list[float], list[float]]] = {}

    def add(part: str, x: float, y: float) -> None:
        if x > 0 and y > 0:
            known = curves.setdefault(part, ([], []))
            known[0].append(x)
            known[1].append(y)

    each = 0.0
    for point in points:
        if point["part"] == "floor":
            each = point["seconds"] / point["evaluations"]
            continue
        x = point[axis]
        floor = each * point["evaluations"]
        add(point["part"], x, point["seconds"])
        if point["part"] == "structure":
            add("floor", x, floor)
            add("reduction", x, point["seconds"] - floor)
    if axis == "probes":
        curves.pop("floor", None)  # it has none
    return curves


def tables(result: Mapping[str, Any]) -> str:
    """Markdown tables of a result.

    :param result: of the benchmark
    """
    lines = [*_of_formats(result["cases"].values())]
    lines += _of_processes(result["cases"].values())
    for axis in ("structures", "atoms", "lambda_max", "probes"):
        points = result["cases"].get(axis, {}).get("points", [])
        lines += _of_axis(axis, points)
    lines += _of_fit(result)
    return "\n".join(lines)


def _of_formats(cases: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    several = [case for case in cases if "format" in case]
    if not several:
        return
    yield (
        "| data set | structures | file (MiB) | CPU (s) | wall (s) "
        "| peak above the model's (MiB) |"
    )
    yield "|---|---:|---:|---:|---:|---:|"
    for c in several:
        yield (
            f"| {c['format']} | {c['count']:,} | {c['file_MiB']:.1f} "
            f"| {c['cpu_s']:.1f} | {c['wall_s']:.1f} "
            f"| {c['peak_MiB'] - c['before_MiB']:.0f} |"
        )


def _of_processes(cases: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    several = [c for c in cases if "structures" in c and "processes" in c]
    if not several:
        return
    yield ""
    yield "| processes | structures | wall (s) | times faster | A |"
    yield "|---:|---:|---:|---:|---:|"
    first = min(several, key=lambda c: c["processes"])
    for c in several:
        yield (
            f"| {c['processes']} | {c['structures']} | {c['wall_s']:.1f} "
            f"| {first['wall_s'] / c['wall_s']:.2f} | {c['A']:.9g} |"
        )


def _of_axis(axis: str, points: list[dict[str, Any]]) -> list[str]:
    if not points:
        return []
    lines = ["", f"| {axis} | evaluations | floor (s) | measured (s) | measured / floor |",
             "|---:|---:|---:|---:|---:|"]  # fmt: skip
    each = float("nan")
    for point in points:
        if point["part"] == "floor":
            each = point["seconds"] / point["evaluations"]
            continue
        floor = each * point["evaluations"]
        lines.append(
            f"| {point[axis]} | {point['evaluations']} | {floor:.3g} "
            f"| {point['seconds']:.3g} | {point['seconds'] / floor:.2f} |"
        )
    return [line.replace("nan", "-") for line in lines]


def _of_fit(result: Mapping[str, Any]) -> list[str]:
    if "cost_model" not in result:
        return []
    lines = ["", "| of | grows with | from | to | exponent |", "|---|---|---:|---:|---:|"]
    lines += [
        f"| {QUANTITIES[row['part']]} | {row['axis']} | {row['from']:g} | {row['to']:g} "
        f"| {row['exponent']:.2f} ± {row['stderr']:.2f} |"
        for row in result["exponents"]
    ]
    model = CostModel(**result["cost_model"])
    lines += [
        "", f"seconds = E ({model.call:.2e} + {model.place:.2e} p)"
        f" + R {model.structure:.2e} + S P m {model.channel:.2e} "
        f"λmax^({model.exponent:.2f} ± {model.exponent_error:.2f})",
        f"residuals (model / measured - 1): {result['residuals']}, "
        f"median of their sizes {result['median_residual']:.2f}", "",
        "| plan, 10^6 structures | atoms | GPUs | hours | hours of one core |",
        "|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    lines += [
        f"| {row['plan']} | {row['atoms']} | {row['gpus']} | {row['hours']:.3g} "
        f"| {row['hours_one_core']:.3g} |"
        for row in result["extrapolated"]
    ]
    return lines


def figure(result: Mapping[str, Any], path: Path) -> None:
    """Memory against structures of the data set, times against all else.

    :param result: of the benchmark
    :param path: PNG file
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullFormatter
    from PIL import Image

    image, panels = plt.subplots(1, 4, figsize=(11, 2.6), layout="constrained")
    _draw_memory(panels[0], result["cases"].values())
    for panel, axis in zip(panels[1:], ("atoms", "lambda_max", "probes"), strict=True):
        points = result["cases"].get(axis, {}).get("points", [])
        for part, (x, y) in _curves(axis, points).items():
            color = f"C{list(QUANTITIES).index(part)}"
            panel.loglog(x, y, ".-", label=QUANTITIES[part], lw=1, color=color)
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel({"lambda_max": "λmax"}.get(axis, axis))
        panel.set_ylabel(f"{result['clock']} (s)")
    if panels[1].lines:
        panels[1].legend(fontsize=7)
    image.savefig(path, dpi=70)
    plt.close(image)
    few = Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    few.save(path, optimize=True)  # a third of the size


def _draw_memory(panel: Any, cases: Iterable[Mapping[str, Any]]) -> None:
    several: dict[str, list[tuple[int, float]]] = {}
    for case in cases:
        if "format" in case:
            one = (case["count"], case["peak_MiB"])
            several.setdefault(case["format"], []).append(one)
    for kind, pairs in several.items():
        panel.semilogx(*zip(*pairs, strict=True), ".-", label=kind, lw=1)
    panel.set_ylim(bottom=0)
    panel.set_xlabel("structures of the data set")
    panel.set_ylabel("peak memory (MiB)")
    if several:
        panel.legend(fontsize=7)
