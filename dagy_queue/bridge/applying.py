"""Applies events to the ledger, waiting for a Redis that is away. The consumer hands it what it could read.

An event that Redis alone refuses (a script fails on it) does not hold up the others that came with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import ResponseError

from dagy_queue.bridge.hand import Hand
from dagy_queue.bridge.shared import Shared
from dagy_queue.bridge.troubles import Backoff, Call
from dagy_queue.bridge.verdicts import Refused
from dagy_queue.errors import RedisUnavailable
from dagy_queue.ledger import RunLedger
from dagy_queue.ledger.runs import Applied, Observation

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
        except RedisUnavailable as exc:
            if not _is_fault_of_an_event(exc):
                raise
        return [self._answer(observation) for observation in observations]

    def _answer(self, observation: Observation) -> Applied | Refused:
        try:
            return self._runs.apply([observation])[0]
        except RedisUnavailable as exc:
            if not _is_fault_of_an_event(exc):
                raise
            return Refused(str(exc))


def _is_fault_of_an_event(error: RedisUnavailable) -> bool:
    """Tell whether a script failed on what it was given, rather than on the state of Redis (OOM, READONLY, LOADING)."""
    cause = error.__cause__
    text = str(cause)
    return isinstance(cause, ResponseError) and ("user_script" in text or "WRONGTYPE" in text)
