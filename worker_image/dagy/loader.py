"""Importing a flow's file and finding the flow in it. The command line, the build and the worker all load this way."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from dagy.errors import LoadError
from dagy.flows import Flow


def load_flows(file: Path) -> dict[str, Flow]:
    """Import a file, its directory first on ``sys.path``, and return its flows by the names they have there.

    Flows that the file imports from elsewhere count only if it has none of its own. Raises LoadError, with the
    original error as cause, if the file cannot be imported.
    """
    directory = str(file.resolve().parent)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    module = _import(file)
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
        raise LoadError(f"{file} has no flow {name!r}; it has: {available}")
    raise LoadError(f"{file} has several flows: {available}. Choose one with --flow NAME")


@contextmanager
def isolated(directory: Path) -> Iterator[None]:
    """Undo at the end of the block what importing from ``directory`` did to this process.

    So files of several projects can be loaded one after the other, though each has its own ``helpers.py``.
    """
    directory = directory.resolve()
    path, modules = list(sys.path), dict(sys.modules)
    hidden = _local_names(directory) - sys.stdlib_module_names - {"dagy"}
    for name in [name for name in sys.modules if name.partition(".")[0] in hidden]:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [name for name, module in sys.modules.items() if _is_within(module, directory)]:
            del sys.modules[name]
        sys.modules.update(modules)
        importlib.invalidate_caches()


def _import(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if not file.is_file() or spec is None or spec.loader is None:
        raise LoadError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as exc:
        sys.modules.pop(spec.name, None)
        raise LoadError(f"{file} cannot be imported: {type(exc).__name__}: {exc}") from exc
    return module


def _without_aliases(flows: Mapping[str, Flow]) -> dict[str, Flow]:
    first_names: dict[int, str] = {}
    for name, flow in flows.items():
        first_names.setdefault(id(flow), name)
    return {name: flows[name] for name in first_names.values()}


def _local_names(directory: Path) -> set[str]:
    return {entry.stem for entry in directory.iterdir() if entry.suffix == ".py" or entry.is_dir()}


def _is_within(module: ModuleType | None, directory: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).is_relative_to(directory)
