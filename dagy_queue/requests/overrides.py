"""Container overrides and ``run_task_kwargs``: their rules, and how a level is laid over the one below; pure.

The request models check them, ``requests/overlay.py`` merges them between levels, and ``launching/run_task.py`` applies
them to RunTask's parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from dagy_queue.requests.api_shapes import shape_problems
from dagy_queue.requests.environment import as_list, as_variables, check_environment, is_plain_text
from dagy_queue.requests.refusals import allowed
from dagy_queue.requests.run_task_rules import run_task_problems
from dagy_queue.requests.whole_numbers import Whole

_OURS = {
    "clientToken": "it is made from the run id and attempt, so that no attempt is launched twice",
    "count": "a run is one task; fan_out(task_count=...) runs several",
    "referenceId": "it is AWS's own",
    "startedBy": "it carries the run id and attempt back in ECS's events",
}
"""Parameters of RunTask that a caller may not set, and why."""


class ContainerOverride(BaseModel):
    """What one container of the task gets instead of what its definition says. Names as in ECS's API, or in Python's.

    ``environment`` is a mapping, or ECS's list of names and values. ``cpu`` in CPU units, ``memory`` and
    ``memory_reservation`` in MiB.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")
    command: tuple[str, ...] | None = None
    environment: Annotated[dict[str, str], BeforeValidator(as_variables)] = Field(default_factory=dict)
    environment_files: tuple[dict[str, str], ...] = Field((), alias="environmentFiles")
    cpu: Whole | None = Field(None, ge=0)
    memory: Whole | None = Field(None, ge=4)
    memory_reservation: Whole | None = Field(None, ge=4, alias="memoryReservation")
    resource_requirements: tuple[dict[str, str], ...] = Field((), alias="resourceRequirements")

    def in_api_form(self) -> dict[str, Any]:
        """Return the override as RunTask takes it."""
        values = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return values | {"environment": as_list(self.environment)} if self.environment else values

    @field_validator("environment")
    @classmethod
    def _check_environment(cls, value: dict[str, str]) -> dict[str, str]:
        check_environment(value)
        return value

    @field_validator("command")
    @classmethod
    def _check_command(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        check_command(value or ())
        return value

    @field_validator("environment_files", "resource_requirements")
    @classmethod
    def _check_shape(cls, value: tuple[dict[str, str], ...], info: Any) -> tuple[dict[str, str], ...]:
        api_name = "environmentFiles" if info.field_name == "environment_files" else "resourceRequirements"
        override = {"name": "given", api_name: list(value)}
        if problems := shape_problems({"overrides": {"containerOverrides": [override]}}, "RunTask"):
            raise allowed("; ".join(problems))
        return value


def check_command(value: Sequence[str]) -> None:
    """Raise unless a process can be given the words of a command."""
    if any(not is_plain_text(word) for word in value):
        raise allowed("words without NUL characters and halves of surrogate pairs")


def check_overrides(value: Sequence[ContainerOverride]) -> None:
    """Raise if a container is named twice."""
    names = [override.name for override in value]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise allowed(f"one override for each container; {', '.join(twice)} has more")


def check_run_task_kwargs(value: Mapping[str, Any], launch_type: str | None = None) -> None:
    """Raise unless RunTask takes these parameters and none of them is ours to set.

    ``launch_type`` is what the fields below them say.
    """
    if ours := [f"{name} cannot be set: {why}" for name, why in _OURS.items() if name in value]:
        raise allowed("; ".join(ours))
    # The rules need the shapes to be right.
    if problems := shape_problems(_with_subnets(value), "RunTask") or list(run_task_problems(value, launch_type)):
        raise allowed("; ".join(problems))


def _with_subnets(value: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what ECS requires inside a network configuration: a lower level may give it."""
    network = value.get("networkConfiguration")
    vpc = network.get("awsvpcConfiguration") if isinstance(network, Mapping) else None
    if not isinstance(network, Mapping) or not isinstance(vpc, Mapping):
        return dict(value)
    return {**value, "networkConfiguration": {**network, "awsvpcConfiguration": {"subnets": [], **vpc}}}


def merge_run_task_kwargs(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Lay parameters over others, recursively: nested objects are merged, anything else is replaced.

    Lists of named things (container overrides, variables, tags) are merged by name; ``launchType`` and
    ``capacityProviderStrategy`` replace each other.
    """
    kept = dict(lower)
    for one, other in (("launchType", "capacityProviderStrategy"), ("capacityProviderStrategy", "launchType")):
        if one in upper:
            kept.pop(other, None)
    return _merged(kept, upper)


def merge_container_overrides(lower: Sequence[Any], upper: Sequence[Any]) -> list[Any]:
    """Lay container overrides over others, by the container's name and, in its environment, by the variable's."""
    below, above = ([_in_our_form(override) for override in level] for level in (lower, upper))
    for level in (below, above):
        names = [override.get("name") for override in level if isinstance(override, Mapping)]
        if any(name in names[:index] for index, name in enumerate(names)):
            return level  # for validation to refuse
    return _by_name(below, above, "name")


def _in_our_form(override: Any) -> Any:
    if isinstance(override, ContainerOverride):
        return override.model_dump(exclude_unset=True)
    if not isinstance(override, Mapping):
        return override
    names = {field.alias: name for name, field in ContainerOverride.model_fields.items() if field.alias}
    renamed = {names.get(name, name): value for name, value in override.items()}
    if "environment" in renamed:
        renamed["environment"] = as_variables(renamed["environment"])
    return renamed


_NAMED_BY = {"containerOverrides": "name", "environment": "name", "tags": "key"}


def _merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(lower)
    for name, value in upper.items():
        below = result.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[name] = _merged(below, value)
        elif name in _NAMED_BY and isinstance(below, list | tuple) and isinstance(value, list | tuple):
            result[name] = _by_name(below, value, _NAMED_BY[name])
        else:
            result[name] = value
    return result


def _by_name(lower: Sequence[Any], upper: Sequence[Any], key: str) -> list[Any]:
    """Merge two lists of mappings that ``key`` names; what is no such mapping is left for validation to refuse."""
    if not all(isinstance(item, Mapping) and isinstance(item.get(key), str) for item in (*lower, *upper)):
        return list(upper)
    found: dict[str, dict[str, Any]] = {}
    for item in (*lower, *upper):
        found[item[key]] = _merged(found.get(item[key], {}), item)
    return list(found.values())
