"""Which runs the passes of this dispatcher conclude: one pass at a time has a run, however often its message comes.

A message may come twice at once: Redis gives back what is unacknowledged for too long, also while it is worked on. The
pass that claims the run in the ledger concludes it, the others end at once. ``dispatch/tasks.py`` and ``concluding.py``
claim; a thread tells the ledger of passes that last, so that only a dead claimant's run is anybody's again: after
``reconciler.longest_pass`` the reconciler sends its message once more.
"""

from __future__ import annotations

import os
import threading
import time
from itertools import count
from typing import Any

import structlog

from dagy_queue.errors import LedgerError, RedisUnavailable
from dagy_queue.ids import new_id
from dagy_queue.ledger import RunLedger
from dagy_queue.ledger.attempts import Claimant, StoppedRun

log = structlog.get_logger(__name__)

_LONGEST_SILENCE = 10.0
_SIGNS_IN_A_LEASE = 4


class Claims:
    """The passes that have a run now, by the names they claim with."""

    def __init__(self, runs: RunLedger, lease: float) -> None:
        """``lease`` are the seconds after which a pass without a sign of life counts as dead."""
        self._runs = runs
        self._lease = lease
        self._silence = min(_LONGEST_SILENCE, lease / _SIGNS_IN_A_LEASE)
        self._process = f"{os.getpid()}-{new_id()[:8]}"
        self._numbers = count(1)
        self._held: dict[str, tuple[str, float]] = {}
        self._stopping = threading.Event()

    def take(self, request: Any, resume: int | None) -> StoppedRun | None:
        """Claim a stopped run for the second pass of a Celery request; None if it has nothing to conclude.

        The same pass may ask again. Raises RedisUnavailable.
        """
        stopped = self._runs.claim(request.id, resume, self._claimant(request))
        if stopped is None:
            self.done(request)
        return stopped

    def take_first(self, request: Any) -> bool:
        """Claim a run that a first pass ends because it cannot be parked; False if another one does, or did."""
        is_ours = self._runs.claim_first(request.id, self._claimant(request))
        if not is_ours:
            self.done(request)
        return is_ours

    def done(self, request: Any) -> None:
        """Forget a pass whose run is over or goes on: nothing is left to claim."""
        self._held.pop(getattr(request, "dagy_claim", ""), None)

    def let_go(self, request: Any) -> None:
        """Give up the claim of a pass that ends now, if it has one still: its message comes again."""
        name = getattr(request, "dagy_claim", "")
        if name in self._held:
            self._drop({name: self._held.pop(name)[0]})

    def let_go_of_all(self) -> None:
        """Give up all claims: the process ends, and hands back the messages of its passes."""
        held, self._held = self._held, {}
        if held:
            self._drop({name: run_id for name, (run_id, _) in held.items()})

    def start(self) -> None:
        """Begin to tell the ledger of passes that last."""
        threading.Thread(target=self._keep_on, name="dagy-claims", daemon=True).start()

    def stop(self) -> None:
        """End that: no pass lasts from here on."""
        self._stopping.set()

    def keep(self) -> None:
        """Give a sign of life for the passes that had their claim for a while. Raises RedisUnavailable."""
        before = time.monotonic() - self._silence
        if lasting := {name: run_id for name, (run_id, since) in self._held.copy().items() if since <= before}:
            self._runs.keep_claims(lasting)

    def _claimant(self, request: Any) -> Claimant:
        if not getattr(request, "dagy_claim", ""):
            request.dagy_claim = f"{self._process}/{next(self._numbers)}"
        self._held.setdefault(request.dagy_claim, (request.id, time.monotonic()))
        return Claimant(request.dagy_claim, self._lease)

    def _drop(self, claims: dict[str, str]) -> None:
        try:
            self._runs.drop_claims(claims)
        except (LedgerError, RedisUnavailable) as exc:
            log.warning("claims_not_dropped", runs=list(claims.values()), error=str(exc))

    def _keep_on(self) -> None:
        while not self._stopping.wait(self._silence):
            try:
                self.keep()
            except (LedgerError, RedisUnavailable) as exc:
                log.warning("claims_not_kept", error=str(exc))
