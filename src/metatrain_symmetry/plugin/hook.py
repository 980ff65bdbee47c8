"""How our patches of metatrain get started.

metatrain has no plugin mechanism. ``import torch`` calls :func:`install` (entry-point
group ``torch.backends``), which puts one finder in front of ``sys.meta_path``. It
changes nothing but this: once a module of metatrain that we extend has been executed,
the function that :mod:`metatrain_symmetry.plugin.patches` names for it is called.

An exception in here would break ``import torch``: this module knows the standard
library only, and turns every failure into one warning.
"""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


Patch = Callable[[ModuleType], None]


def install() -> None:
    """Extend metatrain's modules, those imported already and those still to come."""
    if any(isinstance(finder, PatchingFinder) for finder in sys.meta_path):
        return
    try:
        from .patches import PATCHES

        sys.meta_path.insert(0, PatchingFinder(PATCHES))
        # with omegaconf 2.4, metatrain's own resolvers warn three times at every command
        warnings.filterwarnings(
            "ignore",
            message=r"register_new_resolver\(\) is deprecated",
            category=UserWarning,
            module=r"metatrain\.utils\.omegaconf",
        )
        for name, patch in PATCHES.items():
            module = sys.modules.get(name)
            if module is not None:
                _patch_imported(module, patch)
    except Exception as error:
        _warn("metatrain", error)


class PatchingFinder(MetaPathFinder):
    """Finds modules as the other finders do, and has them patched when executed.

    :param patches: for each module's name, the function to call with the module
    """

    def __init__(self, patches: Mapping[str, Patch]) -> None:
        self._patches = patches
        self._searching: set[str] = set()

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find the specification of a module that we patch; leave all others alone.

        :param fullname: name of the module
        :param path: where to look, ``__path__`` of the parent package
        :param target: the module, if it is being reloaded
        :return: the specification of the first other finder that has one
        """
        # a finder that asks all others, as this one does, would ask us again
        if fullname not in self._patches or fullname in self._searching:
            return None
        self._searching.add(fullname)
        try:
            spec = self._ask_the_others(fullname, path, target)
        finally:
            self._searching.discard(fullname)
        if spec is not None:
            _patch_when_executed(spec, self._patches[fullname])
        return spec

    def _ask_the_others(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        """Not only ``PathFinder``: an editable metatrain has a finder of its own."""
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                return spec
        return None


class _UnfinishedModule(ModuleType):
    """A module that ran ``import torch`` before it was finished.

    It is patched when first looked into after it has been executed, and is an ordinary
    module from then on; ``importlib.util.LazyLoader`` works in the same way.
    """

    def __getattribute__(self, name: str) -> object:
        if not _is_initializing(self):
            own = ModuleType.__getattribute__(self, "__dict__")
            object.__setattr__(self, "__class__", ModuleType)
            _apply(own.pop("_metatrain_symmetry_patch"), self)
        return ModuleType.__getattribute__(self, name)


def _is_initializing(module: ModuleType) -> bool:
    spec = ModuleType.__getattribute__(module, "__dict__").get("__spec__")
    return getattr(spec, "_initializing", False)


def _patch_imported(module: ModuleType, patch: Patch) -> None:
    """Patch a module that has been imported, or is being imported right now."""
    if not _is_initializing(module):
        _apply(patch, module)
    elif type(module) is ModuleType:
        vars(module)["_metatrain_symmetry_patch"] = patch
        module.__class__ = _UnfinishedModule


def _patch_when_executed(spec: ModuleSpec, patch: Patch) -> None:
    """Have a module patched once its loader has executed it.

    The loader stays the object that it is (resources, sources and its type are looked
    at by others): only its ``exec_module`` is shadowed, on this one instance.
    """
    try:
        loader = spec.loader
        if loader is None:
            raise ImportError("it has no loader")
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            # a loader may be shared, as that of a zip archive is
            if module.__name__ == spec.name:
                _apply(patch, module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
    except Exception as error:
        _warn(spec.name, error)


def _apply(patch: Patch, module: ModuleType) -> None:
    try:
        patch(module)
    except Exception as error:
        _warn(module.__name__, error)


def _warn(name: str, error: Exception) -> None:
    warnings.warn(
        f"metatrain_symmetry could not extend '{name}', which works as if the plugin "
        f"were not installed ({type(error).__name__}: {error})",
        RuntimeWarning,
        stacklevel=2,
    )
