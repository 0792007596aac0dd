"""Imports a model's own modules so that they never meet another model's modules of the same name.

The folder of a predictor becomes a package with a name of its own. `import helper` in one of its modules
means the `helper.py` beside it, at any time, because these modules carry their own `__import__`; `sys.path`
is left alone, and no bytecode is written beside the artifact. Unpickling looks modules up by their plain
names, so while the model loads those are found too (unless a module of that name is imported already).

Limits: `importlib.import_module("helper")` and unpickling after the load do not find a sibling, processes
that the model spawns cannot import its modules, and the modules live as long as the process.
"""

import builtins
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module, invalidate_caches
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_loader
from itertools import count
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

_PREFIX = "_trivet_model_"
_numbers = count(1)


class ModelPackage:
    """The modules in a model's folder, imported under a name that no other model has."""

    def __init__(self, folder: Path) -> None:
        self.name = f"{_PREFIX}{next(_numbers)}"
        self.builtins: Mapping[str, Any] = {**vars(builtins), "__import__": self._import}
        self._folder = folder
        self._owned: dict[str, bool] = {}
        package = ModuleType(self.name)
        package.__path__ = [str(folder)]
        sys.modules[self.name] = package
        _FINDER.packages[self.name] = self
        if _FINDER not in sys.meta_path:
            sys.meta_path.insert(0, _FINDER)
        invalidate_caches()

    def __repr__(self) -> str:
        return f"<ModelPackage {self.name} of {self._folder}>"

    def load(self, file: Path) -> ModuleType:
        """Import a file of the folder, whatever its suffix; raises what its code raises."""
        name = f"{self.name}.{file.stem}"
        spec = spec_from_loader(name, ModelLoader(name, str(file), self.builtins))
        assert spec is not None  # there is a loader
        return _import_spec(spec)

    def owns(self, name: str) -> bool:
        """Whether a top-level name is a module or package in the folder."""
        owned = self._owned.get(name)
        if owned is None:
            spec = PathFinder.find_spec(f"{self.name}.{name}", [str(self._folder)])
            modules = spec is not None and (spec.has_location or any((self._folder / name).glob("*.py")))
            owned = self._owned[name] = modules
        return owned

    @contextmanager
    def found_by_plain_names(self) -> Iterator[None]:
        """Let anybody import the folder's modules by their plain names, for the time of the load."""
        _FINDER.loading = self
        try:
            yield
        finally:
            _FINDER.loading = None
            for name, module in list(sys.modules.items()):
                private = getattr(module, "__name__", "").startswith(f"{self.name}.")
                if private and not name.startswith(_PREFIX):
                    del sys.modules[name]

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Import as the statement does, but siblings from the package."""
        top = name.partition(".")[0]
        if level or not self.owns(top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        if _FINDER.loading is self and top not in sys.stdlib_module_names:
            import_module(name)  # pickle's C code calls this, and then looks in sys.modules
        if fromlist:
            return builtins.__import__(f"{self.name}.{name}", globals, locals, fromlist, 0)
        import_module(f"{self.name}.{name}")
        return sys.modules[f"{self.name}.{top}"]


class ModelLoader(SourceFileLoader):
    """Runs a file with the builtins of its model, compiled anew."""

    def __init__(self, name: str, path: str, scope: Mapping[str, Any]) -> None:
        super().__init__(name, path)
        self._scope = scope

    def exec_module(self, module: ModuleType) -> None:
        """Run the code; functions look their `__import__` up in the builtins of their module."""
        vars(module)["__builtins__"] = self._scope
        super().exec_module(module)

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source: cached bytecode may be of a file replaced within the same second."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _Alias(Loader):
    """Puts a module that is imported already under another name."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # which the import has just replaced


class _Finder(MetaPathFinder):
    """Finds the modules of every model package: one for all, so that imports stay fast."""

    def __init__(self) -> None:
        self.packages: dict[str, ModelPackage] = {}
        self.loading: ModelPackage | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = fullname.partition(".")[0]
        if package := self.packages.get(top):
            spec = PathFinder.find_spec(fullname, path)
            if spec and type(spec.loader) is SourceFileLoader:
                spec.loader = ModelLoader(fullname, spec.loader.path, package.builtins)
            return spec
        loading = self.loading
        if loading is None or top in sys.stdlib_module_names or not loading.owns(top):
            return None
        return spec_from_loader(fullname, _Alias(import_module(f"{loading.name}.{fullname}")))


_FINDER = _Finder()


def _import_spec(spec: ModuleSpec) -> ModuleType:
    from importlib.util import module_from_spec

    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        assert spec.loader is not None
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module
