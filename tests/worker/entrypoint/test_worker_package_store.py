"""Where packages are kept: complete or not at all, for one org, interpreter and index."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dagy.contract import Env
from dagy_worker.package_store import PackageStore

SHA = "ab" * 32


def store(tmp_path: Path, org: str = "acme", own: str = "own", **environ: str) -> PackageStore:
    return PackageStore(tmp_path / own, {Env.PACKAGE_CACHE: str(tmp_path / "kept"), **environ}, org)


def fill(entry: Path) -> None:
    (entry / "package").mkdir()


def test_what_is_added_is_found_by_others(tmp_path: Path) -> None:
    entry = store(tmp_path).add(SHA, fill)
    assert store(tmp_path, own="other").find(SHA) == entry
    assert (entry / "package").is_dir()
    assert store(tmp_path).find("cd" * 32) is None


@pytest.mark.parametrize(
    "other", [{"org": "another"}, {"PIP_INDEX_URL": "https://index"}, {"PIP_NO_INDEX": "1"}], ids=str
)
def test_another_org_or_index_has_packages_of_its_own(tmp_path: Path, other: dict[str, str]) -> None:
    store(tmp_path).add(SHA, fill)
    assert store(tmp_path, **other).find(SHA) is None


@pytest.mark.parametrize("org", ["../escape", "a/b", "..", ".", "", "/etc"])
def test_no_org_leads_out_of_the_directory(tmp_path: Path, org: str) -> None:
    entry = store(tmp_path, org).add(SHA, fill)
    assert entry.parent.parent == tmp_path / "kept"


def test_an_installation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(entry: Path) -> None:
        fill(entry)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store(tmp_path).add(SHA, fail)
    assert store(tmp_path).find(SHA) is None
    assert list((tmp_path / "kept/acme").iterdir()) == []


def test_of_two_containers_that_install_at_once_one_wins(tmp_path: Path) -> None:
    def slower(entry: Path) -> None:
        fill(entry)
        faster = store(tmp_path).add(SHA, fill)
        (faster / "winner").touch()

    entry = store(tmp_path).add(SHA, slower)
    assert (entry / "winner").exists()
    assert len(list(entry.parent.iterdir())) == 1


def test_what_killed_containers_left_is_cleared_away_after_a_day(tmp_path: Path) -> None:
    kept = tmp_path / "kept/acme"
    for name, age in (("old", 2 * 86_400), ("new", 60)):
        left = kept / f".unfinished-{name}"
        left.mkdir(parents=True)
        os.utime(left, (left.stat().st_mtime - age,) * 2)
    entry = store(tmp_path).add(SHA, fill)
    assert {path.name for path in kept.iterdir()} == {".unfinished-new", entry.name}


def test_a_directory_that_cannot_be_written_to_is_read_only(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("not a directory")
    entry = store(tmp_path).add(SHA, fill)
    assert entry.parent == tmp_path / "own"
    assert store(tmp_path).find(SHA) == entry


def test_without_a_cache_packages_are_the_container_s_own(tmp_path: Path) -> None:
    own = PackageStore(tmp_path / "own", {}, "acme")
    assert own.add(SHA, fill).parent == tmp_path / "own"
    assert own.find(SHA) is not None
