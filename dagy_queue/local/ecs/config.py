"""What a local ECS can be told: its account, delays, limits, images and clock. Every default suits a laptop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagy_queue.local.ecs.arns import Realm
from dagy_queue.local.ecs.buckets import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseDelays:
    """Seconds a task spends in each phase beyond the work done in it (Fargate: 20 s to a minute in all)."""

    provisioning: float = 0.0
    pulling: float = 0.0
    activating: float = 0.0
    deprovisioning: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEcsConfig:
    """The configuration of one local ECS.

    ``images`` maps image patterns to the argv their containers start with. ``capacity`` is the most tasks at
    once, the vCPU limits are per capacity type. ``metadata_uri`` is where the gateway serves
    ``admin("metadata")``. ``worker_entry`` is what the fork server calls for a ``dagy-worker`` container.
    """

    account: str = "000000000000"
    region: str = "us-east-1"
    clusters: Sequence[str] = ("default",)
    limits: Limits = field(default_factory=Limits)
    capacity: int | None = None
    vcpu_limit: float | None = None
    spot_vcpu_limit: float | None = None
    api_latency_seconds: float = 0.0
    delays: PhaseDelays = field(default_factory=PhaseDelays)
    show_activating: bool = False
    simulate: bool = False
    images: Mapping[str, Sequence[str]] = field(default_factory=dict)
    extra_environment: Mapping[str, str] = field(default_factory=dict)
    metadata_uri: str = "http://127.0.0.1:4566/v4"
    worker_entry: str = "dagy_worker.main:main"
    worker_paths: Sequence[str] = ()
    work_dir: Path | None = None
    stopped_retention_seconds: float = 3600.0
    log_flush_seconds: float = 0.05
    close_grace_seconds: float = 1.0
    faults: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    clock: Callable[[], float] = time.time

    @property
    def realm(self) -> Realm:
        """The account and region, as ARNs need them."""
        return Realm(self.account, self.region)
