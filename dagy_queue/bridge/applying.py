"""Applies events to the ledger, waiting for a Redis that is away. The consumer hands it what it could read.

An event on which the ledger fails does not hold up the others that came with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from dagy_queue.bridge.hand import Hand
from dagy_queue.bridge.shared import Shared
from dagy_queue.bridge.troubles import Backoff, Call
from dagy_queue.bridge.verdicts import Refused
from dagy_queue.errors import LedgerError, RedisUnavailable
from dagy_queue.ledger import RunLedger
from dagy_queue.ledger.runs import Applied, Observation

log = structlog.get_logger(__name__)

_LONGEST_WAIT = 5.0
"""Seconds: the longest that events wait in hand once Redis is back."""


class Applier:
    """Brings one consumer's events into the ledger."""

    def __init__(self, runs: RunLedger, hand: Hand, shared: Shared) -> None:
        self._runs = runs
        self._hand = hand
        self._troubles, self._stop = shared.troubles, shared.stop
        self._backoff = Backoff(_LONGEST_WAIT)

    def apply(self, observations: Sequence[Observation]) -> list[Applied | Refused] | None:
        """Return the ledger's answers in order; None if Redis stayed away for as long as the messages can be held."""
        while True:
            try:
                answers = self._answers(observations)
            except RedisUnavailable as exc:
                self._troubles.failed(Call.APPLY, exc)
                if self._stop.over.wait(self._backoff.next()) or self._hand.is_spent:
                    return None
            else:
                self._troubles.worked(Call.APPLY)
                self._backoff.reset()
                return answers

    def _answers(self, observations: Sequence[Observation]) -> list[Applied | Refused]:
        try:
            return list(self._runs.apply(observations))
        except LedgerError:
            return [self._answer(observation) for observation in observations]

    def _answer(self, observation: Observation) -> Applied | Refused:
        try:
            return self._runs.apply([observation])[0]
        except LedgerError as exc:
            log.exception("event_fails_in_ledger", run_id=observation.attempt_id.run_id)
            return Refused(str(exc))
