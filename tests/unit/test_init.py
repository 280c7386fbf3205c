"""The public face of the package."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dagy_queue
from dagy_queue import errors

SOURCE = Path(dagy_queue.__file__)


def modules_after(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has after running some code."""
    show = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def typed_names() -> set[str]:
    """Return the names that type checkers see."""
    (block,) = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.If)]
    return {
        alias.asname or alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


@pytest.mark.parametrize("name", dagy_queue.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(dagy_queue, name) is not None


def test_type_checkers_see_exactly_the_public_names() -> None:
    assert typed_names() == set(dagy_queue.__all__) - {"__version__"}


def test_every_error_is_public() -> None:
    tree = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert tree <= set(dagy_queue.__all__)


def test_dir_lists_the_public_names() -> None:
    assert set(dir(dagy_queue)) == set(dagy_queue.__all__)


def test_all_is_sorted_and_has_no_doubles() -> None:
    assert len(set(dagy_queue.__all__)) == len(dagy_queue.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = dagy_queue.nonsense  # type: ignore[attr-defined]


def test_the_guides_name_of_a_request_is_the_same_class() -> None:
    assert dagy_queue.DagLaunchRequest is dagy_queue.LaunchRequest


def test_importing_the_package_imports_no_dependency() -> None:
    heavy = {"celery", "kombu", "redis", "boto3", "botocore", "pydantic", "pynamodb", "structlog", "typer"}
    assert not modules_after("import dagy_queue") & heavy


def test_importing_an_error_imports_no_dependency() -> None:
    assert not modules_after("from dagy_queue import RunFailed") & {"celery", "redis", "boto3", "pydantic"}


def test_launching_imports_nothing_of_aws() -> None:
    modules = modules_after("from dagy_queue import launch, fan_out, launch_sig, RunHandle, BatchHandle")
    assert not modules & {"boto3", "botocore", "pynamodb", "dagy_queue.dispatch"}


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())["project"]
    assert dagy_queue.__version__ == project["version"]
