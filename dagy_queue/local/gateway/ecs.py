"""Builds the local ECS from the gateway's options."""

from __future__ import annotations

import os
from typing import Any

from dagy_queue.local.gateway.app import Ecs
from dagy_queue.local.gateway.options import GatewayOptions
from dagy_queue.local.ports import EventSink, LogSink, SecretSource


def make_ecs(options: GatewayOptions, base_url: str, *, events: EventSink, logs: LogSink, secrets: SecretSource) -> Ecs:
    """Return the local ECS, whose containers find this gateway in their environment."""
    from dagy_queue.local.ecs import LocalEcs

    return LocalEcs(ecs_config(options, base_url), events, logs, secrets)


def ecs_config(options: GatewayOptions, base_url: str) -> Any:
    """Return the LocalEcsConfig that the options ask for."""
    from dagy_queue.local.ecs.config import LocalEcsConfig, PhaseDelays

    given = dict(options.ecs)
    environment = {**container_environment(base_url, options.region), **given.pop("extra_environment", {})}
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


def container_environment(base_url: str, region: str) -> dict[str, str]:
    """Return what a container needs to reach this AWS: where it is, and credentials that nobody checks."""
    return {
        "AWS_ENDPOINT_URL": base_url,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": no_proxy(),
        "no_proxy": no_proxy(),
    }


def no_proxy() -> str:
    """Return the hosts to reach without a proxy: this machine's environment's own and loopback."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return ",".join(dict.fromkeys([*filter(None, given.split(",")), "127.0.0.1", "localhost"]))


def _limits(given: Any) -> Any:
    from dagy_queue.local.ecs.buckets import AWS_DEFAULT_LIMITS, Limits, Rate

    if given == "aws":
        return AWS_DEFAULT_LIMITS
    return Limits(**{name: Rate(*rate) for name, rate in (given or {}).items()})
