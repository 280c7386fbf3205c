"""What a gateway process is told when it starts, as JSON on its command line; written by ``local.stack`` and
``local.up``, read by ``gateway.server``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

ACCOUNT = "000000000000"
"""The AWS account everything local belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """The gateway's address and account, and what the local ECS is told.

    ``url`` is where others reach it, if that is not its own address: in a container, by the service's name. With
    ``provision`` it makes everything that production has before it says that it is healthy; see ``local/provision.py``.

    ``ecs`` has LocalEcsConfig's fields in plain JSON: ``limits`` is ``"aws"`` or a mapping like
    ``{"run_task_calls": {"per_second": 20, "burst": 20}}``, ``delays`` a mapping.
    """

    host: str = "127.0.0.1"
    port: int = 4566
    url: str = ""
    provision: bool = False
    region: str = "us-east-1"
    account: str = ACCOUNT
    cluster: str = "dagy"
    ecs: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the options as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(**json.loads(text))
