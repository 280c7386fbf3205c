"""Launching single runs: ``launch(...)`` for the process's settings, ``DagLauncher`` for explicit ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from celery import current_app

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.ids import is_run_id, new_id
from dagy_queue.messaging.names import LAUNCH_QUEUE, LAUNCH_TASK
from dagy_queue.messaging.publication import about_request
from dagy_queue.messaging.routing import settle_all
from dagy_queue.producer.canvas import as_request, to_json
from dagy_queue.producer.publisher import Publisher, default_publisher
from dagy_queue.producer.run import RunHandle
from dagy_queue.requests import RunRequest
from dagy_queue.settings import Settings

_PROTOCOL = frozenset(
    {
        "argsrepr",
        "chain",
        "chord",
        "eta",
        "expires",
        "group",
        "group_index",
        "id",
        "ignore_result",
        "kwargsrepr",
        "lang",
    }
    | {"origin", "parent_id", "replaced_task_nesting", "retries", "root_id", "shadow", "stamped_headers", "stamps"}
    | {"task", "timelimit"}
)
"""Headers of Celery's message protocol 2."""


@dataclass(frozen=True, kw_only=True)
class CeleryOptions:
    """Celery's own options of a launch: the same meaning as in ``apply_async``."""

    link: Any = None
    link_error: Any = None
    expires: Any = None
    ignore_result: bool = False
    headers: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the options that are set."""
        if reserved := sorted(name for name in self.headers if name in _PROTOCOL or name.startswith("dagy_")):
            raise RequestInvalid(
                [Problem("headers", name, "a name that neither Celery nor dagy_ uses") for name in reserved]
            )
        settle_all([self.link, self.link_error], current_app)
        options = {
            "link": self.link,
            "link_error": self.link_error,
            "expires": self.expires,
            "ignore_result": self.ignore_result,
            "headers": dict(self.headers),
        }
        return {name: value for name, value in options.items() if value}


class DagLauncher:
    """Launches runs. Without arguments it takes the settings of the process (environment variables)."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._publisher = Publisher.build(settings) if settings else default_publisher()

    def launch(
        self,
        request: RunRequest | None = None,
        *,
        run_id: str | None = None,
        options: CeleryOptions | None = None,
        **fields: Any,
    ) -> RunHandle:
        """Launch one run and return its handle at once: give a request, or the fields of a LaunchRequest.

        ``run_id`` (56 characters of letters, digits, '-', '_') makes the call idempotent: the same id launches once.
        Raises RequestInvalid, RedisUnavailable; nothing was published then.
        """
        checked = as_request(request, fields)
        run_id = _checked_id(run_id)
        values = to_json(checked)
        values["correlation_id"] = checked.correlation_id or run_id
        publisher = self._publisher
        signature = publisher.app.signature(
            LAUNCH_TASK, kwargs={"request": values}, queue=LAUNCH_QUEUE, priority=checked.priority, immutable=True
        )
        message = publisher.renderer.signature(signature, task_id=run_id, **(options or CeleryOptions()).as_dict())
        publisher.runs.publish(run_id, message, push=True, about=about_request(values))
        return RunHandle(run_id, publisher)


def launch(
    request: RunRequest | None = None,
    *,
    run_id: str | None = None,
    options: CeleryOptions | None = None,
    **fields: Any,
) -> RunHandle:
    """Launch one run with the settings of the process; see :meth:`DagLauncher.launch`."""
    return DagLauncher().launch(request, run_id=run_id, options=options, **fields)


def launch_container(
    *,
    org_id: str,
    image: str = "",
    task_definition: str = "",
    command: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    **fields: Any,
) -> RunHandle:
    """Launch one run of any container: an image, or an existing task definition (family, family:revision or ARN).

    ``command`` replaces the image's command, ``environment`` is added to the container's; ``fields`` are further
    fields of a ContainerRequest, or ``run_id`` and ``options`` of :func:`launch`. The result says how the container
    exited. Raises RequestInvalid, RedisUnavailable.
    """
    own: dict[str, Any] = {"image": image, "task_definition": task_definition, "command": tuple(command)}
    return launch(org_id=org_id, extra_env_vars=dict(environment or {}), **own, **fields)


def _checked_id(run_id: str | None) -> str:
    if run_id is None:
        return new_id()
    if not is_run_id(run_id):
        raise RequestInvalid([Problem("run_id", run_id, "1 to 56 letters, digits, '-' and '_'")])
    return run_id
