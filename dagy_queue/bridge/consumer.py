"""One receiver of the bridge: takes messages in batches of ten, applies them to the ledger, deletes what is applied.

The service (``bridge/service.py``) runs several in threads. A message is deleted only after the ledger has it; one that
cannot be read stays in the queue, and its redrive policy moves it to the dead-letter queue.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog

from dagy_queue.aws.errors import mapped
from dagy_queue.bridge.events import EventInvalid, read_event
from dagy_queue.errors import AwsError, RedisUnavailable
from dagy_queue.ledger import RunLedger
from dagy_queue.ledger.runs import Observation
from dagy_queue.settings import BridgeSettings

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

log = structlog.get_logger(__name__)

BATCH = 10
"""Messages in one SQS call (SQS API reference: ReceiveMessage, DeleteMessageBatch)."""

_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.5, 30.0


class Consumer:
    """A loop over receive, apply, delete."""

    def __init__(
        self,
        sqs: SQSClient,
        queue_url: str,
        runs: RunLedger,
        settings: BridgeSettings,
        container_name: str,
    ) -> None:
        self._sqs = sqs
        self._queue_url = queue_url
        self._runs = runs
        self._settings = settings
        self._container_name = container_name

    def run(self, stopping: threading.Event) -> None:
        """Consume until told to stop; failing calls are repeated with growing delays."""
        backoff = _FIRST_BACKOFF
        while not stopping.is_set():
            try:
                self.turn()
                backoff = _FIRST_BACKOFF
            except (AwsError, RedisUnavailable) as exc:
                log.warning("bridge_call_failed", error=str(exc), retry_in=backoff)
                stopping.wait(backoff)
                backoff = min(_LONGEST_BACKOFF, backoff * 2)
            except Exception:
                log.exception("bridge_crashed")
                stopping.wait(backoff)

    def turn(self) -> int:
        """Receive once; return how many messages were applied and deleted. Raises AwsError, RedisUnavailable."""
        messages = self._receive()
        readable = [(m, o) for m in messages if (o := self._read(m)) is not None]
        if not readable:
            return 0
        answers = self._runs.apply([observation for _, observation in readable])
        for (_, observation), answer in zip(readable, answers, strict=True):
            _log_applied(observation, answer.value)
        self._delete([message for message, _ in readable])
        return len(readable)

    def _receive(self) -> Sequence[MessageTypeDef]:
        with mapped("sqs:ReceiveMessage"):
            answer = self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=BATCH,
                WaitTimeSeconds=self._settings.wait_seconds,
                VisibilityTimeout=self._settings.visibility_timeout,
            )
        return answer.get("Messages", [])

    def _read(self, message: MessageTypeDef) -> Observation | None:
        try:
            return read_event(message.get("Body", ""), self._container_name)
        except EventInvalid as exc:
            log.warning("event_unreadable", message_id=message.get("MessageId"), error=str(exc))
            return None

    def _delete(self, messages: Sequence[MessageTypeDef]) -> None:
        with mapped("sqs:DeleteMessageBatch"):
            answer = self._sqs.delete_message_batch(
                QueueUrl=self._queue_url,
                Entries=[{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)],
            )
        for failed in answer.get("Failed", []):
            # It comes again after its visibility timeout and changes nothing then.
            log.warning("event_not_deleted", code=failed.get("Code"), error=failed.get("Message"))


def _log_applied(observation: Observation, answer: str) -> None:
    log.info(
        "event",
        run_id=observation.attempt_id.run_id,
        attempt=observation.attempt_id.attempt,
        version=observation.version,
        phase=observation.phase or ("STOPPED" if observation.completion is not None else ""),
        applied=answer,
    )
