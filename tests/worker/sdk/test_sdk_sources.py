"""Which files go into an artifact, and which never do."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from dagy.errors import BuildError, LoadError, OptionError
from dagy.sources import local_sources

FLOW = "from dagy import flow\n@flow\ndef f(): pass\n"


def names(file: Path, *include: str) -> list[str]:
    return list(local_sources(file, include))


def test_local_modules_are_found_however_they_are_imported(write: Any) -> None:
    write("pkg/__init__.py", "from . import inner")
    write("pkg/inner.py", "from .sub.leaf import x")
    write("pkg/sub/__init__.py", "")
    write("pkg/sub/leaf.py", "from ..sibling import y\nx = y")
    write("pkg/sibling.py", "import json, os.path\ny = 1")
    write("lazy.py", "import flat")
    write("flat.py", "import lazy")
    write("namespace/part.py", "")
    write("namespace/other.py", "")
    write("unused.py", "")
    file = write("main_flow.py", "import pkg\ndef f():\n    import lazy\n    from namespace import part\n")
    assert names(file) == [
        "flat.py",
        "lazy.py",
        "main_flow.py",
        "namespace/part.py",
        "pkg/__init__.py",
        "pkg/inner.py",
        "pkg/sibling.py",
        "pkg/sub/__init__.py",
        "pkg/sub/leaf.py",
    ]


def test_of_an_imported_package_everything_is_taken_and_what_that_imports(write: Any) -> None:
    write("pkg/__init__.py", "")
    write("pkg/plugins/dynamic.py", "import beside")
    write("pkg/data/rates.csv", "1,2")
    write("pkg/templates/code.py", "class {{ name }}:")
    write("beside.py", "")
    write("rates.csv", "not asked for")
    assert names(write("main_flow.py", "import pkg.plugins")) == [
        "beside.py",
        "main_flow.py",
        "pkg/__init__.py",
        "pkg/data/rates.csv",
        "pkg/plugins/dynamic.py",
        "pkg/templates/code.py",
    ]


def test_an_imported_module_that_is_no_python_is_refused(write: Any) -> None:
    write("broken.py", "def broken(:")
    with pytest.raises(LoadError, match=r"broken.py cannot be parsed: invalid syntax"):
        names(write("main_flow.py", "def f():\n    import broken"))


def test_files_are_included_by_patterns(write: Any) -> None:
    write("sql/a.sql", "")
    write("sql/deep/b.sql", "")
    write("sql/notes.txt", "")
    write("plugins/one.py", "import helper")
    write("helper.py", "")
    file = write("main_flow.py", FLOW)
    assert names(file, "sql/*.sql") == ["main_flow.py", "sql/a.sql"]
    assert names(file, "**/*.sql") == ["main_flow.py", "sql/a.sql", "sql/deep/b.sql"]
    assert names(file, "sql") == ["main_flow.py", "sql/a.sql", "sql/deep/b.sql", "sql/notes.txt"]
    assert names(file, "plugins/*.py") == ["helper.py", "main_flow.py", "plugins/one.py"]


@pytest.mark.parametrize("pattern", ["nothing/*.sql", ".env", ".git"])
def test_a_pattern_that_matches_nothing_is_refused(write: Any, pattern: str) -> None:
    write(".env", "SECRET=1")
    write(".git/config", "")
    with pytest.raises(
        BuildError, match=f"include='{pattern.replace('*', '.')}' matches no file below .* not left out"
    ):
        names(write("main_flow.py", FLOW), pattern)


@pytest.mark.parametrize("pattern", ["../secrets", "/etc/passwd", "~/x", "", 3])
def test_a_pattern_that_leads_elsewhere_is_refused(pattern: str) -> None:
    from dagy import flow

    with pytest.raises(OptionError, match=r"flow 'f': include=.*: expected glob patterns such as 'sql/\*.sql'"):
        flow(name="f", include=[pattern])(lambda: None)


NEVER = [
    *(".env", ".env.production", ".git/config", ".venv/lib.py", "venv/lib.py", "__pycache__/x.pyc", "old.pyc"),
    *(".pytest_cache/x", ".mypy_cache/x", "node_modules/x.js", ".DS_Store", ".aws/credentials", "x.egg-info/PKG-INFO"),
    *(".dagyignore", "myenv/pyvenv.cfg", "myenv/lib/code.py"),
]


def test_secrets_repositories_caches_and_virtual_environments_are_left_out(write: Any) -> None:
    write("pkg/__init__.py", "")
    for name in NEVER:
        write(f"pkg/{name}", "")
    write("pkg/env/settings.json", "an innocent name")
    assert names(write("main_flow.py", "import pkg")) == ["main_flow.py", "pkg/__init__.py", "pkg/env/settings.json"]


def test_dagyignore_has_gitignore_s_syntax_and_the_last_word(write: Any) -> None:
    write("pkg/__init__.py", "import ignored_module")
    write("ignored_module.py", "")
    for name in (
        "keep.csv",
        "drop.csv",
        "tests/test_it.py",
        "docs/deep/tests/x.md",
        ".env",
        ".env.example",
        "notes.md",
    ):
        write(f"pkg/{name}", "")
    write(
        ".dagyignore",
        """
        # what the flow does not need
        tests/
        *.csv
        !keep.csv
        /pkg/notes.md
        /notes.md
        !.env.example
        ignored_module.py
        """.replace("        ", ""),
    )
    assert names(write("main_flow.py", "import pkg")) == [
        "main_flow.py",
        "pkg/.env.example",
        "pkg/__init__.py",
        "pkg/keep.csv",
    ]


def test_dagyignore_of_the_package_and_of_the_flow_s_directory_are_read(write: Any) -> None:
    write("project/__init__.py", "")
    write("project/flows/__init__.py", "")
    for name in ("a.csv", "b.csv", "c.csv"):
        write(f"project/flows/data/{name}", "")
    write(".dagyignore", "a.csv\nb.csv\n")
    write("project/flows/.dagyignore", "!/data/b.csv\n/data/c.csv\n")
    found = names(write("project/flows/main_flow.py", FLOW), "data")
    assert [name for name in found if name.endswith(".csv")] == ["project/flows/data/b.csv"]


def test_without_pathspec_only_a_dagyignore_is_in_the_way(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pathspec", None)
    file = write("main_flow.py", FLOW)
    assert names(file) == ["main_flow.py"]
    write(".dagyignore", "x")
    with pytest.raises(BuildError, match=r".dagyignore needs pathspec: pip install 'dagy-worker\[build\]'"):
        names(file)


def test_a_dagyignore_that_cannot_be_read_is_named(write: Any) -> None:
    write(".dagyignore", "!\n")
    with pytest.raises(BuildError, match=r".dagyignore cannot be read: Invalid git pattern: '!'"):
        names(write("main_flow.py", FLOW))


def test_a_link_to_a_file_inside_is_followed_and_one_that_leads_out_is_refused(write: Any, tmp_path: Path) -> None:
    outside = write("elsewhere/secret.py", "")
    file = write("project/main_flow.py", "import linked, again")
    write("project/real.py", "import more")
    write("project/more.py", "")
    (tmp_path / "project" / "linked.py").symlink_to("real.py")
    (tmp_path / "project" / "again.py").symlink_to(tmp_path / "project" / "real.py")
    assert names(file) == ["again.py", "linked.py", "main_flow.py", "more.py"]
    (tmp_path / "project" / "linked.py").unlink()
    (tmp_path / "project" / "linked.py").symlink_to(outside)
    with pytest.raises(
        BuildError, match=r"linked.py is a link to .*/elsewhere/secret.py, outside of .*/project: put a"
    ):
        names(file)


def test_links_to_directories_and_what_is_no_file_are_refused_unless_left_out(write: Any, tmp_path: Path) -> None:
    write("pkg/__init__.py", "")
    file = write("main_flow.py", "import pkg")
    (tmp_path / "pkg" / "loop").symlink_to(tmp_path / "pkg")
    with pytest.raises(BuildError, match=r"pkg/loop is a link to a directory.*name it in .dagyignore"):
        names(file)
    write(".dagyignore", "loop\n")
    assert names(file) == ["main_flow.py", "pkg/__init__.py"]
    os.mkfifo(tmp_path / "pkg" / "pipe")
    with pytest.raises(BuildError, match=r"pkg/pipe is not a file that can be read: name it in .dagyignore"):
        names(file)
    write(".dagyignore", "loop\npipe\n")
    assert names(file) == ["main_flow.py", "pkg/__init__.py"]


def test_a_flow_file_that_is_a_link_is_built_where_it_leads(write: Any, tmp_path: Path) -> None:
    from dagy import build_artifact

    write("real/helpers.py", "")
    real = write("real/main_flow.py", f"import helpers\n{FLOW}")
    link = tmp_path / "shortcut.py"
    link.symlink_to(real)
    artifact = build_artifact(link)
    assert artifact.spec.entrypoint.file == "src/main_flow.py"
    assert artifact.content == build_artifact(real).content


def test_the_sdk_is_no_part_of_a_flow_even_where_it_lies_beside_it(write: Any) -> None:
    write("dagy/__init__.py", "")
    write("dagy_worker/__init__.py", "")
    assert names(write("main_flow.py", "import dagy.loader, dagy_worker")) == ["main_flow.py"]


def test_a_name_that_is_not_utf_8_is_refused_unless_left_out(write: Any, tmp_path: Path) -> None:
    write("pkg/__init__.py", "")
    (tmp_path / "pkg" / os.fsdecode(b"caf\xe9.txt")).touch()
    file = write("main_flow.py", "import pkg")
    with pytest.raises(BuildError, match=r"has a name that is not UTF-8: rename it, or name it in .dagyignore"):
        names(file)
    write(".dagyignore", "*.txt")
    assert names(file) == ["main_flow.py", "pkg/__init__.py"]
