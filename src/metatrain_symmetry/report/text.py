"""Numbers, units and names as figures and pages write them."""

import math
import re


RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float) -> str:
    """Write a number with three significant digits; it may be NaN or infinite."""
    if math.isnan(value):
        return "–"
    if math.isfinite(value) and value and not 1e-3 <= abs(value) < 1e5:
        digits, exponent = f"{value:.2e}".split("e")
        return f"{digits}×10{str(int(exponent)).translate(RAISED)}"
    if math.isinf(value):
        return "∞"
    return f"{float(f'{value:.3g}'):,.10g}"


def with_error(value: float, stderr: float) -> str:
    """Write a number and its standard error with the same digits.

    :param value: finite
    :param stderr: NaN if there is no error bar, which is then not written
    :return: such as ``0.132 ± 0.010`` or ``(3.1 ± 0.2)×10⁻⁵``
    """
    if not (math.isfinite(value) and math.isfinite(stderr) and stderr > 0):
        return f"{number(value)}{' (exact)' if stderr == 0 else ''}"
    size = max(abs(value), stderr)
    exponent = 0 if 1e-3 <= size < 1e5 else math.floor(math.log10(size))
    value, stderr = value / 10.0**exponent, stderr / 10.0**exponent
    # two digits of the error, at least those that the number would have without it
    decimals = min(max(1 - math.floor(math.log10(stderr)), 0), 6)
    text = f"{value:.{decimals}f} ± {stderr:.{decimals}f}"
    return f"({text})×10{str(exponent).translate(RAISED)}" if exponent else text


def measured(value: float, stderr: float) -> str:
    """Write a number that cannot be negative, as far as it is known.

    :param value: NaN if it was not measured
    :param stderr: its standard error, NaN if unknown
    :return: with its error, as an upper bound of two standard errors, or with the remark
        that it has no error bar
    """
    if math.isnan(value):
        return number(value)
    if not math.isfinite(stderr):
        return f"{number(value)}, no error bar"
    if stderr > 0 and value <= 2 * stderr:
        return f"below {number(max(value, 0.0) + 2 * stderr)}"
    return with_error(value, stderr)


def power(exponent: int) -> str:
    """Write a power of ten, such as ``10⁻³``; one as ``1``."""
    return f"10{str(exponent).translate(RAISED)}" if exponent else "1"


def count(number: int, thing: str) -> str:
    """Write how many there are, such as ``1 probe`` or ``2 probes``."""
    return f"{number} {thing}" + "s" * (number != 1)


def unit(name: str) -> str:
    """Write a unit as in print: ``eV/A^3`` as ``eV/Å³``."""
    name = re.sub(r"\bA(ngstrom)?\b", "Å", name)
    return name.replace("^2", "²").replace("^3", "³")


def plain(name: object, length: int = 200) -> str:
    """Prepare a name for matplotlib, which would read dollars as mathematics.

    :param name: any name
    :param length: a longer one is cut in its middle, where it says least
    :return: the same to the eye
    """
    text = str(name)
    if len(text) > length:
        left = (length - 1) // 2
        text = text[:left] + "…" + text[len(text) - (length - 1 - left) :]
    return text.replace("$", r"\$")
