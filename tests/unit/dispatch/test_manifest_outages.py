"""Manifests while S3 is away, throttles, or does not take the dispatcher's credentials: nothing is lost for that."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Retry

from dagy_queue.aws import objects
from dagy_queue.dispatch import batch_end, batch_tasks, manifests
from dagy_queue.dispatch.services import Services
from dagy_queue.ledger import Phase
from dagy_queue.messaging.names import FAN_OUT_TASK
from tests.unit.dispatch.manifest_kit import KEY, publish, rows, sent
from tests.unit.s3_kit import FakeS3, refusal

# Celery 5.7's Redis backend calls what redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

SHARDS = 2000
COUNTING, ENTERING = 0, 8
"""Reads that S3 answers before it refuses: none, or all that counting needs and some more."""

PASSING = [("ExpiredToken", 400), ("InvalidAccessKeyId", 403), ("SlowDown", 503), ("InternalError", 500)]


@dataclass
class Refusing(FakeS3):
    """An S3 that answers ``good`` reads, and refuses all that follow."""

    good: int = 0
    code: str = ""
    status: int = 400

    def get_object(self, **asked: Any) -> dict[str, Any]:
        """Answer, or refuse."""
        if self.good <= 0:
            raise refusal(self.code, self.status)
        self.good -= 1
        return super().get_object(**asked)


class FanOut:
    """The dispatcher's task of a batch, as Celery calls it: it notes how long it has to wait."""

    def __init__(self, services: Services, batch_id: str) -> None:
        app = Celery("dispatcher", set_as_current=False)
        batch_tasks.register_batches(app, services)
        self._task: Any = app.tasks[FAN_OUT_TASK]
        self._task.retry = self._retry
        self.batch_id = batch_id
        self._retries = 0
        self.waits: list[float] = []

    def run(self) -> Any:
        """Do it once. Raises Retry if it has to wait."""
        self._task.push_request(retries=self._retries, called_directly=False, id=self.batch_id)
        try:
            return self._task.run(self.batch_id)
        finally:
            self._task.pop_request()

    def _retry(self, *, countdown: float, **_: Any) -> Retry:
        self._retries += 1
        assert self._retries <= self._task.max_retries
        self.waits.append(countdown)
        return Retry()

    def run_until_it_ends(self) -> Any:
        """Do it as often as it asks for it."""
        while True:
            try:
                return self.run()
            except Retry:
                continue


@pytest.fixture
def s3() -> Refusing:
    return Refusing({KEY: rows(SHARDS)})


@pytest.fixture
def reading(services: Services, s3: Refusing, monkeypatch: pytest.MonkeyPatch) -> Services:
    """Services whose S3 has the manifest, and gives it in small parts."""
    monkeypatch.setattr(objects, "PART", 4096)
    monkeypatch.setattr(manifests, "_BUFFER", 4096)
    return replace(services, aws=SimpleNamespace(s3=s3))  # type: ignore[arg-type]


def fan_out_of(reading: Services, s3: Refusing, refusal: tuple[int, str, int]) -> FanOut:
    """Publish a batch whose manifest S3 gives so much of, before it refuses."""
    s3.good, s3.code, s3.status = refusal
    return FanOut(reading, publish(reading))


@pytest.mark.parametrize("good", [COUNTING, ENTERING])
@pytest.mark.parametrize(("code", "status"), PASSING)
def test_a_manifest_is_read_on_once_s3_answers_again(
    reading: Services, s3: Refusing, good: int, code: str, status: int
) -> None:
    fan_out = fan_out_of(reading, s3, (good, code, status))
    for _ in range(20):
        with pytest.raises(Retry):
            fan_out.run()
    batch = reading.batches.get(fan_out.batch_id)
    assert (batch.is_counted, batch.refused, batch.cancel_reason) == (good == ENTERING, "", "")
    assert bool(batch.expanded) is (good == ENTERING)
    s3.good = SHARDS
    assert fan_out.run()["shards"] == SHARDS
    assert reading.batches.progress(fan_out.batch_id) == ({Phase.HELD: SHARDS}, True)
    assert sent(reading) == []


@pytest.mark.parametrize("good", [COUNTING, ENTERING])
@pytest.mark.parametrize(("code", "status"), PASSING[::2])
def test_a_manifest_that_cannot_be_read_for_an_hour_and_a_half_fails_its_batch(
    reading: Services, s3: Refusing, good: int, code: str, status: int
) -> None:
    fan_out = fan_out_of(reading, s3, (good, code, status))
    fan_out.run_until_it_ends()
    assert fan_out.waits[:14] == [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 60, 60]
    assert 5400 <= sum(fan_out.waits) <= 6000
    batch = reading.batches.get(fan_out.batch_id)
    assert batch.refused.startswith("its manifest cannot be read: ")
    assert code in batch.refused


@pytest.mark.parametrize(("code", "status"), [("NoSuchKey", 404), ("AccessDenied", 403)])
def test_a_manifest_that_s3_refuses_for_good_fails_its_batch_at_once(
    reading: Services, s3: Refusing, code: str, status: int
) -> None:
    fan_out = fan_out_of(reading, s3, (COUNTING, code, status))
    assert fan_out.run()["shards"] == 0
    assert code in reading.batches.get(fan_out.batch_id).refused


@pytest.mark.parametrize("good", [COUNTING, ENTERING])
def test_a_batch_that_is_cancelled_does_not_wait_for_s3(reading: Services, s3: Refusing, good: int) -> None:
    fan_out = fan_out_of(reading, s3, (good, "SlowDown", 503))
    with pytest.raises(Retry):
        fan_out.run()
    reading.batches.cancel(fan_out.batch_id, "not wanted")
    entered = fan_out.run()["shards"]
    assert bool(entered) is (good == ENTERING)
    assert batch_end.cancel_batch(reading, fan_out.batch_id) == entered
    batch = reading.batches.get(fan_out.batch_id)
    assert batch.refused.startswith("it was cancelled (not wanted) while its manifest could not be read: s3:GetObject")
