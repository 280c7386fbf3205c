"""The clientToken ledger: the same token with the same parameters is the same launch, for as long as AWS says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dagy_queue.local.ecs.reading import Json
from dagy_queue.local.ecs.tasks import Task
from dagy_queue.local.ports import AwsError

MAX_AGE_SECONDS = 24 * 3600.0
AFTER_STOP_SECONDS = 3600.0
_SWEEP_EVERY = 1000


@dataclass(frozen=True, slots=True)
class Launch:
    """What a token stands for: the parameters' digest, the answer given (JSON), the tasks made and when."""

    digest: str
    answer: str
    tasks: Sequence[Task]
    created_at: float

    def expires_at(self) -> float:
        """Return min(24 h after the call, 1 h after the last task stopped)."""
        latest = self.created_at + MAX_AGE_SECONDS
        stops = [task.stopped_at for task in self.tasks]
        if not stops or None in stops:
            return latest
        return min(latest, max(stop for stop in stops if stop is not None) + AFTER_STOP_SECONDS)


class TokenLedger:
    """Launches by cluster and token, forgotten when their time has passed."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._launches: dict[tuple[str, str], Launch] = {}
        self._added = 0

    def find(self, cluster: str, token: str, request: Mapping[str, Any]) -> Json | None:
        """Return the answer first given for a token, or None if it is free.

        Raises ConflictException, with the existing tasks' ARNs, if its parameters were others.
        """
        launch = self._launches.get((cluster, token))
        if launch is None or launch.expires_at() <= self._clock():
            return None
        if launch.digest == digest_of(request):
            answer: Json = json.loads(launch.answer)
            return answer
        raise AwsError(
            "ConflictException",
            "The RunTask request conflicts with an earlier one: its clientToken was used with other parameters.",
            fields={"resourceIds": [task.arn for task in launch.tasks]},
        )

    def add(self, cluster: str, token: str, request: Mapping[str, Any], answer: Json, tasks: Sequence[Task]) -> None:
        """Remember what a token launched."""
        launch = Launch(digest_of(request), json.dumps(answer), tuple(tasks), self._clock())
        self._launches[cluster, token] = launch
        self._added += 1
        if self._added % _SWEEP_EVERY == 0:
            self._sweep()

    def clear(self) -> None:
        """Forget every token."""
        self._launches.clear()

    def _sweep(self) -> None:
        now = self._clock()
        self._launches = {key: launch for key, launch in self._launches.items() if launch.expires_at() > now}


def digest_of(request: Mapping[str, Any]) -> str:
    """Return a digest of a request's parameters without the token and the cluster (which the ledger's key has)."""
    parameters = {k: v for k, v in request.items() if k not in ("clientToken", "cluster") and v is not None}
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
