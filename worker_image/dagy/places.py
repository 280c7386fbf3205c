"""Where a flow's file stands among its modules: the same answer for the build, the command line and the worker."""

from __future__ import annotations

from pathlib import Path

OURS = frozenset({"dagy", "dagy_worker", "dagy_queue"})
"""Packages that are never part of a flow, wherever its file is."""


def source_root(file: Path) -> Path:
    """Return the directory that the file's module is imported from: its own, or that of the package it is part of."""
    root = file.parent
    while (root / "__init__.py").is_file() and root != root.parent:
        root = root.parent
    return root


def import_directories(file: Path) -> list[Path]:
    """Return the directories whose modules the file can import, in the order in which they are searched.

    That of a file in a package comes last, also after the standard library: in a package, ``queue.py`` is a good name.
    """
    return list(dict.fromkeys([source_root(file), file.parent]))


def module_name(file: Path) -> str:
    """Return the name that the file's module is imported under."""
    return ".".join([*file.parent.relative_to(source_root(file)).parts, file.stem])
