"""Launching by the queue: publishing runs to Redis, and where it is wanted, waiting until ECS has taken them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from dagy_queue.errors import DagyQueueError, Problem, RequestInvalid, ResultTimeout, RunCancelled, RunFailed
from dagy_queue.ledger import Phase, RunEntry
from dagy_queue.ledger.publications import Publication
from dagy_queue.messaging.names import LAUNCH_QUEUE, LAUNCH_TASK
from dagy_queue.messaging.publication import about_request, shown_kwargs
from dagy_queue.producer.bulk import check_message
from dagy_queue.producer.canvas import to_json
from dagy_queue.producer.celery_options import CeleryOptions
from dagy_queue.producer.explanation import Explanation, find_explanation
from dagy_queue.producer.own_ids import check_run_id
from dagy_queue.producer.publisher import Publisher, default_publisher
from dagy_queue.producer.results import DagLaunchResult, RunStatusReport
from dagy_queue.producer.run import RunHandle
from dagy_queue.producer.status import find_status
from dagy_queue.producer.ways import Asked, failed, launched
from dagy_queue.requests import RunRequest
from dagy_queue.settings import Settings

_SHORTEST_POLL, _LONGEST_POLL = 0.02, 0.5


class QueuedLaunches:
    """Publishes runs."""

    def __init__(self, config: Settings | None = None, publisher: Publisher | None = None) -> None:
        self._config = config
        self._given = publisher

    def launch(
        self, asked: Sequence[Asked], *, wait: bool, options: CeleryOptions | None = None
    ) -> list[DagLaunchResult]:
        """Publish what can be published, in one round trip, and wait for ECS where that is wanted."""
        requests = {each.run_id: each.request for each in asked if each.request is not None}
        own_ids = [each.run_id for each in asked if each.request is not None and each.own_id]
        try:
            self._publish(requests, options, own_ids)
        except DagyQueueError as exc:
            results = {run_id: failed(run_id, r, exc) for run_id, r in requests.items()}
        else:
            deadline = time.monotonic() + self.publisher.settings.launch.submit_timeout
            results = {
                run_id: self._submitted(run_id, r, deadline) if wait else launched(run_id, r)
                for run_id, r in requests.items()
            }
        return [each.refused or results[each.run_id] for each in asked]

    def publish(
        self, run_id: str, request: RunRequest, options: CeleryOptions | None = None, *, own_id: bool = False
    ) -> RunHandle:
        """Publish one run; ``own_id`` if the caller chose its id. Raises RequestInvalid, RedisUnavailable."""
        self._publish({run_id: request}, options, [run_id] if own_id else [])
        return RunHandle(run_id, self.publisher)

    def publish_again(self, run_id: str, call: Mapping[str, Any], filled: RunRequest) -> RunHandle:
        """Publish a launch that was published before: with its ``args``, from a task before it, and its ``kwargs``.

        ``filled`` is the request that was made of it. Raises RequestInvalid, RedisUnavailable.
        """
        values = {**call["kwargs"]["request"], "correlation_id": filled.correlation_id}
        kwargs = {**call["kwargs"], "request": values}
        self.publisher.runs.publish_all([self._rendered(run_id, call["args"], kwargs, filled.priority, {})])
        return RunHandle(run_id, self.publisher)

    def explain(self, run_id: str) -> Explanation | None:
        """Return what the ledger says, else the record."""
        return find_explanation(self.publisher, run_id)

    def status(self, run_id: str) -> RunStatusReport | None:
        """Return the status of a run, from the ledger or the record."""
        return find_status(self.publisher, run_id)

    @cached_property
    def publisher(self) -> Publisher:
        """Where runs are published."""
        if self._given is not None:
            return self._given
        return Publisher.build(self._config) if self._config else default_publisher()

    def _publish(self, requests: dict[str, RunRequest], options: CeleryOptions | None, own_ids: Sequence[str]) -> None:
        given = (options or CeleryOptions()).as_dict()
        for run_id in own_ids:
            check_run_id(self.publisher, run_id)
        known = self.publisher.runs.publish_all([self._publication(i, r, given) for i, r in requests.items()])
        for run_id in known:
            if self.publisher.runs.get(run_id).org_id != requests[run_id].org_id:
                raise RequestInvalid([Problem("run_id", run_id, "an id that no other run has")])

    def _publication(self, run_id: str, request: RunRequest, options: dict[str, Any]) -> Publication:
        values = to_json(request) | {"correlation_id": request.correlation_id or run_id}
        return self._rendered(run_id, (), {"request": values}, request.priority, options)

    def _rendered(
        self, run_id: str, args: Sequence[Any], kwargs: dict[str, Any], priority: int, options: dict[str, Any]
    ) -> Publication:
        publisher, values = self.publisher, kwargs["request"]
        signature = publisher.app.signature(
            LAUNCH_TASK, args=tuple(args), kwargs=kwargs, queue=LAUNCH_QUEUE, priority=priority, immutable=True
        )
        message = publisher.renderer.signature(signature, task_id=run_id, kwargsrepr=shown_kwargs(values), **options)
        check_message(message.message)
        return Publication(run_id, message, about_request(values))

    def _submitted(self, run_id: str, request: RunRequest, deadline: float) -> DagLaunchResult:
        try:
            return launched(run_id, request, self._wait_for_task(run_id, deadline))
        except DagyQueueError as exc:
            return failed(run_id, request, exc)

    def _wait_for_task(self, run_id: str, deadline: float) -> str:
        """Wait until ECS has taken a run's task and return its ARN. Raises RunFailed, RunCancelled, ResultTimeout."""
        pause = _SHORTEST_POLL
        while True:
            entry = self.publisher.runs.get(run_id)
            if entry.task_arn:
                return entry.task_arn
            _raise_if_over(entry)
            if time.monotonic() + pause > deadline:
                seconds = self.publisher.settings.launch.submit_timeout
                why = f" (last refusal: {entry.refusal})" if entry.refusal else ""
                raise ResultTimeout(
                    f"ECS has not taken run {run_id} within {seconds:g} seconds{why}; it stays queued and will be "
                    "launched: cancel it if it must not"
                )
            time.sleep(pause)
            pause = min(_LONGEST_POLL, pause * 1.5)


def _raise_if_over(entry: RunEntry) -> None:
    outcome = dict((entry.completion or {}).get("outcome") or {})
    summary = str(outcome.get("summary") or f"run {entry.run_id} ended without a task")
    if entry.phase is Phase.CANCELLED:
        raise RunCancelled(summary)
    if entry.phase in (Phase.FAILED, Phase.STOPPED):
        raise RunFailed(summary, outcome)
