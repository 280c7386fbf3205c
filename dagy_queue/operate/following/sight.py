"""What one look at runs that go on shows; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dagy_queue.ledger import Phase

_WAITING = (Phase.QUEUED, Phase.HELD, Phase.SUBMITTING, Phase.RETRYING)


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that failed, and its diagnosis in a line."""

    what: str
    """``shard 7`` or ``run <id>``."""
    run_id: str
    summary: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """One look."""

    counts: Mapping[Phase, int]
    total: int
    is_counted: bool = True
    """False while a manifest is still read: the total is not known then."""
    is_over: bool = False
    failures: tuple[Failure, ...] = ()
    """Those since the last look."""
    more_failures: int = 0
    """How many others there were, which are not told one by one."""
    limit: float | None = None
    """Launches a second that all dispatchers together keep to now; None is no limit."""

    @property
    def done(self) -> int:
        """Runs that ended."""
        return sum(count for phase, count in self.counts.items() if phase.status.is_final)

    @property
    def launched(self) -> int:
        """Runs whose task ECS has taken."""
        return self.total - sum(self.counts.get(phase, 0) for phase in _WAITING)

    @property
    def is_untouched(self) -> bool:
        """Whether no dispatcher has taken anything of it from the queue."""
        return not self.is_over and all(phase is Phase.QUEUED for phase, count in self.counts.items() if count)


class Stall:
    """Tells once that nobody takes what was published."""

    SECONDS = 10.0

    def __init__(self, now: float) -> None:
        self._since: float | None = now

    def is_told(self, is_untouched: bool, now: float) -> bool:
        """Return True once, when nothing has been touched for some seconds."""
        if not is_untouched:
            self._since = None
        if self._since is None or now - self._since < self.SECONDS:
            return False
        self._since = None
        return True


STALLED = "no dispatcher has taken it from the queue yet: is one running? `dagy-queue doctor` tells"
