"""Each unit test leaves the process as it found it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from celery.signals import before_task_publish

from dagy_queue.messaging.names import LAUNCH_TASK
from dagy_queue.records.base import Record


@pytest.fixture(autouse=True)
def _publications_enter_no_ledger() -> Iterator[None]:
    """Disconnect what ``enter_on_publish`` connected: the next test's Redis may be another, or none."""
    yield
    before_task_publish.disconnect(sender=LAUNCH_TASK, dispatch_uid="dagy_queue.publication")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what leads to a stack: the integration tests' stack runs as long as the session."""
    for name in [name for name in os.environ if name.startswith(("DAGY_", "AWS_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _unbound_models() -> Iterator[None]:
    """Let no test use the clients that another one's models were bound to, with credentials of its own."""
    yield
    Record.bound = False
