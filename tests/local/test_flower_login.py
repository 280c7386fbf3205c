from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dagy_queue.local.flower_login import login_of
from dagy_queue.operate.flower.safety import check_login_text


@pytest.fixture(autouse=True)
def _no_login_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOWER_BASIC_AUTH", raising=False)


def test_a_login_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / ".dagy" / "flower-login"
    login = login_of(path)
    check_login_text(login)
    assert login_of(path) == login
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert login_of(tmp_path / "another") != login


def test_what_is_no_login_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "flower-login"
    path.write_text("junk\n")
    assert login_of(path).startswith("dagy:")


def test_a_login_of_ones_own_goes_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "ada:lovelace,bob:builder")
    assert login_of(tmp_path / "flower-login") == "ada:lovelace"
    assert not (tmp_path / "flower-login").exists()
