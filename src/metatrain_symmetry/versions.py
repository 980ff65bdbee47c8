"""Versions of the packages that results depend on."""

from importlib.metadata import version


PACKAGES = ("metatrain-symmetry", "metatrain", "metatomic-torch", "torch", "scipy")


def versions() -> dict[str, str]:
    """Look up what is installed.

    :return: version of each of :data:`PACKAGES`
    """
    return {package: version(package) for package in PACKAGES}
