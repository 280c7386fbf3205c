"""The request models: one run of a flow, or of any container. Producers build them, dispatchers read them back.

``requests/parsing.py`` builds them from callers' values and reports every problem at once.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from dagy_queue.requests.durations import Seconds
from dagy_queue.requests.environment import as_list, as_variables, check_environment, check_secrets
from dagy_queue.requests.json_values import json_problems
from dagy_queue.requests.names import NAME_RULE, is_name
from dagy_queue.requests.overrides import check_command
from dagy_queue.requests.placement import PlacementFields
from dagy_queue.requests.refusals import allowed
from dagy_queue.requests.retrying import RetryFields
from dagy_queue.requests.whole_numbers import Whole

MAX_OWN_OVERRIDES = 6144
"""Characters of JSON that a request's variables, commands and overrides may take: RunTask takes 8,192 for all, and the
rest is for what we add (ECS API reference, RunTask, overrides). A flow's parameters don't count: they go by S3."""

_CORRELATION = re.compile(r"[A-Za-z0-9_.:/=+@#,-]{1,200}?(:[0-9]{1,9})*")
"""A caller's 200 characters, and the numbers that fan-outs append."""
_PROFILE = re.compile(r"(?=.{1,256}$)[A-Za-z0-9](?:[A-Za-z0-9_:/@-]|\.(?!\.))*", re.DOTALL)
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/#@+-]{0,254}")


class RunRequest(PlacementFields, RetryFields):
    """What every run has, whatever its container does."""

    org_id: str = Field(description="who the run belongs to; every read is scoped by it")
    correlation_id: str = Field("", description="trace id; empty: one is made. Shards get <id>:<index>")
    environment: str = Field("", description="develop, staging, production or a name of yours")
    profile: str = Field("", description="execution profile: a name for a set of fields, such as etl_pipeline:quick")
    deployment_name: str = Field("", description="named deployment: its dependency packages and defaults")
    trigger_source: str = Field("", max_length=256, description="what caused the run, for the audit trail")
    triggered_by: str = Field("", max_length=2048, description="who caused the run, for the audit trail")
    extra_env_vars: Annotated[dict[str, str], BeforeValidator(as_variables)] = Field(
        default_factory=dict, description="environment of the container"
    )
    secrets_env: dict[str, str] = Field(
        default_factory=dict, description="variables that ECS fills from secrets: the ARN of each"
    )
    metadata: dict[str, Any] = Field(default_factory=dict, description="yours; kept with the run, not sent")
    timeout: Seconds | None = Field(
        None, gt=0, le=14 * 86_400, description="seconds from the first task to the end, retries included"
    )
    priority: Whole = Field(0, ge=0, le=9, description="0 goes first, as on Celery's Redis transport")

    @property
    def label(self) -> str:
        """A short name for people."""
        raise NotImplementedError

    @property
    def own_image(self) -> str:
        """The image that the request names; '' if it leaves that to the task definition or the settings."""
        raise NotImplementedError

    @property
    def overrides_size(self) -> int:
        """Characters of JSON that the request's variables, commands and overrides take."""
        own: dict[str, Any] = {"environment": as_list(self.extra_env_vars)} if self.extra_env_vars else {}
        if isinstance(self, ContainerRequest) and self.command:
            own["command"] = self.command
        parts = [own, *(override.in_api_form() for override in self.container_overrides)]
        parts.append(self.run_task_kwargs.get("overrides") or {})
        return len(json.dumps([part for part in parts if part], separators=(",", ":"), ensure_ascii=False))

    def in_json(self) -> dict[str, Any]:
        """Return the JSON form without what has its default value.

        Retry fields that were given stay whatever they are: a deployment may have other ones.
        """
        values = self.model_dump(mode="json", exclude_defaults=True)
        if said := RetryFields.model_fields.keys() & self.model_fields_set:
            values |= self.model_dump(mode="json", include=said)
        return values

    @field_validator("org_id", "environment", "deployment_name")
    @classmethod
    def _check_names(cls, value: str, info: ValidationInfo) -> str:
        return value if not value and info.field_name != "org_id" else _check_name(value)

    @field_validator("correlation_id")
    @classmethod
    def _check_correlation(cls, value: str) -> str:
        if value and not _CORRELATION.fullmatch(value):
            raise allowed("1 to 200 letters, digits and _ . : / = + @ # , -: it is handed to commands, too")
        return value

    @field_validator("profile")
    @classmethod
    def _check_profile_name(cls, value: str) -> str:
        if value and not _PROFILE.fullmatch(value):
            raise allowed("1 to 256 letters, digits and _ . : / @ -, starting with a letter or digit, without '..'")
        return value

    @field_validator("extra_env_vars")
    @classmethod
    def _check_env(cls, value: dict[str, str]) -> dict[str, str]:
        check_environment(value)
        return value

    @field_validator("secrets_env")
    @classmethod
    def _check_secrets(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        check_secrets(value)
        if both := sorted(value.keys() & info.data.get("extra_env_vars", {}).keys()):
            raise allowed(f"{', '.join(both)}: in extra_env_vars or in secrets_env, not in both")
        return value

    @field_validator("metadata")
    @classmethod
    def _check_metadata(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _check_json(value, "metadata")

    @model_validator(mode="after")
    def _check_overrides_size(self) -> Self:
        """Refuse what RunTask would: this runs only if every field by itself is right."""
        if self.overrides_size > MAX_OWN_OVERRIDES:
            raise allowed(
                f"command, extra_env_vars, container_overrides and run_task_kwargs have {self.overrides_size} "
                f"characters of JSON, and {MAX_OWN_OVERRIDES} fit; put large values into S3 and pass their URI"
            )
        return self


class LaunchRequest(RunRequest):
    """One run of a Dagy flow. ``DagLaunchRequest`` is the same class under the guide's name."""

    kind: Literal["flow"] = "flow"
    flow_name: str = Field(description="name the flow was registered under")
    flow_version: str = Field("latest", description="version; latest is resolved when the run is launched")
    parameters: dict[str, Any] = Field(default_factory=dict, description="the flow's parameters, JSON values")
    worker_image: str = Field("", description="image that runs the flow")

    @property
    def label(self) -> str:
        """Flow and version."""
        return f"{self.flow_name}@{self.flow_version}"

    @property
    def own_image(self) -> str:
        """The worker image, if the request names one."""
        return self.worker_image

    @field_validator("flow_name", "flow_version")
    @classmethod
    def _check_flow(cls, value: str) -> str:
        return _check_name(value)

    @field_validator("parameters")
    @classmethod
    def _check_parameters(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _check_json(value, "parameters")

    @field_validator("worker_image")
    @classmethod
    def _check_image(cls, value: str, info: ValidationInfo) -> str:
        return _check_image(value, info)


class ContainerRequest(RunRequest):
    """One run of any container; it succeeds if it exits with 0.

    By image, by an existing task definition, or by a template; without any of them the dispatcher's settings decide.
    """

    kind: Literal["container"] = "container"
    image: str = Field("", description="image URI; a task definition is made for it")
    command: tuple[str, ...] = Field((), description="replaces the image's command")

    @property
    def label(self) -> str:
        """The name of the image or task definition, without its registry or account."""
        template = (self.task_definition_template or {}).get("family", "")
        return (self.image or self.task_definition or template or "container").rpartition("/")[2]

    @property
    def own_image(self) -> str:
        """The image."""
        return self.image

    @field_validator("image")
    @classmethod
    def _check_image(cls, value: str, info: ValidationInfo) -> str:
        return _check_image(value, info)

    @field_validator("command")
    @classmethod
    def _check_command(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_command(value)
        return value


def _check_image(value: str, info: ValidationInfo) -> str:
    if value and info.data.get("task_definition"):
        raise allowed("an image or a task_definition, not both")
    if value and not _IMAGE.fullmatch(value):
        raise allowed("an image's URI: up to 255 letters, digits and _ . : / # @ + -")
    return value


def _check_name(value: str) -> str:
    if not is_name(value):
        raise allowed(NAME_RULE)
    return value


def _check_json(value: dict[str, Any], path: str) -> dict[str, Any]:
    problems = list(json_problems(value, path))
    if problems:
        raise allowed("; ".join(str(problem) for problem in problems[:5]))
    return value
