"""The benchmarks' own parts; what they measure is for ``scripts/bench`` to say."""

from __future__ import annotations

import os
from typing import Any, Self

import pytest

from dagy_queue.settings import load_settings
from scripts.benchmarks import scene

OURS = "redis://127.0.0.1:7001/0"


class Stack:
    """As much of a LocalStack as a scene needs."""

    @property
    def environment(self) -> dict[str, str]:
        return {"DAGY_REDIS_URL": OURS}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def spawn(self, *_: str) -> Any:
        return None


def test_a_scene_leads_to_its_own_stack_whatever_the_caller_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene, "LocalStack", Stack)
    monkeypatch.setenv("DAGY_QUEUE__REDIS__URL", "redis://production:6379/0")
    before = dict(os.environ)
    with scene.running_scene():
        assert load_settings().redis.url == OURS
    assert dict(os.environ) == before
