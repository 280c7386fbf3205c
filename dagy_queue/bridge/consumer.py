"""One receiver of the bridge: takes messages in batches of ten, applies them to the ledger, deletes what is applied.

The service (``bridge/service.py``) runs several in threads. A message is deleted only after the ledger has it, and none
holds up another: what cannot be applied is left for a few more tries, then quarantined.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

import structlog

from dagy_queue.bridge.applying import Applier
from dagy_queue.bridge.event_queue import EventQueue, Received
from dagy_queue.bridge.events import EventInvalid, TaskEvent, read_event
from dagy_queue.bridge.hand import Hand
from dagy_queue.bridge.quarantine import Quarantine
from dagy_queue.bridge.shared import Shared
from dagy_queue.bridge.troubles import Backoff, Call
from dagy_queue.bridge.verdicts import Fate, Refused, Rules, Verdict, verdict_on_event, verdict_on_unreadable
from dagy_queue.errors import AwsError
from dagy_queue.ledger.runs import Applied

log = structlog.get_logger(__name__)

_LONGEST_WAIT = 30.0


class Consumer:
    """A loop over receive, apply, delete."""

    def __init__(
        self,
        queue: EventQueue,
        hand: Hand,
        applier: Applier,
        quarantine: Quarantine,
        rules: Rules,
        shared: Shared,
    ) -> None:
        self._queue = queue
        self._hand = hand
        self._applier = applier
        self._quarantine = quarantine
        self._rules = rules
        self._metrics, self._troubles, self._stop = shared.metrics, shared.troubles, shared.stop
        self._backoffs = {call: Backoff(_LONGEST_WAIT) for call in (Call.RECEIVE, Call.DELETE, Call.TURN)}

    def run(self) -> None:
        """Consume until told to stop."""
        while not self._stop.asked.is_set():
            try:
                self.turn()
            except Exception as exc:  # noqa: BLE001 - whatever it is, the thread goes on
                self._failed(Call.TURN, exc)
            else:
                self._worked(Call.TURN)

    def turn(self) -> int:
        """Receive once and deal with what came; return how many messages are done with."""
        messages = self._receive()
        self._hand.take(messages)
        try:
            if self._stop.asked.is_set():
                self._hand.give_back()
                return 0
            return self._deal_with(messages) if messages else 0
        finally:
            self._hand.let_go()

    def _receive(self) -> list[Received]:
        try:
            messages = self._queue.receive()
        except AwsError as exc:
            self._failed(Call.RECEIVE, exc)
            return []
        self._worked(Call.RECEIVE)
        self._metrics.received(messages)
        return messages

    def _deal_with(self, messages: Sequence[Received]) -> int:
        events: list[tuple[Received, TaskEvent]] = []
        unreadable: list[tuple[Received, EventInvalid]] = []
        for message in messages:
            try:
                events.append((message, read_event(message.body, self._rules.container_name)))
            except EventInvalid as exc:
                unreadable.append((message, exc))
        judged = self._apply(events)
        if judged is None:
            self._hand.give_back()
            return 0
        self._delete([message for message, verdict in judged if verdict.fate is Fate.DONE])
        judged += [(m, self._judge_unreadable(m, error)) for m, error in unreadable]
        bad = self._put_away((m, v) for m, v in judged if v.fate is Fate.QUARANTINE)
        self._delete(bad)
        return sum(verdict.fate is Fate.DONE for _, verdict in judged) + len(bad)

    def _apply(self, events: Sequence[tuple[Received, TaskEvent]]) -> list[tuple[Received, Verdict]] | None:
        """Apply events and judge them; None if Redis stayed away for too long."""
        answers = self._applier.apply([event.observation for _, event in events]) if events else []
        if answers is None:
            return None
        judged: list[tuple[Received, Verdict]] = []
        for (message, event), answer in zip(events, answers, strict=True):
            verdict = verdict_on_event(message, event, answer, self._rules, time.time())
            self._note(event, answer, verdict)
            judged.append((message, verdict))
        return judged

    def _judge_unreadable(self, message: Received, error: EventInvalid) -> Verdict:
        verdict = verdict_on_unreadable(message, error, self._rules)
        if verdict.fate is Fate.AGAIN:
            log.warning("event_unreadable", message_id=message.message_id, receives=message.receives, error=str(error))
            self._metrics.done("left")
        return verdict

    def _put_away(self, bad: Iterable[tuple[Received, Verdict]]) -> list[Received]:
        """Quarantine messages; return those that the event queue need not keep."""
        gone: list[Received] = []
        for message, verdict in bad:
            try:
                is_needed = self._quarantine.is_needed(verdict)
            except AwsError as exc:
                self._troubles.failed(Call.QUARANTINE, exc)
                continue
            if not is_needed or self._quarantine.put(message, verdict):
                self._metrics.done("quarantined" if is_needed else Applied.UNKNOWN.value)
                gone.append(message)
        return gone

    def _delete(self, messages: Sequence[Received]) -> None:
        """Delete messages, those that fail once more; what is left then comes again, and changes nothing."""
        for _ in range(2):
            if not messages:
                return
            try:
                messages = self._queue.delete(messages)
            except AwsError as exc:
                self._failed(Call.DELETE, exc)
            else:
                self._worked(Call.DELETE)
        if messages:
            log.warning("events_not_deleted", messages=len(messages))

    def _note(self, event: TaskEvent, answer: Applied | Refused, verdict: Verdict) -> None:
        observation = event.observation
        told = answer.value if isinstance(answer, Applied) else "refused"
        if verdict.fate is Fate.DONE:
            has_moved = answer in (Applied.APPLIED, Applied.RESUMED)
            self._metrics.done(told, event.emitted_at if has_moved else None)
        elif verdict.fate is Fate.AGAIN:
            self._metrics.done("left")
        log.info(
            "event",
            run_id=observation.attempt_id.run_id,
            attempt=observation.attempt_id.attempt,
            version=observation.version,
            phase=observation.phase or ("STOPPED" if observation.completion is not None else ""),
            applied=told,
        )

    def _failed(self, call: Call, error: Exception) -> None:
        self._troubles.failed(call, error)
        self._stop.asked.wait(self._backoffs[call].next())

    def _worked(self, call: Call) -> None:
        self._troubles.worked(call)
        self._backoffs[call].reset()
