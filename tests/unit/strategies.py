"""Hypothesis strategies that several unit tests share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from dagy_queue.ids import AttemptId
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.requests.sizes import MAX_EPHEMERAL_GIB, MEMORY_OF_CPU, MIN_EPHEMERAL_GIB
from dagy_queue.requests.workloads import WORKLOADS

unhurried = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
"""For tests on a machine that is shared: nothing is too slow, and there are not too many examples."""


def matching(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(pattern, fullmatch=True)


text = st.text(max_size=30)
run_ids = matching(r"[A-Za-z0-9_-]{1,56}")
names = matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
correlations = matching(r"[A-Za-z0-9_.:/=+@#,-]{1,200}")
attempt_ids = st.builds(AttemptId, run_ids, st.integers(1, 999_999))
sizes = st.sampled_from([(cpu, memory) for cpu, choices in MEMORY_OF_CPU.items() for memory in choices])

json_leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
json_values = st.recursive(
    json_leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(text, json_values, max_size=4)

env_names = matching(r"[A-Za-z_][A-Za-z0-9_]{0,20}").filter(
    lambda name: not name.startswith("DAGY_") and name not in ("TASK_NAME", "TASK_NUM")
)
plain = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
"""What a process can be given."""

templated = plain | st.sampled_from(["{{ run.id }}", "part-{{run.shard}}", "{{ user.name }} {% if x %}", "{{"])
variables = st.dictionaries(env_names, templated, max_size=3)
roles = matching(r"arn:aws:iam::[0-9]{12}:role/[a-z-]{1,20}")
secret_arns = st.sampled_from(
    [
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/db-AbCdEf",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf:password::",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:db-AbCdEf:password:AWSPREVIOUS:",
        "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:db-AbCdEf::AWSCURRENT:0aab34",
        "arn:aws:ssm:us-east-1:123456789012:parameter/prod/db",
    ]
)
tag_keys = matching(r"[A-Za-z0-9_ .:/=+@-]{1,128}").filter(lambda key: not key.lower().startswith(("aws:", "dagy:")))
tag_values = matching(r"[A-Za-z0-9_ .:/=+@-]{0,256}").filter(lambda value: not value.lower().startswith("aws:"))
tags = st.dictionaries(tag_keys, tag_values, max_size=4)
durations = st.sampled_from([0, 5.5, "10", "30s", "1m30s", "2h", "1d"])

strategies_on_fargate = st.sampled_from(
    [
        [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
        [{"capacity_provider": "FARGATE", "base": 1}],
        [{"capacityProvider": "FARGATE_SPOT", "weight": 3}, {"capacityProvider": "FARGATE", "weight": 1, "base": 1}],
    ]
)

TEMPLATE: dict[str, Any] = {
    "family": "pipeline",
    "networkMode": "awsvpc",
    "requiresCompatibilities": ["FARGATE"],
    "cpu": "1 vCPU",
    "memory": "2 GB",
    "executionRoleArn": "arn:aws:iam::123456789012:role/of-template",
    "runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
    "volumes": [{"name": "scratch", "host": {}}],
    "containerDefinitions": [
        {"name": "log-router", "image": "fluent-bit:2", "essential": False},
        {
            "name": "main",
            "image": "etl:1",
            "environment": [{"name": "a-mode", "value": "batch"}],
            "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/scratch"}],
        },
    ],
}
"""A task definition with a sidecar, and with parts that a request has no words for."""

EXISTING = "existing"
"""Family of a task definition that requests name; whoever launches them registers ``TEMPLATE`` under it."""


@st.composite
def overrides_of(draw: st.DrawFn, containers: Sequence[str]) -> list[dict[str, Any]]:
    """Container overrides for some of the containers, in ECS's spelling or in Python's."""
    listed = []
    for name in draw(st.lists(st.sampled_from(containers), unique=True, max_size=2)):
        override: dict[str, Any] = {"name": name, "environment": draw(variables)}
        if draw(st.booleans()):
            override["environment"] = [{"name": n, "value": v} for n, v in override["environment"].items()]
        if draw(st.booleans()):
            override["command"] = draw(st.lists(templated, min_size=1, max_size=3))
        spelling = draw(st.sampled_from(["memoryReservation", "memory_reservation"]))
        override |= draw(st.sampled_from([{}, {"cpu": 0, "memory": 256}, {spelling: 128}]))
        listed.append(override)
    return listed


def run_task_kwargs_of(containers: Sequence[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Parameters of RunTask, of several shapes."""
    variable = st.builds(lambda name, value: {"name": name, "value": value}, env_names, plain)
    container = st.builds(
        lambda name, listed: {"name": name, "environment": listed},
        st.sampled_from(containers),
        st.lists(variable, max_size=2, unique_by=lambda pair: pair["name"]),
    )
    return st.just({}) | st.fixed_dictionaries(
        {},
        optional={
            "enableExecuteCommand": st.booleans(),
            "enableECSManagedTags": st.booleans(),
            "group": st.just("nightly"),
            "propagateTags": st.sampled_from(["TASK_DEFINITION", "NONE"]),
            "platformVersion": st.sampled_from(["LATEST", "1.4.0"]),
            "tags": st.builds(lambda found: [{"key": k, "value": v} for k, v in found.items()], tags),
            "capacityProviderStrategy": st.just([{"capacityProvider": "FARGATE_SPOT", "weight": 1, "base": 0}]),
            "networkConfiguration": st.just(
                {"awsvpcConfiguration": {"subnets": ["subnet-9"], "assignPublicIp": "ENABLED"}}
            ),
            "overrides": st.fixed_dictionaries(
                {},
                optional={
                    "containerOverrides": st.lists(container, max_size=1),
                    "taskRoleArn": roles,
                    "ephemeralStorage": st.builds(lambda gib: {"sizeInGiB": gib}, st.integers(21, 200)),
                },
            )
            | sizes.map(lambda size: {"cpu": str(size[0]), "memory": str(size[1])}),
        },
    )


clusters = st.one_of(
    st.fixed_dictionaries(
        {
            "cluster": st.sampled_from(["", "dagy"]),
            "region": st.sampled_from(["", "us-east-1", "us-gov-west-1", "eu-central-1"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "cluster": st.just("arn:aws:ecs:us-east-1:000000000000:cluster/dagy"),
            "region": st.sampled_from(["", "us-east-1"]),
        }
    ),
)
"""A cluster and its region, which must be that of its ARN."""


@st.composite
def placement_fields(draw: st.DrawFn, containers: Sequence[str]) -> dict[str, Any]:
    """Where and how a task of these containers runs, on Fargate."""
    fields: dict[str, Any] = {
        **draw(clusters),
        "platform_version": draw(st.sampled_from(["", "LATEST", "1.4.0"])),
        "subnets": draw(st.lists(matching(r"subnet-[0-9a-f]{8}"), max_size=16 if draw(st.booleans()) else 2)),
        "security_groups": draw(st.lists(matching(r"sg-[0-9a-f]{8}"), max_size=5)),
        "assign_public_ip": draw(st.none() | st.booleans()),
        "container_name": draw(st.sampled_from(["", containers[-1]])) or None,
        "container_overrides": draw(overrides_of(containers)),
        "run_task_kwargs": draw(run_task_kwargs_of(containers)),
        "task_execution_role_arn": draw(st.just("") | roles),
        "task_role_arn": draw(st.just("") | roles),
        "log_group": draw(st.sampled_from(["", "/ecs/a_b-c.d#1"])),
        "tags": draw(tags),
        "workload_profile": draw(st.none() | st.sampled_from(list(WORKLOADS))),
        "ephemeral_storage_gib": draw(st.none() | st.integers(MIN_EPHEMERAL_GIB, MAX_EPHEMERAL_GIB)),
    }
    fields |= draw(
        st.just({})
        | st.just({"launch_type": "FARGATE"})
        | strategies_on_fargate.map(lambda items: {"capacity_provider_strategy": items})
    )
    if size := draw(st.none() | sizes):
        fields |= dict(zip(("cpu", "memory"), size, strict=True))
    return fields


@st.composite
def request_fields(draw: st.DrawFn, containers: Sequence[str] = ("worker",)) -> dict[str, Any]:
    """Fields that every request has, all acceptable. A profile is none of them: the settings say which there are."""
    fields = draw(placement_fields(containers))
    taken = {name for override in fields["container_overrides"] for name in _named(override["environment"])}
    listed = fields["run_task_kwargs"].get("overrides", {}).get("containerOverrides", [])
    taken |= {name for override in listed for name in _named(override["environment"])}
    own = draw(variables)
    secret_names = env_names.filter(lambda name: name not in taken | own.keys())
    return fields | {
        "org_id": draw(names),
        "correlation_id": draw(st.just("") | correlations),
        "environment": draw(st.just("") | names),
        "deployment_name": draw(st.just("") | names),
        "trigger_source": draw(text),
        "triggered_by": draw(text),
        "extra_env_vars": own,
        "secrets_env": draw(st.dictionaries(secret_names, secret_arns, max_size=2)),
        "metadata": draw(json_objects),
        "max_retries": draw(st.integers(0, 100)),
        "oom_retries": draw(st.integers(0, 100)),
        "grow_on_oom": draw(st.booleans()),
        "spot_retries": draw(st.integers(0, 100)),
        "spot_fallback_after": draw(st.integers(1, 1000)),
        "start_retries": draw(st.integers(0, 100)),
        "retry_on_exit_codes": draw(st.lists(st.integers(1, 127), max_size=3) | st.integers(1, 127)),
        "skip_on_exit_code": draw(st.lists(st.integers(128, 255), max_size=3) | st.integers(128, 255)),
        "retry_delay": draw(st.floats(0, 86_400) | durations),
        "timeout": draw(st.none() | st.floats(0.001, 86_400) | durations.filter(bool)),
        "priority": draw(st.integers(0, 9)),
    }


@st.composite
def launch_requests(draw: st.DrawFn) -> LaunchRequest:
    """Requests of flows: by the worker image, an image, a template or an existing task definition."""
    containers, source = draw(
        st.sampled_from(
            [
                (("worker",), {}),
                (("worker",), {"worker_image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/dagy@sha256:0a1b"}),
                (("log-router", "main"), {"task_definition_template": TEMPLATE}),
                (("log-router", "main"), {"task_definition_template": TEMPLATE, "worker_image": "dagy:7"}),
                (("log-router", "main"), {"task_definition": EXISTING}),
            ]
        )
    )
    own = {"flow_name": draw(names), "flow_version": draw(names), "parameters": draw(json_objects)}
    return LaunchRequest(**draw(request_fields(containers)), **own, **source)


@st.composite
def container_requests(draw: st.DrawFn) -> ContainerRequest:
    """Requests of any container: by image, template (as described, too), both, or an existing task definition."""
    described = {"taskDefinition": {**TEMPLATE, "revision": 3, "status": "ACTIVE", "compatibilities": ["FARGATE"]}}
    containers, source = draw(
        st.sampled_from(
            [
                (("worker",), {"image": "public.ecr.aws/lambda/python:3.13#x"}),
                (("log-router", "main"), {"task_definition_template": described}),
                (("log-router", "main"), {"task_definition_template": TEMPLATE, "image": "job:7"}),
                (("log-router", "main"), {"task_definition": f"{EXISTING}:1"}),
            ]
        )
    )
    return ContainerRequest(**draw(request_fields(containers)), **source, command=draw(st.lists(templated, max_size=4)))


any_requests = launch_requests() | container_requests()


def _named(variables: Any) -> set[str]:
    return set(variables) if isinstance(variables, dict) else {pair["name"] for pair in variables}
