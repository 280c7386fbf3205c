"""What importing the SDK costs and brings in."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dagy

HEAVY = {"boto3", "botocore", "celery", "redis", "urllib3", "dagy_queue", "dagy_worker"}


def modules_after(code: str) -> set[str]:
    printing = f"{code}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", printing], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "code", ["import dagy", "from dagy import *", "import dagy.contract", "import dagy.cli", "import dagy.build"]
)
def test_the_sdk_needs_the_standard_library_only(code: str) -> None:
    assert not modules_after(code) & HEAVY


def test_what_a_run_does_not_always_need_is_imported_when_it_is_needed() -> None:
    code = "from dagy import DAG, FlowSpec, RunContext, flow, task; import dagy.loader"
    rarely = {"subprocess", "logging", "argparse", "zipfile", "uuid", "difflib", "ctypes", "asyncio", "pathspec"}
    assert not modules_after(code) & rarely


def test_importing_dagy_alone_loads_none_of_its_rooms() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import dagy, sys; print(*[m for m in sys.modules if m.startswith('dagy.')])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""


def test_every_public_name_can_be_had() -> None:
    for name in dagy.__all__:
        assert getattr(dagy, name) is not None
        assert name in dir(dagy)
    with pytest.raises(AttributeError, match="module 'dagy' has no attribute 'nothing'"):
        _ = dagy.nothing


def test_the_version_is_the_distribution_s() -> None:
    pyproject = Path(dagy.__file__).parents[1] / "pyproject.toml"
    assert tomllib.loads(pyproject.read_text())["project"]["version"] == dagy.__version__
