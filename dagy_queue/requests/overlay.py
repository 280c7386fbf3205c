"""Lays levels of request fields over one another: environment defaults, deployment, profile, request, shard; pure.

Producers merge the levels they know before they publish; the launching room adds a deployment's. The order of levels is
in docs/launch-options.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagy_queue.requests.environment import as_variables
from dagy_queue.requests.overrides import merge_container_overrides, merge_run_task_kwargs

_MERGED = frozenset({"parameters", "extra_env_vars", "metadata", "secrets_env", "tags"})
"""Mappings that are merged by key; the upper level wins."""

_ALTERNATIVES: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    (frozenset({"workload_profile"}), frozenset({"cpu", "memory"})),
    (frozenset({"launch_type"}), frozenset({"capacity_provider_strategy"})),
    (frozenset({"task_definition"}), frozenset({"image", "worker_image", "task_definition_template"})),
)
"""Two ways to say the same: a level that uses one takes the other away from the levels below it."""


def overlay(*levels: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of all levels, the lowest first; a field that is None is not given."""
    result: dict[str, Any] = {}
    for level in levels:
        given = {name: _in_one_form(name, value) for name, value in level.items() if value is not None}
        result = _laid_over(result, given)
    return result


def _laid_over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(lower)
    for ways in _ALTERNATIVES:
        for way, other in (ways, ways[::-1]):
            if upper.keys() & way and not upper.keys() & other:
                for name in other:
                    result.pop(name, None)
    for name, value in upper.items():
        result[name] = _merged(name, result.get(name), value)
    return result


def _in_one_form(name: str, value: Any) -> Any:
    return as_variables(value) if name == "extra_env_vars" else value


def _merged(name: str, lower: Any, upper: Any) -> Any:
    if name == "container_overrides" and isinstance(lower, list | tuple) and isinstance(upper, list | tuple):
        return merge_container_overrides(lower, upper)
    if not (isinstance(lower, Mapping) and isinstance(upper, Mapping)):
        return upper
    if name == "run_task_kwargs":
        return merge_run_task_kwargs(lower, upper)
    return {**lower, **upper} if name in _MERGED else upper
