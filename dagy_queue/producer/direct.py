"""Launching directly, as ``DagLauncher`` sees it. What needs AWS is imported when the first run is launched."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

from dagy_queue.errors import DagyQueueError, Problem, RequestInvalid
from dagy_queue.producer.canvas import to_json
from dagy_queue.producer.celery_options import CeleryOptions
from dagy_queue.producer.explanation import Explanation, explanation_of_record
from dagy_queue.producer.results import DagLaunchResult, RunStatusReport
from dagy_queue.producer.status import report_of_record
from dagy_queue.producer.ways import Asked, failed, launched
from dagy_queue.requests import ContainerRequest, LaunchRequest, RunRequest
from dagy_queue.requests.parsing import read_request
from dagy_queue.requests.templating import rendered
from dagy_queue.settings import Settings

if TYPE_CHECKING:
    from dagy_queue.launching.direct import DirectLauncher

_THREADS = 16


class DirectLaunches:
    """Launches by calling RunTask in this process."""

    def __init__(self, config: Settings) -> None:
        self._config = config

    def launch(
        self,
        asked: Sequence[Asked],
        *,
        wait: bool,  # noqa: ARG002 - here every launch is waited for
        options: CeleryOptions | None = None,
    ) -> list[DagLaunchResult]:
        """Launch all, several at a time; every result is that of a submitted task."""
        if len(asked) == 1:
            return [self._launch(asked[0], options)]
        with ThreadPoolExecutor(min(_THREADS, max(1, len(asked)))) as pool:
            return list(pool.map(lambda each: self._launch(each, options), asked))

    def explain(self, run_id: str) -> Explanation | None:
        """Return what the record and ECS say."""
        return explanation_of_record(self._launcher.find(run_id))

    def status(self, run_id: str) -> RunStatusReport | None:
        """Return what the record and ECS say."""
        return report_of_record(self._launcher.find(run_id))

    @cached_property
    def _launcher(self) -> DirectLauncher:
        from dagy_queue.launching.direct import DirectLauncher

        return DirectLauncher(self._config)

    def _launch(self, asked: Asked, options: CeleryOptions | None) -> DagLaunchResult:
        if asked.request is None:
            return asked.refused  # type: ignore[return-value]
        try:
            if options:
                raise RequestInvalid([Problem("options", "...", "nothing in direct mode: there is no Celery task")])
            task = self._launcher.launch(asked.run_id, _for(asked.run_id, asked.request), own_id=asked.own_id)
        except DagyQueueError as exc:
            return failed(asked.run_id, asked.request, exc)
        return launched(asked.run_id, asked.request, task.task_arn)


def _for(run_id: str, request: RunRequest) -> LaunchRequest | ContainerRequest:
    """Return a request with its templates filled in and a correlation id, as a dispatcher's first pass has it."""
    values = to_json(request)
    values["correlation_id"] = request.correlation_id or run_id
    return read_request(rendered(values, run_id=run_id))
