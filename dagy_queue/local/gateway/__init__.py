"""The one AWS endpoint of the local stack: our ECS, SQS and event rules, and moto for every other service.

``python -m dagy_queue.local.gateway --options JSON`` runs it as a process of its own; ``local.stack`` and
``local.up`` do that.
"""

from dagy_queue.local.gateway.options import GatewayOptions

__all__ = ["GatewayOptions"]
