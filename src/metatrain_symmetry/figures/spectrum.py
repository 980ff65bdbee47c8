"""The spectrum of each output: share of every irrep against its degree."""

import math
import re
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from ..group.irreps import Irrep
from ..measure.report import Report
from ..orbit import probes
from . import style


FLOOR = 1e-10
RESIDUAL = "residual"
# the way through the network; an unknown group comes before the predictions
*GROUPS, LAST = probes.GROUPS
OFFSET = {1: -0.13, -1: 0.13}


@dataclass(frozen=True)
class Channel:
    """Weight of one irrep, or of all beyond the largest degree.

    :param name: ``(1,+)`` or ``residual``
    :param share: of the mean square
    :param stderr: of the share, NaN if unknown
    :param strength: ``B``, in squared units of the probe
    """

    name: str
    share: float
    stderr: float
    strength: float

    @property
    def within_error(self) -> bool:
        """Whether it cannot be told from zero."""
        return self.share < 2 * self.stderr


@dataclass(frozen=True)
class Spectrum:
    """All channels of one probe.

    :param probe: its name
    :param group: where in the network
    :param kind: ``output`` or ``layer``
    :param converged: as measured
    :param channels: by name
    """

    probe: str
    group: str
    kind: str
    converged: bool
    channels: dict[str, Channel]

    @property
    def irreps(self) -> dict[Irrep, Channel]:
        """Channels that are an irrep."""
        return {Irrep.parse(n): c for n, c in self.channels.items() if n != RESIDUAL}


def read_spectra(report: Report) -> list[Spectrum]:
    """Collect the rows of each probe, in the order of the network.

    :param report: what was measured
    :return: one spectrum per probe
    """
    spectra = []
    # a head may share its name with the output it makes
    keys = ["probe", "kind", "group"]
    # a probe without a group is not to be lost
    table = report.characters.fillna({"kind": "", "group": ""})
    for key, rows in table.groupby(keys, sort=False):
        name, kind, group = map(str, key)
        channels = {
            str(channel): Channel(
                str(channel), float(share), float(stderr), float(strength)
            )
            for channel, share, stderr, strength in zip(
                rows["channel"], rows["share"], rows["stderr"], rows["B"], strict=True
            )
        }
        converged = bool(rows["converged"].all())
        spectra.append(Spectrum(name, group or "other", kind, converged, channels))
    found = list(dict.fromkeys(s.group for s in spectra))
    order = [*GROUPS, *(g for g in found if g not in GROUPS and g != LAST), LAST]
    return sorted(spectra, key=lambda s: order.index(s.group))


def largest_degree(spectra: list[Spectrum]) -> int:
    """Find the last column.

    :param spectra: of all probes
    :return: the largest λ
    """
    return max((i.o3_lambda for s in spectra for i in s.irreps), default=0)


def needed_irreps(report: Report, probe: str) -> set[Irrep]:
    """Look up what a symmetric prediction would be made of.

    :param report: its table of equivariance errors lists the blocks of each target
    :param probe: an output, named as a target or as one block of it
    :return: irreps; empty if no target goes by this name
    """
    named = re.search(r"\(\d+,[+-]\)$", probe)
    if named:
        return {Irrep.parse(named[0])}
    table = report.equivariance
    rows = table[table["target"].astype(str) == probe]
    return {
        Irrep(int(degree), int(sigma))
        for degree, sigma in zip(rows["o3_lambda"], rows["o3_sigma"], strict=True)
    }


@style.context()
def draw_spectrum(report: Report) -> Figure | None:
    """Draw one panel per output.

    :param report: what was measured
    :return: the figure; nothing if no output was probed
    """
    spectra = [s for s in read_spectra(report) if s.kind == "output"]
    if not spectra:
        return None
    columns = min(len(spectra), 3 if len(spectra) != 4 else 2)
    rows = math.ceil(len(spectra) / columns)
    figure = style.new_figure(
        max(4.3 * columns, 7.5),
        3.5 * rows + 0.35,
        "What the predictions are made of",
        style.describe(report),
    )
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    degree = largest_degree(spectra)
    for axes, spectrum in zip(grid, spectra, strict=False):
        _panel(axes, spectrum, needed_irreps(report, spectrum.probe), degree)
    for axes in grid[len(spectra) :]:
        axes.remove()
    for first in range(0, len(spectra), columns):
        grid[first].set_ylabel("share of the mean square  B / ⟨|h|²⟩")
    style.shared_legend(figure)
    return figure


def _panel(axes: Axes, spectrum: Spectrum, needed: set[Irrep], degree: int) -> None:
    """Both parities, the irreps of the target, the residual."""
    axes.set_yscale("log")
    axes.set_ylim(FLOOR / 2, 4)
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.grid(axis="y")
    for irrep in sorted(needed):
        centre = irrep.o3_lambda + OFFSET[irrep.o3_sigma]
        axes.axvspan(
            centre - 0.22, centre + 0.22, color=style.NEEDED, alpha=0.55, lw=0,
            label="irreps of the target",
        )  # fmt: skip
    _series(axes, spectrum, 1, "o", style.PROPER, "proper  σ = +")
    _series(axes, spectrum, -1, "s", style.PSEUDO, "pseudo  σ = −")
    _residual(axes, spectrum, degree)
    axes.set_xticks([*range(degree + 1), degree + 1.5])
    axes.set_xticklabels([*map(str, range(degree + 1)), f"> {degree}"])
    axes.set_xlim(-0.6, degree + 2.1)
    axes.set_xlabel("degree λ of the irrep")
    made = " + ".join(map(str, sorted(needed)))
    title = style.plain(style.shorten(spectrum.probe, 40))
    if made and not spectrum.probe.endswith(made):
        title += f"   {made}"
    axes.set_title(title, loc="left", fontweight="bold")
    if not spectrum.converged:
        axes.text(
            0.98, 0.97, "not converged", color=style.WARNING, fontweight="bold",
            ha="right", va="top", transform=axes.transAxes,
        )  # fmt: skip


def _series(
    axes: Axes, spectrum: Spectrum, sigma: int, marker: str, color: str, label: str
) -> None:
    """One parity; what cannot stand on a log axis is an arrow at the floor."""
    points = sorted((i, c) for i, c in spectrum.irreps.items() if i.o3_sigma == sigma)
    seen = [(i, c) for i, c in points if c.share > FLOOR]
    x = [i.o3_lambda + OFFSET[sigma] for i, _ in seen]
    y = [c.share for _, c in seen]
    bars = [_bar(c) for _, c in seen]
    axes.errorbar(
        x, y, yerr=list(zip(*bars, strict=True)) or None, color=color, marker=marker,
        ms=5.5, mfc=color if sigma == 1 else "white", lw=0.9, elinewidth=1.3, capsize=2.5,
        ls="-" if sigma == 1 else "--", label=label,
    )  # fmt: skip
    low = [i.o3_lambda + OFFSET[sigma] for i, c in points if c.share <= FLOOR]
    if low:
        axes.plot(
            low, [FLOOR] * len(low), ls="", marker=7, ms=6, color=color,
            label=f"at most {FLOOR:.0e} ({'proper' if sigma == 1 else 'pseudo'})",
        )  # fmt: skip


def _bar(channel: Channel) -> tuple[float, float]:
    """Lengths of an error bar; downwards it ends at the floor."""
    if not math.isfinite(channel.stderr):
        return 0.0, 0.0
    return min(channel.stderr, channel.share - FLOOR / 2), channel.stderr


def _residual(axes: Axes, spectrum: Spectrum, degree: int) -> None:
    """What lies beyond the largest degree, as a bar at the right."""
    axes.axvline(degree + 0.75, color="#BBBBBB", lw=0.8, ls=":")
    residual = spectrum.channels.get(RESIDUAL)
    if residual is None or not math.isfinite(residual.share):
        return
    height = max(residual.share, FLOOR)
    seen = residual.share > FLOOR and math.isfinite(residual.stderr)
    stderr = residual.stderr if seen else 0.0
    axes.bar(
        degree + 1.5, height - FLOOR / 2, bottom=FLOOR / 2, width=0.7, color="white",
        edgecolor=style.RESIDUAL, hatch="////", label="residual: beyond λmax",
        yerr=[[min(stderr, height - FLOOR / 2)], [stderr]], ecolor=style.LINE, capsize=2.5,
    )  # fmt: skip
