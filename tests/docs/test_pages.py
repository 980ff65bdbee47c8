"""README and documentation: what they name exists, and what they show can be typed."""

import argparse
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import metatrain.__main__
import pytest
import yaml
from metatrain.utils.architectures import check_architecture_options, get_default_hypers
from omegaconf import OmegaConf
from pages import DOCS, ROOT, TUTORIALS, blocks, commands

from metatrain_symmetry.training import complete as complete_symmetry


README = ROOT / "README.md"
DOCUMENTATION = [p for p in sorted(DOCS.rglob("*.md")) if DOCS / "build" not in p.parents]
OTHERS = [
    ROOT / name
    for name in (
        "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md",
        "benchmarks/studies/README.md", "data/README.md",
    )
]  # fmt: skip
PAGES = [README, *DOCUMENTATION, *OTHERS]
SHOWN = [README, *DOCUMENTATION, *OTHERS[2:]]
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[[^]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"(?<![\w./-])(?:configs|data|benchmarks|docs|src|tests)/[\w./*-]*\w")
MADE = ("benchmarks/runs", "data/generated", "docs/build", "benchmarks/data")
RETIRED = re.compile(r"\b(mend\w*|turned|told|so many)\b", re.IGNORECASE)
PROGRAMS = ("mtt", "make", "pip", "python", "torchrun", "export")


def name(page):
    return str(page.relative_to(ROOT))


def prose(page):
    """Text without fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def shown(page):
    """Every command that a page shows, in blocks and within lines."""
    found = [line for b in blocks(page) if b.language == "bash" for line in commands(b)]
    found += re.findall(r"^    (\S+ .*)$", prose(page), re.MULTILINE)
    found += [code for code in CODE.findall(prose(page)) if len(code.split()) > 2]
    return [line for line in found if line.split()[0] in PROGRAMS]


def test_readme_is_short():
    assert len(README.read_text().split()) <= 700


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links(page):
    text = page.read_text()
    for target in LINK.findall(text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


def anchors(page):
    """Headings of a page as GitHub and MyST make anchors of them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", head.lower()) for head in heads]
    return [head.strip().replace(" ", "-") for head in kept]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named(page):
    for code in [*CODE.findall(prose(page)), *(b.text for b in blocks(page))]:
        for path in PATH.findall(code):
            parts = ["*" if part.isupper() else part for part in path.split("/")]
            assert path.startswith(MADE) or list(ROOT.glob("/".join(parts))), path


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted((ROOT / "configs").glob("*.yaml"))], ids=name
)
def test_words(page):
    found = RETIRED.search(page.read_text())
    assert found is None, found


class Parsed(Exception):
    """The arguments were understood."""


@pytest.fixture
def parse(monkeypatch):
    """Give a command to the parser that it would meet, and stop there."""
    original = argparse.ArgumentParser.parse_args

    def understood(self, arguments=None, namespace=None):
        raise Parsed(original(self, arguments, namespace))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", understood)
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))

    def run(action, arguments):
        monkeypatch.setattr(sys, "argv", arguments)
        try:
            action()
        except Parsed:
            return
        except ModuleNotFoundError as error:
            pytest.skip(f"the extra `datasets` is not installed: {error}")
        except SystemExit as stop:  # 0 after --help
            if stop.code == 0:
                return
        pytest.fail(f"not understood: {arguments}")

    return run


def check_pip(arguments):
    text = (ROOT / "pyproject.toml").read_text()
    section = text.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    known = set(re.findall(r"^(\w+) = \[", section, re.MULTILINE))
    assert (ROOT / arguments[arguments.index("-c") + 1]).is_file()
    for extras in re.findall(r"\[([\w,]+)\]", arguments[-1]):
        assert set(extras.split(",")) <= known


def check(command, parse):
    """Let a command be parsed by what would run it."""
    words = shlex.split(command, comments=True)
    while len(words) > 1 and "=" in words[0]:  # variables of the environment
        words = words[1:]
    program, *arguments = words
    if program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(arguments) <= set(targets), command
    elif program == "pip":
        check_pip(arguments)
    elif program == "mtt":
        parse(metatrain.__main__.main, words)
    elif program in ("python", "torchrun"):
        if "-m" not in arguments:
            script = arguments[0]
            parse(lambda: runpy.run_path(script, run_name="__main__"), arguments)
            return
        module, *rest = arguments[arguments.index("-m") + 1 :]
        if module == "metatrain_symmetry" and rest:
            parse(metatrain.__main__.main, ["mtt", *rest])
        elif module != "metatrain_symmetry":
            parse(lambda: runpy.run_module(module, run_name="__main__"), [module, *rest])
    else:
        assert program == "export", command


@pytest.mark.parametrize(
    ("page", "command"),
    [(page, command) for page in SHOWN for command in dict.fromkeys(shown(page))],
    ids=lambda value: name(value) if isinstance(value, Path) else value,
)
def test_command(page, command, parse):
    check(command, parse)


def test_a_command_that_is_wrong(parse, capsys):
    for command in (
        "mtt symmetry model.ckpt test.xyz -o report --lambda_max 4",
        "mtt train",
        "python -m benchmarks.studies.pes --quickly",
    ):
        with pytest.raises(pytest.fail.Exception):
            check(command, parse)
        capsys.readouterr()


@pytest.mark.parametrize("page", [README, *DOCUMENTATION], ids=name)
def test_options_that_are_shown(page):
    for block in blocks(page):
        if block.language == "yaml":
            options = yaml.safe_load(block.text)
            if "architecture" in options:
                given = options["architecture"]
                # under any architecture: metatrain never sees this section
                complete_symmetry(given.get("training", {}).pop("symmetry", None))
                complete = OmegaConf.merge(get_default_hypers(given["name"]), given)
                check_architecture_options(given["name"], OmegaConf.to_container(complete))


@pytest.mark.parametrize(
    "page", [p for p in DOCUMENTATION if p.parent != TUTORIALS], ids=name
)
def test_python_that_is_shown(page):
    for block in blocks(page):
        if block.language == "python":
            exec(compile(block.text, str(page), "exec"), {"__name__": page.stem})


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The pages, built as ``make docs`` does."""
    pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
    folder = tmp_path_factory.mktemp("built")
    process = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html",
         str(DOCS), str(folder)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr
    return folder


def test_pages_are_built_without_a_warning(built):
    for page in DOCUMENTATION:
        assert (built / page.relative_to(DOCS)).with_suffix(".html").is_file()
    # formulas are drawn by the browser, not left as they were written
    formulas = re.findall(r"<math.*?</math>", (built / "numbers.html").read_text())
    assert len(formulas) > 10
    assert not any("\\" in formula for formula in formulas)


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("metatrain_symmetry.training.options", "SymmetryHypers"),
        ("metatrain_symmetry.purify.options", "PurifyHypers"),
        ("metatrain_symmetry.pet_ssh.documentation", "GeometryEmbeddingHypers"),
        ("metatrain_symmetry.measure.settings", "Settings"),
    ],
)
def test_every_option_is_in_the_table(built, module, options):
    text = (built / "reference" / "options.html").read_text()
    found = getattr(sys.modules.get(module) or __import__(module, fromlist="x"), options)
    for option in found.__annotations__:
        if option != "model_config":
            assert f'<span class="pre">{option}</span>' in text, option


def test_help_of_the_commands_is_there(built):
    text = (built / "reference" / "commands.html").read_text()
    assert "usage: mtt symmetry" in text
    assert "usage: mtt purify" in text
    assert "--lambda-max" in text
