"""What the tests of manifests share: one in S3, and a batch of its shards."""

from __future__ import annotations

import json
from typing import Any

from dagy_queue.dispatch.services import Services
from dagy_queue.ids import new_id
from dagy_queue.ledger import Continuation
from dagy_queue.requests.policies import BatchPolicy
from dagy_queue.requests.sources import manifest

KEY = "shards.jsonl"


def rows(count: int) -> bytes:
    return b"".join(b'{"n": %d}\n' % n for n in range(count))


def publish(services: Services, most: int | None = None, **policy: Any) -> str:
    batch_id = new_id()
    fields = {
        "request": json.dumps({"kind": "flow", "org_id": "acme", "flow_name": "f"}),
        "callback_id": new_id(),
        "correlation": "c",
        "org": "acme",
        "flow": "f",
        "policy": BatchPolicy(**policy).model_dump_json(exclude_defaults=True),
        "ender": "end",
        "canceller": "cancel",
    }
    source = manifest(f"s3://bucket/{KEY}").limited(most)
    assert services.batches.publish(batch_id, Continuation("fanout", "message"), deltas=source, fields=fields)
    return batch_id


def sent(services: Services) -> list[str]:
    """Return what was sent after the fan-out itself."""
    return services.redis.client.lrange("fanout", 0, -1)[::-1][1:]  # type: ignore[index,no-any-return]
