"""Importing a flow's file and finding the flow in it. The command line, the build and the worker all load this way."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.abc import Loader
from pathlib import Path
from types import ModuleType

from dagy.errors import DagyError, LoadError, NotFoundError
from dagy.flows import Flow
from dagy.importing import importing
from dagy.places import OURS, import_directories, module_name


def load_flows(file: Path) -> dict[str, Flow]:
    """Import a file, with its directory on ``sys.path``, and return its flows by the names they have there.

    Flows that the file imports from elsewhere count only if it has none of its own. Raises LoadError, with the
    original error as cause, if the file cannot be imported, NotFoundError if there is none.
    """
    _check_file(file)
    real = file.resolve()
    root, *others = map(str, import_directories(real))
    sys.path[:0] = [root] if root not in sys.path else []
    sys.path += [directory for directory in others if directory not in sys.path]
    with importing(str(file)):
        module = _import(file, real)
    flows = {name: value for name, value in vars(module).items() if isinstance(value, Flow)}
    own = {name: value for name, value in flows.items() if value.module == module.__name__}
    return _without_aliases(own or flows)


def choose(flows: Mapping[str, Flow], file: Path, name: str | None = None) -> tuple[str, Flow]:
    """Return the flow called ``name`` (or the only one), with the name it has in its file."""
    if not flows:
        raise LoadError(f"{file} has no flow: expected a @flow function, or `with DAG(...) as dag`, at its top level")
    found = [(attr, flow) for attr, flow in flows.items() if name is None or name in (attr, flow.name)]
    if len(found) == 1:
        return found[0]
    available = ", ".join(sorted(flow.name for flow in flows.values()))
    if not found:
        raise NotFoundError(f"{file} has no flow {name!r}; it has: {available}")
    raise LoadError(f"{file} has several flows: {available}. Choose one with --flow NAME")


@contextmanager
def isolated(file: Path) -> Iterator[None]:
    """Undo at the end of the block what importing a flow's file did to this process.

    So files of several projects can be loaded one after the other, though each has its own ``helpers.py``.
    """
    directories = import_directories(file.resolve())
    path, modules = list(sys.path), dict(sys.modules)
    hidden = set().union(*map(_local_names, directories)) - sys.stdlib_module_names - OURS
    for name in [name for name in sys.modules if name.partition(".")[0] in hidden]:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [name for name, module in sys.modules.items() if _is_within(module, directories)]:
            del sys.modules[name]
        sys.modules.update(modules)
        importlib.invalidate_caches()


def _check_file(file: Path) -> None:
    if file.is_dir():
        raise NotFoundError(f"{file} is a directory: name the Python file in it that has the flow")
    if not file.is_file():
        raise NotFoundError(f"{file} is not a Python file: there is no such file")
    if file.suffix != ".py":
        raise LoadError(f"{file} is not a Python file: expected a name that ends with .py")
    if module_name(file.resolve()) in sys.stdlib_module_names | OURS:
        raise LoadError(f"{file} has the name of the module {file.stem!r}, and would hide it: rename the file")


def _import(file: Path, real: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module_name(real), real)
    if spec is None or spec.loader is None:
        raise LoadError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        return _executed(module, spec.loader)
    except SystemExit as exc:
        sys.modules.pop(spec.name, None)
        raise LoadError(
            f"{file} ends the program while it is imported (sys.exit): move what a script does under "
            '`if __name__ == "__main__":`'
        ) from exc
    except Exception as exc:
        sys.modules.pop(spec.name, None)
        said = str(exc) if isinstance(exc, DagyError) else f"{type(exc).__name__}: {exc}"
        raise LoadError(f"{file} cannot be imported: {said}{_advice(exc, file)}") from exc


def _executed(module: ModuleType, loader: Loader) -> ModuleType:
    """Return the module once its code has run: without the packages it is in, as far as it does not import them.

    A container may lack what they want for other purposes. If they import the file in their turn, they come first.
    """
    try:
        loader.exec_module(module)
    except (ImportError, AttributeError) as exc:
        asked = sys.modules.get(exc.name or "") if isinstance(exc, ImportError) else exc.obj
        if asked is not module or "." not in module.__name__:
            raise
        del sys.modules[module.__name__]
        return importlib.import_module(module.__name__)
    return module


def _advice(exc: Exception, file: Path) -> str:
    """Return what to do about an import that failed, if that is known."""
    text = str(exc)
    if isinstance(exc, ImportError | AttributeError) and _imports_itself(file):
        return f". The file imports {file.stem!r}, which is the file itself: rename it"
    if isinstance(exc, ImportError) and "relative import" in text:
        return ". Give its directory an __init__.py, or import without the leading dot"
    if isinstance(exc, ModuleNotFoundError):
        return ". Install it here, or import it inside the task that needs it, if only the container has it"
    return ""


def _imports_itself(file: Path) -> bool:
    return (
        re.search(rf"(?m)^\s*(?:import|from)\s+{re.escape(file.stem)}\b", file.read_text("utf-8", "replace"))
        is not None
    )


def _without_aliases(flows: Mapping[str, Flow]) -> dict[str, Flow]:
    first_names: dict[int, str] = {}
    for name, flow in flows.items():
        first_names.setdefault(id(flow), name)
    return {name: flows[name] for name in first_names.values()}


def _local_names(directory: Path) -> set[str]:
    if not directory.is_dir():
        return set()
    return {entry.stem for entry in directory.iterdir() if entry.suffix == ".py" or entry.is_dir()}


def _is_within(module: ModuleType | None, directories: list[Path]) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and any(Path(file).is_relative_to(directory) for directory in directories)
