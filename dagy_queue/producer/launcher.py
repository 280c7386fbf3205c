"""Launching single runs: ``launch(...)`` for the process's settings, ``DagLauncher`` for explicit ones.

``DagLauncher.launch`` answers with the guide's DagLaunchResult and raises nothing of ours; ``launch`` and
``DagLauncher.enqueue`` answer with a RunHandle and raise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

from pydantic import ValidationError

from dagy_queue.errors import DagyQueueError, Problem, RequestInvalid, SettingsInvalid
from dagy_queue.ids import is_run_id, new_id, shard_correlation
from dagy_queue.producer.building import Levels, RequestBuilder, builder_of
from dagy_queue.producer.celery_options import CeleryOptions
from dagy_queue.producer.direct import DirectLaunches
from dagy_queue.producer.explanation import Explanation
from dagy_queue.producer.publisher import Publisher
from dagy_queue.producer.queued import QueuedLaunches
from dagy_queue.producer.results import DagLaunchResult, RunStatusReport
from dagy_queue.producer.run import RunHandle
from dagy_queue.producer.ways import Asked, Way, flow_name_of, refused
from dagy_queue.requests import RunRequest
from dagy_queue.requests.parsing import problems_of
from dagy_queue.requests.placement import PlacementFields
from dagy_queue.settings import Settings, settings

Wait = Literal["submitted"]


class LauncherOptions(TypedDict, total=False):
    """What a launcher can be told once, for all its launches. What is left out comes from the settings."""

    cluster_arn: str
    """ARN or name of the ECS cluster."""
    task_execution_role_arn: str
    task_role_arn: str
    worker_image: str
    subnets: Sequence[str]
    security_groups: Sequence[str]
    log_group: str
    region: str
    profiles: Levels
    """Execution profiles by name, each with fields of a request."""
    environments: Levels
    """Defaults by name of the environment, each with fields of a request."""
    mode: Literal["queue", "direct"]
    """``direct`` calls RunTask in this process and needs no Redis."""


class DagLauncher:
    """Launches runs. Without arguments it takes the settings of the process (file and environment variables)."""

    def __init__(self, config: Settings | None = None, **options: Unpack[LauncherOptions]) -> None:
        """Raise RequestInvalid for options that cannot be used, SettingsInvalid for settings that cannot."""
        known = config or settings()
        self.builder = _builder(known, options)
        self._only_org = known.records.org_id
        self._queue = QueuedLaunches(config)
        direct = options.get("mode", known.launch.mode) == "direct"
        self._way: Way = DirectLaunches(known) if direct else self._queue

    @property
    def publisher(self) -> Publisher:
        """Where runs are published. Raises SettingsInvalid in direct mode."""
        self._check_queue()
        return self._queue.publisher

    def launch(
        self,
        request: RunRequest | Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        wait: Wait | None = None,
        options: CeleryOptions | None = None,
        **fields: Any,
    ) -> DagLaunchResult:
        """Launch one run: give a request, or the fields of one. What goes wrong is in the result, not raised.

        Returns once the run is queued; with ``wait="submitted"`` once ECS has taken its task (``task_arn`` is known
        then), or after ``launch.submit_timeout`` seconds. In direct mode it always returns with the task.
        """
        asked = self._asked(request, fields, run_id)
        return self._way.launch([asked], wait=_checked_wait(wait), options=options)[0]

    def launch_batch(
        self,
        requests: Iterable[RunRequest | Mapping[str, Any]],
        *,
        wait: Wait | None = None,
        correlation_id: str = "",
        **fields: Any,
    ) -> list[DagLaunchResult]:
        """Launch several runs of any flows; the results are in the order of the requests.

        ``fields``, such as ``org_id`` and ``environment``, go for all that don't say otherwise. Request ``i`` gets the
        correlation id ``<correlation_id>:<i>`` unless it has its own. A request that is wrong spoils only its own
        result. For thousands of shards of one flow, :func:`dagy_queue.fan_out` is the quicker way.
        """
        parent = correlation_id or new_id()
        asked = [
            self._asked(request, {}, None, fields | {"correlation_id": shard_correlation(parent, index)})
            for index, request in enumerate(requests)
        ]
        return self._way.launch(asked, wait=_checked_wait(wait))

    def enqueue(
        self,
        request: RunRequest | Mapping[str, Any] | None = None,
        *,
        run_id: str | None = None,
        options: CeleryOptions | None = None,
        **fields: Any,
    ) -> RunHandle:
        """Queue one run and return its handle at once: give a request, or the fields of one.

        ``run_id`` (56 characters of letters, digits, '-', '_') makes the call idempotent: the same id launches once,
        and is refused once the ledger has forgotten its run and Celery still has the result. Raises RequestInvalid,
        RedisUnavailable; nothing was published then.
        """
        self._check_queue()
        checked = _checked_id(run_id)
        return self._queue.publish(checked, self.builder.build(request, fields), options, own_id=run_id is not None)

    def get_run_status(self, run_id: str, *, org_id: str = "") -> RunStatusReport | None:
        """Return the status of a run, from the ledger while it is there and from its record after that.

        None if there is no such run, or (with ``org_id``, or the setting ``records.org_id``) if it is another org's.
        Raises RedisUnavailable, AwsError.
        """
        found = self._way.status(run_id) if is_run_id(str(run_id)) else None
        return found if found and self._may_see(found["org_id"], org_id) else None

    def explain(self, run_id: str, *, org_id: str = "") -> Explanation | None:
        """Return how the last attempt of a run ended, what to do about it, and what happens next.

        None where :meth:`get_run_status` answers None. Raises RedisUnavailable, AwsError.
        """
        found = self._way.explain(run_id) if is_run_id(str(run_id)) else None
        return found if found and self._may_see(found["org_id"], org_id) else None

    def _may_see(self, owner: str, asked_for: str) -> bool:
        return all(owner == org_id for org_id in (asked_for, self._only_org) if org_id)

    def _check_queue(self) -> None:
        if self._way is not self._queue:
            raise SettingsInvalid(
                "direct mode has no queue, no batches and no handles: launch runs with `dagy-queue launch` or "
                "DagLauncher().launch(...), or set DAGY_QUEUE__LAUNCH__MODE=queue"
            )

    def _asked(
        self,
        request: RunRequest | Mapping[str, Any] | None,
        fields: Mapping[str, Any],
        run_id: str | None,
        shared: Mapping[str, Any] | None = None,
    ) -> Asked:
        """Build a request; what is wrong with it stays with it."""
        own_id = new_id() if run_id is None else run_id
        try:
            checked = self.builder.build(request, fields, shared or {})
            return Asked(_checked_id(own_id), checked, own_id=run_id is not None)
        except DagyQueueError as exc:
            own = dict(request) if isinstance(request, Mapping) else {}
            said = {**(shared or {}), **own, **fields}
            name = flow_name_of(request) if isinstance(request, RunRequest) else str(said.get("flow_name") or "")
            correlation = getattr(request, "correlation_id", "") or str(said.get("correlation_id") or "")
            return Asked(own_id, None, refused(own_id, name, exc, correlation_id=correlation))


def launch(
    request: RunRequest | None = None,
    *,
    run_id: str | None = None,
    options: CeleryOptions | None = None,
    **fields: Any,
) -> RunHandle:
    """Queue one run with the settings of the process; see :meth:`DagLauncher.enqueue`."""
    return DagLauncher().enqueue(request, run_id=run_id, options=options, **fields)


def launch_container(
    *,
    org_id: str,
    image: str = "",
    task_definition: str = "",
    command: Sequence[str] = (),
    environment: Mapping[str, str] | str = "",
    **fields: Any,
) -> RunHandle:
    """Queue one run of any container: an image, or an existing task definition (family, family:revision or ARN).

    ``command`` (a list of words) replaces the image's command. ``environment`` are variables for the container, as ECS
    calls them; a text is the name of the environment (production), as in all other launches. ``fields`` are further
    fields of a ContainerRequest, or ``run_id`` and ``options`` of :func:`launch`. The result says how the container
    exited. Raises RequestInvalid, RedisUnavailable.
    """
    given = {"image": image, "task_definition": task_definition, "command": command}
    own: dict[str, Any] = {name: value for name, value in given.items() if value}
    if isinstance(environment, Mapping):
        own["extra_env_vars"] = {**fields.pop("extra_env_vars", {}), **environment}
    elif environment:
        own["environment"] = environment
    return launch(org_id=org_id, kind="container", **own, **fields)


def _builder(config: Settings, options: LauncherOptions) -> RequestBuilder:
    if unknown := sorted(options.keys() - LauncherOptions.__annotations__.keys()):
        allowed = f"one of {', '.join(LauncherOptions.__annotations__)}"
        raise RequestInvalid([Problem(name, "(hidden)", allowed) for name in unknown], "launcher")
    if options.get("mode") not in (None, "queue", "direct"):
        raise RequestInvalid([Problem("mode", options.get("mode"), "queue or direct")], "launcher")
    defaults: dict[str, Any] = {
        name: value for name, value in options.items() if name not in ("profiles", "environments", "mode")
    }
    if "cluster_arn" in defaults:
        defaults["cluster"] = defaults.pop("cluster_arn")
    try:
        PlacementFields(**{name: value for name, value in defaults.items() if name != "worker_image"})
    except ValidationError as exc:
        raise RequestInvalid(problems_of(exc, PlacementFields), "launcher") from None
    return builder_of(
        config, defaults=defaults, profiles=options.get("profiles"), environments=options.get("environments")
    )


def _checked_wait(wait: Any) -> bool:
    if wait not in (None, "submitted"):
        raise RequestInvalid([Problem("wait", wait, "'submitted', or leave it out to return at once")], "launch")
    return wait is not None


def _checked_id(run_id: str | None) -> str:
    if run_id is None:
        return new_id()
    if not isinstance(run_id, str) or not is_run_id(run_id):
        raise RequestInvalid([Problem("run_id", run_id, "1 to 56 letters, digits, '-' and '_'")])
    return run_id
