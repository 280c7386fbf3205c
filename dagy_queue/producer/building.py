"""From what a caller says to a checked request: a launcher's own defaults, an environment's, a profile's, the fields.

Every way to launch builds its request here. The order of the levels is in docs/launch-options.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests import ContainerRequest, RunRequest, parse_request
from dagy_queue.requests.definitions import read_template
from dagy_queue.requests.levels import level_problems
from dagy_queue.requests.limits import ClusterLimits
from dagy_queue.requests.overlay import overlay
from dagy_queue.requests.parsing import model_of
from dagy_queue.settings import Settings, settings

_SOURCES = ("image", "task_definition", "task_definition_template")

Levels = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class RequestBuilder:
    """Builds requests over the levels that one launcher knows."""

    config: Settings
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What the launcher was told itself: the lowest level."""
    profiles: Levels = field(default_factory=dict)
    environments: Levels = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse fields and values that no request can have. Raises RequestInvalid."""
        levels = [("launcher", self.defaults)]
        levels += [(f"profiles.{name}", level) for name, level in self.profiles.items()]
        levels += [(f"environments.{name}", level) for name, level in self.environments.items()]
        if problems := [problem for where, level in levels for problem in level_problems(level, where)]:
            raise RequestInvalid(problems, "launcher")

    def build(
        self,
        request: RunRequest | Mapping[str, Any] | None,
        fields: Mapping[str, Any],
        shared: Mapping[str, Any] | None = None,
    ) -> RunRequest:
        """Return the request that a caller means: a request, with fields that replace its own, or fields alone.

        ``shared`` are fields for all requests of a batch, which each may replace.
        Raises RequestInvalid listing every problem.
        """
        own = overlay(shared or {}, _given(request), fields)
        profile = self._profile(own)
        environment = self._environment(overlay(profile, own).get("environment") or "")
        model = type(request) if isinstance(request, RunRequest) else model_of(overlay(profile, own))
        general = {n: v for n, v in overlay(self.defaults, environment).items() if n in model.model_fields}
        if not (general or profile or fields or shared) and isinstance(request, RunRequest):
            return self._fitting(request)
        return self._fitting(parse_request(_with_template(overlay(general, profile, own)), model))

    def _profile(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        name = own.get("profile")
        if not name or not isinstance(name, str):
            return {}  # what is no text is refused with the request
        if name not in self.profiles:
            known = (
                ", ".join(self.profiles) or "there are none; give DagLauncher(profiles=...) or [profiles] in the file"
            )
            raise RequestInvalid([Problem("profile", name, f"one of the execution profiles: {known}")])
        return self.profiles[name]

    def _environment(self, name: str) -> Mapping[str, Any]:
        if not name or not self.environments or not isinstance(name, str):
            return {}
        if name not in self.environments:
            known = ", ".join(self.environments)
            raise RequestInvalid([Problem("environment", name, f"one of the configured environments: {known}")])
        return self.environments[name]

    def _fitting(self, request: RunRequest) -> RunRequest:
        ecs = self.config.ecs
        cpu, memory = request.size or (None, None)
        ClusterLimits(ecs.max_cpu, ecs.max_memory).check_task(cpu, memory, request.run_task_kwargs)
        usual = ecs.task_definition or ecs.task_definition_template or ecs.run_task_kwargs.get("taskDefinition")
        sources = [getattr(request, name) for name in _SOURCES if isinstance(request, ContainerRequest)]
        if sources and not any([*sources, usual, request.run_task_kwargs.get("taskDefinition")]):
            raise RequestInvalid(
                [Problem("image", "", "what to run: an image, a task_definition or a task_definition_template")]
            )
        return request


@lru_cache(maxsize=1)
def default_builder() -> RequestBuilder:
    """Return the builder of this process's settings."""
    return builder_of(settings())


def builder_of(config: Settings, **levels: Any) -> RequestBuilder:
    """Return the builder of some settings; ``profiles`` and ``environments`` are added to those of the settings."""
    return RequestBuilder(
        config=config,
        defaults=levels.get("defaults") or {},
        profiles={**config.profiles, **(levels.get("profiles") or {})},
        environments={**config.environments, **(levels.get("environments") or {})},
    )


def _given(request: RunRequest | Mapping[str, Any] | None) -> Mapping[str, Any]:
    if request is None:
        return {}
    if isinstance(request, RunRequest):
        return request.model_dump(exclude_unset=True)
    if isinstance(request, Mapping):
        return request
    raise RequestInvalid([Problem("request", request, "a LaunchRequest or ContainerRequest; fields go by name")])


def _with_template(values: dict[str, Any]) -> dict[str, Any]:
    """Read the template where its path is given: it must be the same wherever the message goes."""
    template = values.get("task_definition_template")
    return (
        values | {"task_definition_template": read_template(template)} if isinstance(template, str | Path) else values
    )
