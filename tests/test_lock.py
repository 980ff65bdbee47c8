"""``constraints.txt`` pins everything that the tests run against."""

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


ROOT = Path(__file__).parents[1]


def pins():
    """Version of each package that is pinned for this Python."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate():
                (one,) = requirement.specifier
                assert one.operator == "==", line
                found[canonicalize_name(requirement.name)] = one.version
    return found


def project():
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def installed(name):
    """Version of a package, None if it is not there."""
    try:
        return importlib.metadata.version(name).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def needed():
    """Names of the packages that ours needs, directly and through others."""
    ours = project()
    extras = ours["optional-dependencies"]
    first = ours["dependencies"] + [
        t for n in ("tests", "wandb", "docs") for t in extras[n]
    ]
    requirements = [Requirement(text) for text in first]
    found = {
        (canonicalize_name(one.name), frozenset())
        for one in requirements
        if one.marker is None or one.marker.evaluate()
    }
    todo = list(found)
    while todo:
        current, wanted = todo.pop()
        if installed(current) is None:
            continue
        for text in importlib.metadata.requires(current) or []:
            requirement = Requirement(text)
            marker = requirement.marker
            environments = [{"extra": extra} for extra in wanted or {""}]
            if marker is not None and not any(map(marker.evaluate, environments)):
                continue
            entry = canonicalize_name(requirement.name), frozenset(requirement.extras)
            if entry not in found and not re.match("nvidia-|triton|cuda-", entry[0]):
                found.add(entry)
                todo.append(entry)
    return {name for name, _ in found}


def test_everything_is_pinned_as_installed():
    known = pins()
    names = needed()
    assert len(names) > 50
    assert names <= set(known)
    for name in names:
        # the extra `docs` need not be there
        assert installed(name) in (known[name], None), name


def test_bounds_of_the_package_take_the_pins():
    known = pins()
    for text in project()["dependencies"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(known[canonicalize_name(requirement.name)])
