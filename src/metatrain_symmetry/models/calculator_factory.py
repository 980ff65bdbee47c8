"""Makes a calculator of ASE from the text of a command line. Evaluates literals only."""

import ast
import importlib
import os
import sys
from types import ModuleType
from typing import Any

from ..messages import did_you_mean, quoted, reason
from .ase_calculator import is_calculator


FORM = "package.module:factory(argument=value)"
"""How a calculator is written."""


def calculator_from(text: str) -> Any:
    """Make a calculator.

    Modules of the current folder are found too, as with ``python -m``.

    :param text: such as ``ase.calculators.lj:LennardJones(sigma=3.4)``; the arguments are
        literals of Python, and without arguments the brackets may be left out
    :raises ValueError: if it cannot be read, imported or called, or makes no calculator
    :return: the calculator
    """
    module_name, names, arguments, options = _parsed(text)
    found: Any = _module(module_name, text)
    for name in names:
        if not hasattr(found, name):
            near = did_you_mean(name, [n for n in dir(found) if not n.startswith("_")][:30])
            raise ValueError(f"--calculator: '{module_name}' has no '{name}': {near}")
        found = getattr(found, name)
    if not callable(found):
        raise ValueError(
            f"--calculator: '{'.'.join(names)}' of '{module_name}' cannot be called: name "
            "a class or a function that makes a calculator"
        )
    try:
        calculator = found(*arguments, **options)
    except Exception as error:
        raise ValueError(
            f"--calculator: {quoted(text)} cannot be made ({_in_words(error)}): correct "
            "its arguments"
        ) from error
    if not is_calculator(calculator):
        raise ValueError(
            f"--calculator: {quoted(text)} makes {_one(calculator)}, which is no "
            "calculator of ASE: name what makes one"
        )
    return calculator


def _parsed(text: str) -> tuple[str, list[str], list[Any], dict[str, Any]]:
    """Module, names in it, arguments."""
    module, colon, call = text.strip().partition(":")
    if not colon or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"--calculator is {quoted(text)}: write {FORM}")
    try:
        tree = ast.parse(call.strip(), mode="eval").body
        function = tree.func if isinstance(tree, ast.Call) else tree
        names = _dotted(function)
        given = tree.args if isinstance(tree, ast.Call) else []
        keywords = tree.keywords if isinstance(tree, ast.Call) else []
        arguments = [ast.literal_eval(value) for value in given]
        options = {str(one.arg): ast.literal_eval(one.value) for one in keywords}
        if any(one.arg is None for one in keywords):
            raise ValueError("** is no literal")
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(
            f"--calculator is {quoted(text)}: write {FORM}, with literals such as 3.4, "
            "'text' or [1, 2] for the arguments"
        ) from error
    return module, names, arguments, options


def _dotted(node: ast.expr) -> list[str]:
    """Names of ``a.b.c``."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        return [*_dotted(node.value), node.attr]
    raise ValueError("no name")


def _module(name: str, text: str) -> ModuleType:
    """Import a module, also from the current folder."""
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{name}.".startswith(f"{missing}."):
            raise ValueError(
                f"--calculator: there is no module '{missing}': install its package, or "
                f"correct {quoted(text)}"
            ) from error
        raise ValueError(
            f"--calculator: '{name}' cannot be imported ({_in_words(error)}): correct it"
        ) from error
    finally:
        if added:
            sys.path.remove(here)


def _one(thing: Any) -> str:
    """Kind of a thing, with its article."""
    name = type(thing).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _in_words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.strerror}: '{error.filename}'"
    return f"{type(error).__name__}, {reason(error)}"
