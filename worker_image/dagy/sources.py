"""Which files make up a flow: its own, and the local modules it imports, directly or not. Used by the build.

Imports are read from the syntax tree, nothing is executed. Only what lies in the directory of the flow's file (or
below) is local; everything else must come from the image or a dependency package.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dagy.errors import LoadError


def local_sources(file: Path) -> dict[str, bytes]:
    """Return the content of the flow's file and its local modules, by path relative to the file's directory."""
    root = file.resolve().parent
    sources: dict[str, bytes] = {}
    unread = [file.resolve()]
    while unread:
        path = unread.pop()
        name = path.relative_to(root).as_posix()
        if name in sources:
            continue
        sources[name] = path.read_bytes()
        for module in _imports(sources[name], path, root):
            unread.extend(_files_of(module, root))
    return dict(sorted(sources.items()))


def _imports(source: bytes, path: Path, root: Path) -> Iterator[str]:
    """Yield the dotted names that may be modules; of ``from a import b`` both ``a`` and ``a.b``."""
    try:
        tree = ast.parse(source, str(path))
    except SyntaxError as exc:
        raise LoadError(f"{path} cannot be parsed: {exc}") from exc
    package = PurePosixPath(path.relative_to(root).as_posix()).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)


def _files_of(module: str, root: Path) -> Iterator[Path]:
    """Yield the module's file and the ``__init__`` files of the packages it is in, as far as they are local."""
    place = root
    for part in filter(None, module.split(".")):
        place /= part
        candidates = (place / "__init__.py", place.with_name(f"{part}.py"))
        yield from (path for path in candidates if path.is_file() and path.resolve().is_relative_to(root))
