"""Sends messages that cannot be applied to the dead-letter queue, with the reason. The consumers use it."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from dagy_queue.bridge.dead_letters import DeadLetterQueue, quarantine_attributes
from dagy_queue.bridge.event_queue import EventQueue, Received
from dagy_queue.bridge.troubles import Call, Troubles
from dagy_queue.bridge.verdicts import Verdict
from dagy_queue.errors import AwsError, AwsRefused

log = structlog.get_logger(__name__)


class Quarantine:
    """The way to the dead-letter queue; without one, messages stay where they are until SQS drops them."""

    def __init__(
        self,
        find: Callable[[], DeadLetterQueue | None],
        connect: Callable[[str], EventQueue],
        is_recorded: Callable[[str], bool],
        troubles: Troubles,
    ) -> None:
        self._find = find
        self._connect = connect
        self._is_recorded = is_recorded
        self._troubles = troubles
        self._target: EventQueue | None = None
        self._told = False

    def max_receives(self, wanted: int) -> int:
        """Return after how many receives to quarantine: before SQS itself moves a message, which tells no reason."""
        try:
            found = self._find()
        except AwsError as exc:
            self._troubles.failed(Call.QUARANTINE, exc)
            return wanted
        if found is None:
            return wanted
        self._target = self._connect(found.url)
        if not found.max_receives or wanted < found.max_receives:
            return wanted
        log.warning(
            "max_receives_too_high",
            bridge=wanted,
            redrive_policy=found.max_receives,
            resolution="set DAGY_QUEUE__BRIDGE__MAX_RECEIVES below the redrive policy's maxReceiveCount",
        )
        return found.max_receives

    def is_needed(self, verdict: Verdict) -> bool:
        """Tell whether the message is to be kept; an end that the record knows of is not. Raises AwsError."""
        return not (verdict.unknown_run and self._is_recorded(verdict.unknown_run))

    def put(self, message: Received, verdict: Verdict) -> bool:
        """Send a message to the dead-letter queue; False if it has to stay where it is."""
        try:
            target = self._target or self._found()
            if target is None:
                return False
            target.send(message.body, quarantine_attributes(message, verdict.reason))
        except AwsError as exc:
            self._troubles.failed(Call.QUARANTINE, exc)
            return False
        self._troubles.worked(Call.QUARANTINE)
        log.warning("event_quarantined", message_id=message.message_id, reason=verdict.reason)
        return True

    def _found(self) -> EventQueue | None:
        found = self._find()
        if found is not None:
            self._target = self._connect(found.url)
        elif not self._told:
            self._told = True
            log.warning(
                "no_dead_letter_queue",
                resolution="messages that cannot be applied stay in the event queue; give it a redrive policy, or name "
                "a queue with DAGY_QUEUE__BRIDGE__DEAD_LETTER_URL",
            )
        return self._target


def recorded_in(find_run: Callable[[str], object | None]) -> Callable[[str], bool]:
    """Return whether the record has a run; without a table there is no record."""

    def is_recorded(run_id: str) -> bool:
        try:
            return find_run(run_id) is not None
        except AwsRefused:
            return False

    return is_recorded
