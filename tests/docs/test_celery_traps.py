"""Every test and setting that docs/celery-traps.md names is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from dagy_queue.dispatch.celery_settings import dispatcher_settings
from dagy_queue.messaging.app import celery_config, make_app
from dagy_queue.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "celery-traps.md"


def rows() -> Iterator[list[str]]:
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] != "trap" and not set(line) <= set("|- "):
            yield cells


@cache
def known_tests() -> frozenset[str]:
    """The names of all tests."""
    files = (ROOT / "tests").rglob("test_*.py")
    return frozenset(name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE))


@cache
def celery_settings() -> frozenset[str]:
    """The names of the settings that we give Celery."""
    config = load_settings()
    return frozenset(celery_config(config)) | frozenset(dispatcher_settings(make_app(config).conf))


def is_there(name: str) -> bool:
    if name.startswith("test_"):
        return name in known_tests()
    section, dot, key = name.partition(".")
    return hasattr(getattr(Settings(), section), key) if dot else name in celery_settings()


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row[0][:60])
def test_what_a_row_names_is_there(row: list[str]) -> None:
    assert len(row) == 3
    named = re.findall("`([^`]+)`", row[2])
    assert [name for name in named if not is_there(name)] == []
    assert named or "Flower" in row[0]


def test_every_celery_setting_of_a_dispatcher_is_one_that_celery_knows() -> None:
    from celery.app.utils import SETTING_KEYS

    assert celery_settings() <= SETTING_KEYS
