"""One queue: ready messages in a deque, hidden ones in a heap by the time they come back, receivers waiting on
futures. Every operation is O(1) or O(log n) amortised. Runs in one event loop; called by the service only."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from dagy_queue.local.sqs.messages import Message, Receipt, State

MAX_IN_FLIGHT = 120_000
"""Received and not yet deleted messages a standard queue holds at most."""


@dataclass(slots=True)
class Counters:
    """What happened on a queue since it was made; ``/_local/sqs/stats`` shows it."""

    sent: int = 0
    received: int = 0
    deleted: int = 0
    empty_receives: int = 0
    dead_lettered: int = 0


class Queue:
    """A standard queue.

    ``bury`` is asked for each message about to be received; True means that it went to the dead-letter queue instead.
    """

    def __init__(self, name: str, bury: Callable[[Queue, Message], bool]) -> None:
        self.name = name
        self.counters = Counters()
        self.retention = 345_600.0
        self._bury = bury
        self._messages: dict[int, Message] = {}
        self._ready: deque[Message] = deque()
        self._hidden: list[tuple[float, int, Message]] = []
        self._count = {State.READY: 0, State.DELAYED: 0, State.HIDDEN: 0}
        self._numbers = 0
        self._hidings = 0
        self._waiters: dict[asyncio.Future[None], None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._releases = 0
        self._closed = False

    def count(self, state: State) -> int:
        """Return how many messages are in a state."""
        self._release_due()
        return self._count[state]

    @property
    def waiting_receivers(self) -> int:
        """How many long polls wait right now."""
        return len(self._waiters)

    def send(self, message: Message, delay: float = 0) -> None:
        """Add a message; with a delay it shows up later."""
        self._numbers += 1
        message.number = self._numbers
        self._messages[message.number] = message
        self.counters.sent += 1
        if delay > 0:
            self._move(message, State.DELAYED)
            self._hide_until(message, time.monotonic() + delay)
        else:
            self._show(message)
            self._wake_one()

    def take(self, limit: int, visibility: float) -> list[Message]:
        """Receive up to ``limit`` messages that are ready now."""
        self._release_due()
        taken: list[Message] = []
        wall = time.time()
        until = time.monotonic() + visibility
        while self._ready and len(taken) < limit:
            message = self._ready.popleft()
            if message.state is not State.READY:
                continue
            if message.sent_at + self.retention < wall:
                self._forget(message)
                continue
            if self._bury(self, message):
                self.counters.dead_lettered += 1
                continue
            message.receives += 1
            message.first_received_at = message.first_received_at or wall
            self._move(message, State.HIDDEN)
            self._hide_until(message, until)
            taken.append(message)
        self.counters.received += len(taken)
        if self._ready:
            self._wake_one()
        return taken

    async def take_waiting(self, limit: int, visibility: float, wait: float) -> list[Message]:
        """Receive like :meth:`take`, waiting up to ``wait`` seconds for a first message."""
        deadline = time.monotonic() + wait
        releases = self._releases
        while not (taken := self.take(limit, visibility)):
            left = deadline - time.monotonic()
            if left <= 0 or self._closed or self._releases != releases:
                self.counters.empty_receives += 1
                break
            await self._wait(left)
        return taken

    def delete(self, receipt: Receipt) -> None:
        """Delete what the receipt stands for; an outdated receipt deletes nothing, as in AWS."""
        message = self._messages.get(receipt.number)
        if message and message.receives == receipt.receives:
            self._forget(message)
            self.counters.deleted += 1

    def change_visibility(self, receipt: Receipt, seconds: float) -> bool:
        """Restart the clock of a received message; False if it is not in flight."""
        message = self._messages.get(receipt.number)
        if message is None or message.state is not State.HIDDEN or message.receives != receipt.receives:
            return False
        if seconds > 0:
            self._hide_until(message, time.monotonic() + seconds)
        else:
            self._show(message)
            self._wake_one()
        return True

    def withdraw(self, message: Message) -> Message:
        """Take a message out of this queue for another one, and return it as that one shall have it."""
        self._forget(message)
        return replace(message, number=0)

    def ready(self) -> Iterator[Message]:
        """Go through the messages that are ready now."""
        self._release_due()
        return iter([message for message in self._ready if message.state is State.READY])

    def knows(self, receipt: Receipt) -> bool:
        """Tell whether this queue could have given out the receipt."""
        return receipt.queue == self.name and 0 < receipt.number <= self._numbers

    def purge(self) -> None:
        """Drop every message."""
        for message in list(self._messages.values()):
            self._forget(message)
        self._ready.clear()
        self._hidden.clear()

    def release(self) -> None:
        """Answer every waiting receiver with nothing."""
        self._releases += 1
        while self._waiters:
            self._wake_one()

    def close(self) -> None:
        """Answer every receiver at once from now on; the queue or the server is going away."""
        self._closed = True
        self.release()
        if self._timer:
            self._timer.cancel()

    # -- states -------------------------------------------------------------------------------------------------

    def _move(self, message: Message, state: State) -> None:
        for one, step in ((message.state, -1), (state, 1)):
            if one in self._count:
                self._count[one] += step
        message.state = state

    def _show(self, message: Message) -> None:
        message.hiding = 0
        self._move(message, State.READY)
        self._ready.append(message)

    def _forget(self, message: Message) -> None:
        message.hiding = 0
        self._move(message, State.GONE)
        self._messages.pop(message.number, None)

    # -- hidden messages ------------------------------------------------------------------------------------------

    def _hide_until(self, message: Message, when: float) -> None:
        self._hidings += 1
        message.hiding = self._hidings
        heapq.heappush(self._hidden, (when, message.hiding, message))
        if len(self._hidden) > 64 + 2 * (self._count[State.HIDDEN] + self._count[State.DELAYED]):
            self._hidden = [entry for entry in self._hidden if entry[2].hiding == entry[1]]
            heapq.heapify(self._hidden)
        self._arm()

    def _release_due(self) -> None:
        now = time.monotonic()
        while self._hidden and self._hidden[0][0] <= now:
            _, hiding, message = heapq.heappop(self._hidden)
            if message.hiding == hiding:
                self._show(message)

    def _arm(self) -> None:
        """Have waiting receivers woken when the next hidden message comes back."""
        while self._hidden and self._hidden[0][2].hiding != self._hidden[0][1]:
            heapq.heappop(self._hidden)
        if not (self._waiters and self._hidden):
            return
        when = self._hidden[0][0]
        if self._timer and not self._timer.cancelled() and self._timer.when() <= when:
            return
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._release_due()
        if self._count[State.READY]:
            self._wake_one()
        self._arm()

    # -- waiting receivers ----------------------------------------------------------------------------------------

    async def _wait(self, seconds: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        self._arm()
        try:
            # Not wait_for: before Python 3.12 it lets a cancellation pass that comes after the waking.
            await asyncio.wait((waiter,), timeout=seconds)
        except asyncio.CancelledError:
            # Woken for a message and gone before taking it: the next one shall have it.
            if self._count[State.READY]:
                self._wake_one()
            raise
        finally:
            self._waiters.pop(waiter, None)

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = next(iter(self._waiters))
            del self._waiters[waiter]
            if not waiter.done():
                waiter.set_result(None)
                return
