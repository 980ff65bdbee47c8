"""Spectra as the figures read them from the table of characters."""

import math
import re
from dataclasses import dataclass

from ..groups.irreps import Irrep
from ..measure.results import Report
from ..models.pet import probes


FLOOR = 1e-10
RESIDUAL = "residual"
# the way through the network; an unknown group comes before the predictions
*GROUPS, LAST = probes.GROUPS


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
    def known(self) -> bool:
        """Whether it was measured."""
        return math.isfinite(self.share)

    @property
    def has_error_bar(self) -> bool:
        """Whether its standard error is known; if not, it is not zero."""
        return math.isfinite(self.stderr)

    @property
    def below(self) -> bool:
        """Whether it is not above two standard errors: only its bound is known."""
        return self.known and self.stderr > 0 and self.share <= 2 * self.stderr

    @property
    def bound(self) -> float:
        """What it is below, at two standard errors."""
        return max(self.share, 0.0) + 2 * self.stderr

    @property
    def shown(self) -> float:
        """The number to draw: the share, or the bound where only that is known."""
        return self.bound if self.below else self.share


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
    if table.empty:
        return set()
    rows = table[table["target"].astype(str) == probe]
    return {
        Irrep(int(degree), int(sigma))
        for degree, sigma in zip(rows["o3_lambda"], rows["o3_sigma"], strict=True)
    }
