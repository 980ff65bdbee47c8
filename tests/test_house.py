"""The rooms of the package: who may import whom, what is public, how long functions are."""

import ast
import importlib
from pathlib import Path

import pytest

import metatrain_symmetry


PACKAGE = Path(metatrain_symmetry.__file__).parent

ROOMS = (
    "groups", "models", "data", "measure", "symmetrise", "purify", "report", "training",
    "finetune", "api", "pet_ssh", "cli", "plugin",
)  # fmt: skip
"""From the ground up: a room may import rooms that come before it."""

APART = {
    ("report", "purify"), ("purify", "symmetrise"), ("report", "symmetrise"),
    ("cli", "pet_ssh"),
}  # fmt: skip
"""Neighbours on one floor, which know nothing of each other."""

BELOW_ALL = {
    "io", "messages", "options", "places", "processes", "progress", "versions",
}  # fmt: skip
"""Modules that serve every room and know none of them."""

LONGEST = 40
"""Lines of a function without its docstring; about 30 is what we aim at."""


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported_rooms(path):
    """Rooms and root modules that a module imports, also inside of functions."""
    package = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = package[: len(package) - node.level + 1]
        names = [*base, *(node.module or "").split(".")] if node.module else list(base)
        if names:
            yield names[0]
        else:  # from .. import io
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_downwards_only(path):
    room = room_of(path)
    if room.startswith("__"):  # the face, and the command
        return
    for other in imported_rooms(path):
        if other == room:
            continue
        if room in BELOW_ALL:
            assert other in BELOW_ALL, f"{path.name} serves all rooms, and knows '{other}'"
            continue
        assert other in (*ROOMS, *BELOW_ALL), f"there is no room '{other}'"
        if other in ROOMS:
            assert ROOMS.index(other) < ROOMS.index(room), f"'{room}' imports '{other}'"
            assert (room, other) not in APART, f"'{room}' imports '{other}'"


def test_every_folder_is_a_room():
    folders = {p.parent.relative_to(PACKAGE).parts[0] for p in PACKAGE.rglob("*.py")
               if p.parent != PACKAGE}  # fmt: skip
    assert folders == set(ROOMS)


def test_functions_can_be_read_in_a_sitting():
    long = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and node.end_lineno - body[0].lineno >= LONGEST:
                    long.append(f"{path.relative_to(PACKAGE)}: {node.name}")
    assert long == ["cli/symmetry.py: add_arguments"]  # one line for each argument


def test_everything_public_is_in_the_face():
    names = metatrain_symmetry.__all__
    assert sorted(set(names)) == sorted(names)
    assert set(names) < set(dir(metatrain_symmetry))
    for name in names:
        found = getattr(metatrain_symmetry, name)
        home = importlib.import_module(
            f"metatrain_symmetry.{metatrain_symmetry._HOMES[name]}"
        )
        assert getattr(home, name) is found
        assert found.__doc__, name
    assert set(metatrain_symmetry._HOMES) == set(names)
    with pytest.raises(AttributeError, match="no attribute 'symetry_report'"):
        _ = metatrain_symmetry.symetry_report


def test_type_checkers_see_what_is_public():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in block.body for alias in node.names}
    assert seen == set(metatrain_symmetry.__all__)
    assert (PACKAGE / "py.typed").is_file()
