"""A lean in-memory SQS for the local stack: every operation the product and the AWS CLI use, several thousand
messages a second. The gateway calls :class:`LeanSqs`; nothing else in here is used from outside."""

from dagy_queue.local.sqs.service import LeanSqs

__all__ = ["LeanSqs"]
