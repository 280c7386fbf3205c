"""Hypothesis strategies that several unit tests share."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from dagy_queue.ids import AttemptId
from dagy_queue.requests import ContainerRequest, LaunchRequest
from dagy_queue.requests.sizes import MAX_EPHEMERAL_GIB, MEMORY_OF_CPU, MIN_EPHEMERAL_GIB

unhurried = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
"""For tests on a machine that is shared: nothing is too slow, and there are not too many examples."""

text = st.text(max_size=30)
run_ids = st.from_regex(r"[A-Za-z0-9_-]{1,56}", fullmatch=True)
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", fullmatch=True)
correlations = st.from_regex(r"[\x21-\x7e]{1,200}", fullmatch=True)
attempt_ids = st.builds(AttemptId, run_ids, st.integers(1, 999_999))
sizes = st.sampled_from([(cpu, memory) for cpu, choices in MEMORY_OF_CPU.items() for memory in choices])

json_leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
json_values = st.recursive(
    json_leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(text, json_values, max_size=4)

env_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True).filter(
    lambda name: not name.startswith("DAGY_") and name not in ("TASK_NAME", "TASK_NUM")
)


@st.composite
def request_fields(draw: st.DrawFn) -> dict[str, Any]:
    """Fields that every request has, all acceptable."""
    fields: dict[str, Any] = {
        "org_id": draw(names),
        "correlation_id": draw(st.just("") | correlations),
        "environment": draw(text),
        "trigger_source": draw(text),
        "triggered_by": draw(text),
        "extra_env_vars": draw(st.dictionaries(env_names, text, max_size=3)),
        "metadata": draw(json_objects),
        "max_retries": draw(st.integers(0, 100)),
        "retry_delay": draw(st.floats(0, 86_400)),
        "priority": draw(st.integers(0, 9)),
        "ephemeral_storage_gib": draw(st.none() | st.integers(MIN_EPHEMERAL_GIB, MAX_EPHEMERAL_GIB)),
    }
    if size := draw(st.none() | sizes):
        fields |= dict(zip(("cpu", "memory"), size, strict=True))
    return fields


@st.composite
def launch_requests(draw: st.DrawFn) -> LaunchRequest:
    """Requests of flows."""
    own = {"flow_name": draw(names), "flow_version": draw(names), "parameters": draw(json_objects)}
    return LaunchRequest(**draw(request_fields()), **own)


@st.composite
def container_requests(draw: st.DrawFn) -> ContainerRequest:
    """Requests of any image."""
    own = {"image": draw(st.text(min_size=1, max_size=40)), "command": draw(st.lists(text, max_size=4))}
    return ContainerRequest(**draw(request_fields()), **own)


any_requests = launch_requests() | container_requests()
