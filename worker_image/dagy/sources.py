"""Which files make up a flow: its own, the local modules it imports, directly or not, and those it asks for.

Imports are read from the syntax tree, nothing is executed. Local is what lies beside the flow's file, or in the
package it is part of; everything else must come from the image or a dependency package. Of a package that is imported,
everything is taken, data files too; of the flow's own package, and of the modules beside it, what is imported.
"""

from __future__ import annotations

import ast
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from dagy.errors import BuildError, LoadError
from dagy.ignoring import Ignored
from dagy.places import OURS, import_directories, source_root


def local_sources(file: Path, include: Sequence[str] = ()) -> dict[str, Path]:
    """Return the files of a flow by their path below its root, sorted. ``include`` has glob patterns of more files.

    Raises BuildError for a link that leads elsewhere and for a pattern that no file matches, LoadError for a module
    with a syntax error.
    """
    collection = _Collection(file)
    collection.add_package_of_flow()
    collection.add_imported()
    for pattern in include:
        collection.add_matching(pattern)
    return dict(sorted(collection.files.items()))


class _Collection:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._root = source_root(file)
        self._directories = import_directories(file)
        self._ignored = Ignored(self._root, self._directories)
        self._unread: deque[tuple[Path, bool]] = deque()
        self.files: dict[str, Path] = {name_in_artifact(file, self._root): file}

    def add_package_of_flow(self) -> None:
        """Add what makes the directories above the flow packages."""
        for directory in self._file.parents:
            if directory == self._root:
                return
            self._add(directory / "__init__.py")

    def add_imported(self) -> None:
        """Add the modules that the flow imports, and those that they import."""
        self._unread.append((self._file, True))
        while self._unread:
            path, is_imported = self._unread.popleft()
            for module in _imports(path, self._root, strict=is_imported):
                self._add_module(module)

    def add_matching(self, pattern: str) -> None:
        """Add the files that a pattern matches, and all in the directories that it matches."""
        matching = [path for path in sorted(self._file.parent.glob(pattern)) if path not in self._ignored]
        if not matching:
            raise BuildError(f"include={pattern!r} matches no file below {self._file.parent} that is not left out")
        for path in matching:
            if path.is_dir():
                self._add_tree(path)
            else:
                self._add(path, is_imported=False)
        self.add_imported()

    def _add_module(self, module: str) -> None:
        """Add the files of a module, and the ``__init__`` files of the packages it is in, as far as they are local."""
        top = module.partition(".")[0]
        if top in OURS:
            return
        for directory in self._directories:
            if directory != self._root and top in sys.stdlib_module_names:
                return  # found before this directory is searched
            package = directory / top
            if (package / "__init__.py").is_file() and not self._file.is_relative_to(package):
                self._add_tree(package)
                return
            place, found = directory, False
            for part in filter(None, module.split(".")):
                place /= part
                for path in (place / "__init__.py", place.with_name(f"{part}.py")):
                    if path.is_file():
                        self._add(path)
                        found = True
            if found:
                return

    def _add_tree(self, directory: Path) -> None:
        if directory in self._ignored:
            return
        for place, directories, files in os.walk(directory):
            here = Path(place)
            for name in directories:
                if (here / name).is_symlink() and here / name not in self._ignored:
                    raise BuildError(
                        f"{here / name} is a link to a directory, which an artifact cannot hold: "
                        "name it in .dagyignore, or copy what it leads to"
                    )
            directories[:] = sorted(name for name in directories if here / name not in self._ignored)
            for name in sorted(files):
                self._add(here / name, is_imported=False)

    def _add(self, path: Path, *, is_imported: bool = True) -> None:
        if path in self._ignored or (name := name_in_artifact(path, self._root)) in self.files:
            return
        if not path.resolve().is_relative_to(self._root):
            raise BuildError(
                f"{path} is a link to {path.resolve()}, outside of {self._root}: put a copy in its place, "
                "put what it leads to into a dependency package, or name it in .dagyignore"
            )
        if not path.is_file():
            raise BuildError(f"{path} is not a file that can be read: name it in .dagyignore")
        self.files[name] = path
        if path.suffix == ".py":
            self._unread.append((path, is_imported))


def name_in_artifact(path: Path, root: Path) -> str:
    """Return the name of a file in the artifact: its bytes are UTF-8, whatever the locale makes of them."""
    try:
        return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise BuildError(f"{path!r} has a name that is not UTF-8: rename it, or name it in .dagyignore") from exc


def _imports(path: Path, root: Path, *, strict: bool) -> Iterator[str]:
    """Yield the dotted names that may be modules; of ``from a import b`` both ``a`` and ``a.b``.

    Unless ``strict``, a file that is not Python imports nothing: packages may hold templates of code.
    """
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as exc:
        if not strict:
            return
        raise LoadError(f"{path} cannot be parsed: {exc}") from exc
    package = path.relative_to(root).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)
