"""What ECS refuses of ``run_task_kwargs`` although its API model allows it; pure.

``requests/overrides.py`` asks this after botocore's model has found nothing, so types are right here. Limits are those
of the ECS API reference (RunTask, AwsVpcConfiguration).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from dagy_queue.requests.capacity import CapacityProvider, check_strategy, may_be_on_fargate
from dagy_queue.requests.environment import check_environment
from dagy_queue.requests.sizes import MAX_EPHEMERAL_GIB, MIN_EPHEMERAL_GIB, size_text_problem
from dagy_queue.requests.tags import check_tags

MAX_SUBNETS, MAX_SECURITY_GROUPS = 16, 5
MAX_CONSTRAINTS, MAX_STRATEGIES = 10, 5


def run_task_problems(value: Mapping[str, Any], launch_type: str | None = None) -> Iterator[str]:
    """Yield what ECS would refuse. ``launch_type`` is what counts where the parameters say nothing of it."""
    launch_type, strategy = value.get("launchType") or launch_type, value.get("capacityProviderStrategy") or ()
    on_fargate = may_be_on_fargate(launch_type, strategy)
    if value.get("propagateTags") == "SERVICE":
        yield "propagateTags: TASK_DEFINITION or NONE; a run has no service"
    if value.get("platformVersion") and not on_fargate:
        yield "platformVersion: leave it out on EC2"
    yield from _placement_problems(value, on_fargate=on_fargate and bool(launch_type or strategy))
    yield from _capacity_problems(value)
    yield from _network_problems((value.get("networkConfiguration") or {}).get("awsvpcConfiguration"))
    yield from _raised(check_tags, {tag.get("key", ""): tag.get("value", "") for tag in value.get("tags") or ()})
    overrides = value.get("overrides") or {}
    yield from _size_problems(overrides, on_fargate=on_fargate)
    for override in overrides.get("containerOverrides") or ():
        yield from _container_problems(override)


def _placement_problems(value: Mapping[str, Any], *, on_fargate: bool) -> Iterator[str]:
    """``on_fargate`` is False where it is not certain: settings may say EC2."""
    for name, most in (("placementConstraints", MAX_CONSTRAINTS), ("placementStrategy", MAX_STRATEGIES)):
        given = len(value.get(name) or ())
        if given and on_fargate:
            yield f"{name}: leave it out on Fargate, which places tasks by itself"
        elif given > most:
            yield f"{name}: at most {most}; {given} given"


def _capacity_problems(value: Mapping[str, Any]) -> Iterator[str]:
    strategy = value.get("capacityProviderStrategy") or ()
    if value.get("capacityProviderStrategy") is not None and not strategy:
        yield "capacityProviderStrategy: at least one provider, or leave it out"
    if value.get("launchType") and strategy:
        yield "launchType or capacityProviderStrategy, not both"
    try:
        providers = [CapacityProvider.model_validate(item) for item in strategy]
    except ValidationError as exc:
        yield "; ".join(f"capacityProviderStrategy.{e['loc'][0]}: {e['msg']}" for e in exc.errors(include_url=False))
    else:
        yield from _raised(check_strategy, providers)


def _network_problems(network: Mapping[str, Any] | None) -> Iterator[str]:
    if network is None:
        return
    subnets, groups = network.get("subnets"), network.get("securityGroups") or ()
    if subnets is not None and not 1 <= len(subnets) <= MAX_SUBNETS:  # a lower level may give them
        yield f"awsvpcConfiguration: 1 to {MAX_SUBNETS} subnets; {len(subnets)} given"
    if len(groups) > MAX_SECURITY_GROUPS:
        yield f"awsvpcConfiguration: at most {MAX_SECURITY_GROUPS} securityGroups; {len(groups)} given"


def _size_problems(overrides: Mapping[str, Any], *, on_fargate: bool) -> Iterator[str]:
    cpu, memory = overrides.get("cpu"), overrides.get("memory")
    if (cpu is None) != (memory is None):
        yield "overrides: give cpu and memory together, or neither"
    elif on_fargate and (problem := size_text_problem(cpu or "", memory or "")):
        yield f"overrides: {problem}"
    storage = overrides.get("ephemeralStorage")
    if storage and not MIN_EPHEMERAL_GIB <= storage["sizeInGiB"] <= MAX_EPHEMERAL_GIB:
        yield f"overrides.ephemeralStorage: {MIN_EPHEMERAL_GIB} to {MAX_EPHEMERAL_GIB} GiB, or leave it out for 20"


def _container_problems(override: Mapping[str, Any]) -> Iterator[str]:
    if not override.get("name"):
        yield "overrides.containerOverrides: each names its container"
    variables = override.get("environment") or ()
    if not all(variable.get("name") for variable in variables):
        yield "overrides.containerOverrides: each variable of an environment has a name"
    else:
        yield from _raised(check_environment, {v["name"]: v.get("value", "") for v in variables})


def _raised(check: Any, value: Any) -> Iterator[str]:
    """Yield what a check that raises has against a value."""
    try:
        check(value)
    except ValueError as exc:
        yield str(exc)
