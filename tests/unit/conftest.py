"""Each unit test leaves the process as it found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from celery.signals import before_task_publish

from dagy_queue.messaging.names import LAUNCH_TASK


@pytest.fixture(autouse=True)
def _publications_enter_no_ledger() -> Iterator[None]:
    """Disconnect what ``enter_on_publish`` connected: the next test's Redis may be another, or none."""
    yield
    before_task_publish.disconnect(sender=LAUNCH_TASK, dispatch_uid="dagy_queue.publication")
