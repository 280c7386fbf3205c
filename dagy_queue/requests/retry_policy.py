"""The retry policy of a run where its deployment has one: a level below the request's own fields; pure.

The second pass (``dispatch/deployment_policies.py``) and the explanation of a run lay it under the request. The launch
lays all of a deployment's defaults under it, in ``launching/planner.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagy_queue.requests.models import ContainerRequest, LaunchRequest
from dagy_queue.requests.parsing import read_request
from dagy_queue.requests.retrying import RetryFields


def over_policy(
    request: LaunchRequest | ContainerRequest, level: Mapping[str, Any]
) -> LaunchRequest | ContainerRequest:
    """Return a request with the retry fields of a level for those that it does not give itself.

    Raises RequestInvalid if they do not go together.
    """
    missing = RetryFields.model_fields.keys() - request.model_fields_set
    given = {name: level[name] for name in missing & level.keys()}
    return read_request(request.in_json() | given | {"kind": request.kind}) if given else request
