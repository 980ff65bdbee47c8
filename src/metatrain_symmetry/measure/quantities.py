"""What every number of a report is: one table as data.

The page, the documentation and whoever reads the CSV files print from here, so that a
quantity is explained in the same words everywhere.
"""

from dataclasses import astuple, dataclass, fields


@dataclass(frozen=True)
class Quantity:
    """One quantity.

    :param name: as users read it
    :param column: in ``equivariance.csv`` or ``characters.csv``, empty where derived
    :param meaning: one sentence
    :param components: over the components of an irrep: a mean, a sum, or nothing
    :param per: what one value belongs to
    :param average: which average it is
    :param unit: of the values
    :param metatrain: what metatrain calls it, empty if nothing
    """

    name: str
    column: str
    meaning: str
    components: str
    per: str
    average: str
    unit: str
    metatrain: str = ""


_RMS = "root mean square over the orbit, samples, properties and components"
_COMPONENT = "per component"
_BLOCK = "structure and irrep block"
_ORBIT = "all rotations and inversions of the structure"

QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "A", "A",
        "Equivariance error: how far the prediction, rotated back, scatters about its "
        "mean over orientations. Zero exactly if the model is equivariant.",
        _COMPONENT, _BLOCK, _RMS, "that of the target", "equivariance RMSE",
    ),
    Quantity(
        "error bar of A", "A_stderr",
        "Standard error of A from the choice of rotations. Empty: there is no error bar, "
        "which does not mean that it is zero. In averages over four or more structures, "
        "their scatter stands in for a missing one, and is larger.",
        _COMPONENT, _BLOCK, "standard error", "that of the target",
    ),
    Quantity(
        "error", "error",
        "Error of the prediction in the orientation in which the structure is given: what "
        "'mtt eval' reports.",
        _COMPONENT, _BLOCK, "root mean square over samples, properties and components",
        "that of the target", "RMSE",
    ),
    Quantity(
        "averaged error", "error_averaged",
        "Error of the prediction averaged over orientations: what is left of the error "
        "once the asymmetry is averaged away.",
        _COMPONENT, _BLOCK, "root mean square over samples, properties and components",
        "that of the target", "O3-averaged RMSE",
    ),
    Quantity(
        "oriented error", "",
        "Error that the model makes on randomly oriented copies: its square is exactly "
        "A² + averaged error².",
        _COMPONENT, _BLOCK, _RMS, "that of the target", "oriented RMSE",
    ),
    Quantity(
        "share of the squared error", "",
        "A² / oriented error²: the part of the squared error that is asymmetry and would "
        "vanish if predictions were averaged over orientations.",
        "a ratio", "irrep block, over all structures with a target",
        "ratio of mean squares over the same structures", "1",
    ),
    Quantity(
        "A / error", "",
        "A over the error in the given orientation.",
        "a ratio", "irrep block, over all structures with a target",
        "in averages: root mean square over root mean square of the same structures; in "
        "medians: median of the ratios of single structures", "1",
    ),
    Quantity(
        "norm", "norm",
        "Size of the prediction without the composition baseline.",
        _COMPONENT, _BLOCK, _RMS, "that of the target",
    ),
    Quantity(
        "norm of the target", "target_norm",
        "Size of the target without the composition baseline.",
        _COMPONENT, _BLOCK, "root mean square over samples, properties and components",
        "that of the target",
    ),
    Quantity(
        "norm ratio", "",
        "Norm of the prediction averaged over orientations, over the norm of the target: "
        "near 0 where nothing was learned, near 1 where the size is right.",
        "a ratio", "irrep block, over all structures with a target",
        "root mean square over root mean square of the same structures", "1",
    ),
    Quantity(
        "rounding", "noise",
        "A that rounding alone gives in the precision of the model: a smaller A is zero.",
        _COMPONENT, _BLOCK, "root mean square", "that of the target",
    ),
    Quantity(
        "sampling", "sampling",
        "Scatter of the prediction in one orientation over random numbers (sampling, "
        "grouping) that A does not hold, since they are the same in all orientations. Only "
        "for modules that draw random numbers.",
        _COMPONENT, _BLOCK, "root mean square deviation from the mean over random numbers, "
        "with nothing frozen", "that of the target",
    ),
    Quantity(
        "per atom", "A_per_atom",
        "A, error and averaged error of targets that grow with the structure (energies), "
        "divided by its number of atoms, as metatrain does. Stresses and per-atom targets "
        "are not divided.",
        _COMPONENT, _BLOCK, "as the undivided value", "that of the target, such as eV/atom",
        "(per atom)",
    ),
    Quantity(
        "(0,+) of a stress", "",
        "trace/sqrt(3) of the tensor. The pressure is -trace/3, so its A and errors are "
        "smaller by sqrt(3).",
        "one component", _BLOCK, "as A and error", "that of the stress",
    ),
    Quantity(
        "(2,+) of a stress", "",
        "The deviatoric (symmetric, traceless) part of the tensor, in five orthonormal "
        "components.",
        _COMPONENT, _BLOCK, "as A and error", "that of the stress",
    ),
    Quantity(
        "B", "B",
        "Character projection: the part of the mean square of an output or layer that "
        "transforms like one irrep when the structure is rotated and inverted.",
        "summed", "probe and irrep, per sample (atom, edge or structure)",
        f"mean over {_ORBIT}, samples and structures", "that of the probe, squared",
    ),
    Quantity(
        "share", "share",
        "B over the mean square of the output or layer. The shares of all irreps and the "
        "residual sum to 1.",
        "summed", "probe and irrep", "ratio of means over structures", "1",
    ),
    Quantity(
        "error bar of a share", "stderr",
        "Standard error of the share from the choice of rotations and structures. Empty: "
        "there is no error bar. A share below two of them is reported as 'below share + 2 "
        "error bars'.",
        "summed", "probe and irrep", "standard error", "1",
    ),
    Quantity(
        "residual", "share",
        "What is left of the mean square beyond the largest λ of the spectrum, in the row "
        "of the channel 'residual'.",
        "summed", "probe", "ratio of means over structures", "1",
    ),
    Quantity(
        "converged", "converged",
        "Whether the residual, two error bars included, is at most the tolerance.",
        "a statement", "probe", "", "",
    ),
)  # fmt: skip
"""Every quantity of a report, in the order in which it should be explained."""

SPECTRUM_NOTE = (
    "A spectrum shows how a prediction changes when the structure is rotated, not whether "
    "it changes correctly: an empty band means that nothing leaks there, but a part of A "
    "can lie inside the band of the target's own irrep, as (1,+) for forces. A alone says "
    "how far a model is from equivariance."
)
"""To be said wherever a spectrum is explained."""

ERROR_NAMES = (
    "'error' is taken in the orientation in which each structure is given (metatrain's "
    "RMSE), 'averaged error' is that of the prediction averaged over orientations "
    "(O3-averaged RMSE), and sqrt(A² + averaged error²) is the oriented RMSE."
)
"""The three errors in one sentence."""


def quantities_table() -> list[dict[str, str]]:
    """The table of quantities, row by row.

    :return: for each quantity its fields by name
    """
    names = [field.name for field in fields(Quantity)]
    return [dict(zip(names, astuple(q), strict=True)) for q in QUANTITIES]
