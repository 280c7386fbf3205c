"""The README, the tutorial and the how-tos, each worked through from its first block to its last, on one stack."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from redis import Redis

from dagy_queue.local.readiness import bridge_ready, dispatchers_ready
from dagy_queue.local.stack import LocalStack
from tests.docs.pages import ELSEWHERE, ROOT, WORKED_THROUGH, Reader, looks_like
from tests.integration.waiting import eventually

SAID_BY_SERVERS = {"chords.md": r"alarm: [\w-]+ has failed"}
"""What a page says that a server prints which it starts."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Mapping[str, str]]:
    """The environment of a stack that is ready, as `dagy-queue up` says when it is."""
    with LocalStack() as stack:
        queue_url = stack.provisioned.queue_url
        stack.spawn("dispatcher").wait_until(lambda: dispatchers_ready(stack.redis_url), 60, "ready")
        stack.spawn("bridge").wait_until(lambda: bridge_ready(stack.endpoint_url, queue_url), 60, "ready")
        with Redis.from_url(stack.redis_url) as redis:  # what `dagy-queue doctor` looks at
            eventually(lambda: redis.exists("dagy:lead:reconciler"), "a bridge leads")
        yield stack.environment


@pytest.mark.parametrize("page", WORKED_THROUGH, ids=lambda page: page.name)
def test_a_page_works_as_it_is_written(page: Path, stack: Mapping[str, str], tmp_path: Path) -> None:
    with Reader(page, tmp_path, stack) as reader:
        reader.work_through()
        words = SAID_BY_SERVERS.get(page.name, "")
        eventually(lambda: re.search(words, reader.said_by_servers()), f"a server says {words!r}")


def test_what_is_shown_is_compared_but_for_dots_and_spaces_at_the_ends() -> None:
    assert looks_like("run  ...\ndone\n", "run  1234  \ndone")
    assert not looks_like("run  ...\ndone\n", "run  1234\nand more\ndone")
    assert looks_like("...\ndone", "done")
    assert looks_like("...\ndone\n...", "1\n2\ndone\nand more")
    assert not looks_like("...\ndone", "1\nfailed")


def test_what_pages_leave_to_others_is_run_by_those() -> None:
    for command, file in ELSEWHERE.items():
        assert (ROOT / file).exists(), command
