"""Builds the local ECS from the gateway's options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dagy_queue.local.ecs import AWS_DEFAULT_LIMITS, Limits, LocalEcs, LocalEcsConfig, PhaseDelays, Rate
from dagy_queue.local.environment import container_environment
from dagy_queue.local.gateway.app import Ecs
from dagy_queue.local.gateway.options import GatewayOptions
from dagy_queue.local.ports import EventSink, LogSink, SecretSource


def make_ecs(options: GatewayOptions, base_url: str, *, events: EventSink, logs: LogSink, secrets: SecretSource) -> Ecs:
    """Return the local ECS, whose containers find this gateway in their environment."""
    return LocalEcs(ecs_config(options, base_url), events, logs, secrets)


def ecs_config(options: GatewayOptions, base_url: str) -> LocalEcsConfig:
    """Return the LocalEcsConfig that the options ask for."""
    given = dict(options.ecs)
    environment = {**container_environment(base_url, options.region), **given.pop("extra_environment", {})}
    if work_dir := given.pop("work_dir", None):
        given["work_dir"] = Path(work_dir)
    return LocalEcsConfig(
        account=options.account,
        region=options.region,
        clusters=given.pop("clusters", ("default", options.cluster)),
        limits=_limits(given.pop("limits", None)),
        delays=PhaseDelays(**given.pop("delays", {})),
        metadata_uri=f"{base_url}/_local/metadata",
        extra_environment=environment,
        **given,
    )


def _limits(given: Any) -> Limits:
    if given == "aws":
        return AWS_DEFAULT_LIMITS
    return Limits(**{name: Rate(**rate) for name, rate in (given or {}).items()})
