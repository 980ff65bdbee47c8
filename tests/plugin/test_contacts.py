"""Every contact of ours with metatrain, by name: an upgrade has to fail loudly here."""

import argparse
import importlib
import importlib.resources
import inspect
import logging
import sys
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import metatrain
import pytest
import torch  # noqa: F401  (this is what starts the plugin)
from metatrain import PACKAGE_ROOT
from metatrain.utils import architectures, io, pydantic
from omegaconf import OmegaConf

from metatrain_symmetry.pet_ssh import preflight
from metatrain_symmetry.plugin import commands, hook, patches, watched


TRAIN_PARAMETERS = [
    "options",
    "output",
    "extensions",
    "checkpoint_dir",
    "restart_from",
]
REPLACED = [
    ("utils.architectures", "find_all_architectures", [], "patch_architectures"),
    ("utils.architectures", "get_architecture_path", ["name"], "patch_architectures"),
    ("utils.architectures", "get_architecture_name", ["path"], "patch_architectures"),
    ("cli.export", "_add_export_model_parser", ["subparser"], "patch_export"),
    ("cli.export", "_prepare_export_model_args", ["args"], "patch_export"),
    ("cli.export", "export_model", None, "patch_export"),
    ("cli.train", "train_model", TRAIN_PARAMETERS, "patch_train"),
    ("cli.train", "_setup_wandb_logging", ["logger", "args"], "patch_train"),
]
BOUND_BY_NAME = [
    ("utils.io", "utils.architectures", "find_all_architectures"),
    ("__main__", "cli.export", "_add_export_model_parser"),
    ("__main__", "cli.export", "_prepare_export_model_args"),
    ("__main__", "cli.export", "export_model"),
    ("__main__", "cli.train", "train_model"),
    ("__main__", "cli.train", "_setup_wandb_logging"),
]
FUNCTIONS = [row[:2] for row in REPLACED] + [row[::2] for row in BOUND_BY_NAME]


# ---------------------------------------------------------------- what we rely on


def test_entry_point() -> None:
    names = [entry.value for entry in entry_points(group="torch.backends")]
    assert "metatrain_symmetry.plugin.hook:install" in names, (
        "the entry point that starts hook.install() is not installed"
    )
    assert any(isinstance(f, hook.PatchingFinder) for f in sys.meta_path), (
        "import torch no longer calls the entry points of torch.backends: "
        "hook.install() was not called"
    )


def test_package_path() -> None:
    assert isinstance(metatrain.__path__, list), (
        "metatrain.__path__ is no longer a list: patches.patch_package appends to it"
    )
    spec = find_spec("metatrain.pet_ssh")
    assert spec is not None
    assert Path(spec.origin).parent == patches.SHIMS / "pet_ssh"


@pytest.mark.parametrize(("module", "name", "parameters", "user"), REPLACED)
def test_replaced_function(
    module: str, name: str, parameters: list[str] | None, user: str
) -> None:
    function = getattr(importlib.import_module(f"metatrain.{module}"), name, None)
    assert function is not None, (
        f"metatrain.{module}.{name} is gone: patches.{user} replaces it"
    )
    assert hasattr(function, patches._MARK), f"patches.{user} did not replace {name}"
    found = list(inspect.signature(function).parameters)
    if parameters is not None:
        assert found == parameters, (
            f"metatrain.{module}.{name} changed its parameters: patches.{user} "
            f"expects {parameters}, found {found}"
        )


@pytest.mark.parametrize(("module", "origin", "name"), BOUND_BY_NAME)
def test_bound_by_name(module: str, origin: str, name: str) -> None:
    bound = getattr(importlib.import_module(f"metatrain.{module}"), name, None)
    replaced = getattr(importlib.import_module(f"metatrain.{origin}"), name)
    assert bound is replaced, (
        f"metatrain.{module} no longer uses our {name} of metatrain.{origin}: "
        "patches._replace relies on it"
    )


def test_architectures_are_folders_of_the_package() -> None:
    original = architectures.find_all_architectures.__wrapped__()
    assert "pet" in original
    assert not set(patches.ARCHITECTURES) & set(original), (
        "metatrain finds our architectures by itself: patches.patch_architectures "
        "may be superfluous"
    )
    path = architectures.get_architecture_path("pet")
    assert path == PACKAGE_ROOT / "pet", (
        f"get_architecture_path('pet') is {path}: patches.patch_architectures returns "
        "a folder for ours in the same way"
    )


def test_validation_link() -> None:
    error_class = pydantic.MetatrainArchitectureValidationError
    link = getattr(error_class, "architecture_link", None)
    assert hasattr(link, patches._MARK), (
        "MetatrainArchitectureValidationError.architecture_link is gone, or no longer "
        "replaced by patches.patch_pydantic"
    )
    original = link.__wrapped__
    assert list(inspect.signature(original).parameters) == ["self", "cls"], (
        "architecture_link changed its parameters: patches.patch_pydantic"
    )
    of_pet = error_class.for_architecture("pet")(None, [])
    assert of_pet.architecture_link("ModelHypers").startswith("https://"), (
        "metatrain's own links changed: patches.patch_pydantic leaves them alone"
    )


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("O3Augmenter", "O3Augmenter(\n"),
        ("LossAggregator", "LossAggregator(targets="),
        ("build_train_dataloaders", "build_train_dataloaders(\n"),
    ],
)
def test_names_that_the_penalty_replaces(name: str, call: str) -> None:
    module = importlib.import_module("metatrain.pet.trainer")
    assert hasattr(module, name), (
        f"metatrain.pet.trainer.{name} is gone: training/penalty/session.py replaces it"
    )
    source = inspect.getsource(module.Trainer.train)
    assert source.count(f" {call}") == 1, (
        f"Trainer.train of PET no longer calls {call.strip()} once, by its global name: "
        "training/penalty/session.py relies on it"
    )


def test_what_the_penalty_calls() -> None:
    """Of metatrain's augmentation, loss and loaders, by name and parameters."""
    augmentation = importlib.import_module("metatrain.utils.augmentation")
    loss = importlib.import_module("metatrain.utils.loss")
    loaders = importlib.import_module("metatrain.utils.data")
    for function, parameters, user in [
        (augmentation._tensor_system_ids, "tensor n_systems", "copies.py"),
        (
            augmentation._max_angular_momentum,
            "target_info_dict extra_data_info_dict",
            "loss.py",
        ),
        (
            augmentation.O3Augmenter.apply_random_augmentations,
            "self systems targets extra_data",
            "copies.py",
        ),
        (
            augmentation.O3Augmenter._apply,
            "self systems targets transformations extra_data",
            "copies.py",
        ),
        (loss.LossAggregator, "targets config", "loss.py"),
        (
            loss.LossAggregator.compute,
            "self predictions targets extra_data",
            "loss.py",
        ),
    ]:
        found = list(inspect.signature(function).parameters)
        assert found == parameters.split(), (
            f"{function.__qualname__} of metatrain changed its parameters: "
            f"training/penalty/{user} expects {parameters}, found {found}"
        )
    terms = loss.LossAggregator({}, {})
    assert terms.losses == {}, "training/penalty/loss.py and finetune/held_out.py read it"
    augmenter = augmentation.O3Augmenter({})
    assert augmenter._max_angular_momentum == 0, "training/penalty/copies.py reads it"
    assert inspect.getsource(loaders.CombinedDataLoader).count("iter(dl)") == 1, (
        "CombinedDataLoader no longer asks each loader once for each epoch: "
        "training/penalty/batches.py counts epochs by it"
    )


def test_how_a_trainer_is_called() -> None:
    """What ``plugin/watched.py`` relies on: the class, its method, the order of things."""
    train = importlib.import_module("metatrain.cli.train")
    source = inspect.getsource(train.train_model.__wrapped__)
    for text in (
        "import_architecture(architecture_name)",
        "architecture.__trainer__",
        "trainer.train(",
        "OmegaConf.to_container(options)",
        "options_restart.yaml",
    ):
        assert text in source, f"train_model has no '{text}' now: plugin/watched.py"
    assert source.index("options_restart.yaml") < source.index("trainer.train("), (
        "options_restart.yaml is written later now: watched.keep_section"
    )
    for name in ("model=model", "val_datasets=val_datasets", "checkpoint_dir="):
        assert name in source.partition("trainer.train(")[2].partition(")\n    except")[0]
    assert "architecture.__trainer__.load_checkpoint" in inspect.getsource(
        io.trainer_from_checkpoint
    ), "restarts make their trainer in another way now: watched.watching"


# --------------------------------------------------------------------- behaviour


def test_our_architecture_is_known() -> None:
    assert "pet_ssh" in io.find_all_architectures()
    folder = architectures.get_architecture_path("pet_ssh")
    assert folder == patches.SHIMS / "pet_ssh"
    assert architectures.get_architecture_name(folder) == "pet_ssh"
    assert architectures.get_architecture_name(folder / "model.py") == "pet_ssh"
    with pytest.raises(ValueError, match="does not exist"):
        architectures.get_architecture_name(folder / "nothing.py")
    with pytest.raises(ValueError, match="Did you mean 'pet_ssh'"):
        architectures.import_architecture("pet_shh")


def test_classes_live_in_our_package() -> None:
    architecture = architectures.import_architecture("pet_ssh")
    for cls in (architecture.__model__, architecture.__trainer__):
        assert cls.__module__.startswith("metatrain_symmetry.pet_ssh.")
    for name in ("model", "trainer", "documentation", "checkpoints"):
        module = importlib.import_module(f"metatrain.pet_ssh.{name}")
        assert module.__doc__


def test_wrong_option_points_to_our_documentation() -> None:
    options = architectures.get_default_hypers("pet_ssh", base_precision=64)
    options["model"]["d_pett"] = 1
    with pytest.raises(pydantic.MetatrainArchitectureValidationError) as error:
        architectures.check_architecture_options("pet_ssh", options)
    link = "metatrain_symmetry.pet_ssh.documentation.ModelHypers"
    assert link in str(error.value)
    assert "docs.metatensor.org" not in str(error.value)
    module, _, cls = link.rpartition(".")
    assert hasattr(importlib.import_module(module), cls)


def test_json_schema_lists_ours() -> None:
    schema = pydantic.get_train_json_schema(allow_missing_hypers=True)
    names = {
        definition["properties"]["name"].get("const")
        for definition in schema["$defs"].values()
        if "name" in definition.get("properties", {})
    }
    assert {"pet", "pet_ssh"} <= names


def test_patched_twice_is_patched_once() -> None:
    def replaced() -> list[object]:
        return [
            getattr(importlib.import_module(f"metatrain.{module}"), name)
            for module, name, _, _ in REPLACED
        ]

    before = replaced()
    hook.install()
    for name, patch in patches.PATCHES.items():
        patch(importlib.import_module(name))
    assert replaced() == before
    assert metatrain.__path__.count(str(patches.SHIMS)) == 1
    assert sum(isinstance(f, hook.PatchingFinder) for f in sys.meta_path) == 1


def test_patched_modules_are_ordinary_modules() -> None:
    for name in patches.PATCHES:
        module = importlib.import_module(name)
        assert type(module) is ModuleType
        assert module.__spec__.loader is module.__loader__
        assert isinstance(module.__loader__, SourceFileLoader)
        assert inspect.getsource(module) == Path(module.__file__).read_text()
    assert importlib.resources.files("metatrain.utils").joinpath("io.py").is_file()


class TestTrain:
    """The replaced ``train_model``, of a module that stands in for metatrain's."""

    @pytest.fixture
    def calls(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
        calls: list[tuple] = []

        def check(*arguments: object) -> str:
            calls.append(("check", *arguments))
            return "checked"

        monkeypatch.setattr(preflight, "check", check)
        return calls

    @pytest.fixture
    def train(self, calls: list[tuple]) -> ModuleType:
        def train_model(options, output="model.pt", extensions="extensions/",
                        checkpoint_dir=".", restart_from=None):  # fmt: skip
            calls.append(("train", options, checkpoint_dir, restart_from))

        def setup_wandb(logger, args):
            raise OSError("no network,\nno run")

        module = ModuleType("train")
        module.train_model = train_model
        module._setup_wandb_logging = setup_wandb
        patches.patch_train(module)
        return module

    def test_ours(self, train: ModuleType, calls: list[tuple]) -> None:
        options = {"architecture": {"name": "pet_ssh"}}
        train.train_model(OmegaConf.create(options), "m.pt", "e/", "here", "a.ckpt")
        train.train_model(options=options, checkpoint_dir="there")
        assert calls == [
            ("check", options, "a.ckpt", "here"),
            ("train", "checked", "here", "a.ckpt"),
            ("check", options, None, "there"),
            ("train", "checked", "there", None),
        ]

    @pytest.mark.parametrize(
        "options",
        [
            {"architecture": {"name": "pet"}},
            {"architecture": {"name": "pet", "training": {"num_epochs": 1}}},
            {"architecture": {"name": "pet", "training": "symmetry"}},
            {"architecture": "pet_ssh"},
            {},
            None,
        ],
    )
    def test_others(self, train: ModuleType, calls: list[tuple], options: object) -> None:
        train.train_model(options)
        assert calls == [("train", options, ".", None)]

    @pytest.mark.parametrize("section", [{}, {"interval": 1}, None])
    def test_others_that_are_watched(
        self,
        train: ModuleType,
        calls: list[tuple],
        section: object,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def record(original, arguments) -> None:
            calls.append((original.__name__, dict(arguments)))

        monkeypatch.setattr(watched, "train", record)
        training = {"symmetry": section}
        options = {"architecture": {"name": "pet", "training": training}}
        train.train_model(OmegaConf.create(options), restart_from="a.ckpt")
        given = {"output": "model.pt", "extensions": "extensions/", "checkpoint_dir": "."}
        assert calls == [
            ("train_model", {"options": options, "restart_from": "a.ckpt", **given})
        ]

    @pytest.mark.parametrize("written", [True, False])
    def test_a_training_of_ours_survives_without_wandb(
        self,
        train: ModuleType,
        written: bool,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        options = OmegaConf.create({"architecture": {"name": "pet_ssh"}})
        if written:
            OmegaConf.save(options, tmp_path / "o.yaml")
            options = tmp_path / "o.yaml"
        logger = logging.getLogger("some")
        train._setup_wandb_logging(logger, argparse.Namespace(options=options))
        assert "goes on without it: no network, no run" in caplog.text
        other = OmegaConf.create({"architecture": {"name": "pet"}})
        with pytest.raises(OSError, match="no network"):
            train._setup_wandb_logging(logger, argparse.Namespace(options=other))


def toy_command(parser_fails: bool = False) -> commands.Command:
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("number", type=int)
        if parser_fails:
            raise OSError("no arguments today")

    return commands.Command("toy", "plays with a number", add_arguments, print)


@pytest.mark.parametrize(
    ("command_line", "code", "message"),
    [
        ("mtt --help", 0, "plays with a number"),
        ("mtt toy two", 2, "argument number: invalid int value: 'two'"),
        ("mtt toy", 2, "the following arguments are required: number"),
    ],
)
def test_parser_of_a_command(
    command_line: str,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(commands, "COMMANDS", [toy_command()])
    monkeypatch.setattr(sys, "argv", command_line.split())
    with pytest.raises(SystemExit) as end:
        importlib.import_module("metatrain.__main__").main()
    assert end.value.code == code
    assert message in "".join(capsys.readouterr())


def test_failing_parser_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "COMMANDS", [toy_command(parser_fails=True)])
    monkeypatch.setattr(sys, "argv", ["mtt", "train", "--help"])
    with (
        pytest.warns(RuntimeWarning, match="'mtt toy' .* is not available"),
        pytest.raises(SystemExit, match="0"),
    ):
        importlib.import_module("metatrain.__main__").main()


def test_export_is_left_alone() -> None:
    """The replaced functions, of a module that stands in for metatrain's."""
    calls: list[object] = []
    export = ModuleType("export")
    export._add_export_model_parser = calls.append
    export._prepare_export_model_args = calls.append
    export.export_model = lambda *args, **kwargs: calls.append((args, kwargs))
    patches.patch_export(export)
    arguments = argparse.Namespace(path="a.ckpt")
    export._prepare_export_model_args(arguments)
    export.export_model("a.ckpt", output="a.pt")
    assert calls == [arguments, (("a.ckpt",), {"output": "a.pt"})]


def test_name_in_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/__main__.py", "nothing"])
    with pytest.raises(SystemExit, match="2"):
        importlib.import_module("metatrain_symmetry.__main__").main()
    usage = "usage: python -m metatrain_symmetry [-h]"
    assert capsys.readouterr().err.startswith(usage)


class AskingFinder:
    """Finds one module in a folder, and asks the other finders for all else."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.asking = name, folder, False

    def find_spec(self, fullname: str, path: object, target: object = None) -> object:
        if fullname == self.name:
            return spec_from_file_location(fullname, self.folder / f"{fullname}.py")
        if self.asking:
            return None
        self.asking = True
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = [finder.find_spec(fullname, path, target) for finder in others]
        self.asking = False
        return next((spec for spec in specs if spec is not None), None)


@pytest.mark.parametrize("place", [0, 99])
def test_other_finders_are_asked(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "found_elsewhere.py").write_text("value = 1")
    ours = hook.PatchingFinder(
        {"found_elsewhere": lambda m: setattr(m, "value", m.value + 1), "nowhere": id}
    )
    finders = [ours, *sys.meta_path]
    finders.insert(place, AskingFinder("found_elsewhere", tmp_path))
    monkeypatch.setattr(sys, "meta_path", finders)
    module = importlib.import_module("found_elsewhere")
    # an asking finder in front of ours has found it without us
    assert module.value == (1 if place == 0 else 2)
    assert importlib.reload(module).value == module.value
    del sys.modules["found_elsewhere"]
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        importlib.import_module("nowhere")
