"""The messages that a consumer has in hand, kept hidden from others for as long as it works on them.

A turn takes milliseconds, and then nothing here calls SQS. When applying takes long, because Redis is away, the
heartbeat of the bridge prolongs the messages' visibility, so that they neither come to others nor count as received
again; up to SQS's limit of 12 hours from the receive, beyond which it refuses.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from dagy_queue.bridge.event_queue import EventQueue, Received
from dagy_queue.bridge.stopping import Stop
from dagy_queue.bridge.troubles import Call, Troubles
from dagy_queue.errors import AwsError

LONGEST = 43_200
"""Seconds that SQS keeps a received message hidden at most, however often that is prolonged."""
_MARGIN = 60
log = structlog.get_logger(__name__)


class Hand:
    """What one consumer has in hand. The heartbeat and the stopping bridge look at it from other threads."""

    def __init__(
        self,
        queue: EventQueue,
        visibility_timeout: int,
        troubles: Troubles,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._visibility_timeout = visibility_timeout
        self._troubles = troubles
        self._now = now
        self._lock = threading.Lock()
        self._messages: tuple[Received, ...] = ()
        self._since = self._renewed = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in hand."""
        return not self._messages

    @property
    def is_spent(self) -> bool:
        """Whether the messages are out of their 12 hours: others will receive them whatever we do."""
        return self._now() - self._since >= LONGEST - _MARGIN

    def take(self, messages: Sequence[Received]) -> None:
        """Have these in hand from now on."""
        with self._lock:
            self._messages = tuple(messages)
            self._since = self._renewed = self._now()

    def let_go(self) -> Sequence[Received]:
        """Have nothing in hand any more; return what it was."""
        with self._lock:
            before, self._messages = self._messages, ()
            return before

    def renew_if_due(self) -> None:
        """Hide the messages for another while, once a third of the last one has passed."""
        with self._lock:
            now, messages = self._now(), self._messages
            seconds = min(self._visibility_timeout, int(self._since + LONGEST - _MARGIN - now))
            if not messages or seconds <= 0 or now - self._renewed < self._visibility_timeout / 3:
                return
            self._renewed = now
        self._hide(messages, seconds)

    def give_back(self) -> int:
        """Let others have the messages at once; return how many there were."""
        messages = self.let_go()
        if messages:
            log.info("events_given_back", messages=len(messages))
            self._hide(messages, 0)
        return len(messages)

    def _hide(self, messages: Sequence[Received], seconds: int) -> None:
        try:
            left = self._queue.hide(messages, seconds)
        except AwsError as exc:
            self._troubles.failed(Call.EXTEND, exc)
            return
        self._troubles.worked(Call.EXTEND)
        if left:
            log.info("events_not_in_hand", messages=len(left), reason="their visibility timeout was over")


def keep_hidden(hands: Sequence[Hand], visibility_timeout: int, stop: Stop) -> None:
    """Be the heartbeat of several hands until the bridge's grace is over."""
    while not stop.over.wait(min(5.0, visibility_timeout / 6)):
        for hand in hands:
            hand.renew_if_due()
