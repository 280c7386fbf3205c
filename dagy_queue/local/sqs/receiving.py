"""How ReceiveMessage shows a message: the attributes asked for and the checksums. Used by the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagy_queue.local.sqs.messages import Message, Receipt, md5_of_attributes, md5_of_body
from dagy_queue.local.sqs.registry import Entry


def received(entry: Entry, message: Message, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return one message of an answer."""
    answer: dict[str, Any] = {
        "MessageId": message.message_id,
        "ReceiptHandle": Receipt(entry.queue.name, message.number, message.receives).handle,
        "MD5OfBody": md5_of_body(message.body),
        "Body": message.body,
    }
    wanted = {*(request.get("AttributeNames") or ()), *(request.get("MessageSystemAttributeNames") or ())}
    if wanted:
        system = message.system_attributes()
        answer["Attributes"] = {name: value for name, value in system.items() if name in wanted or "All" in wanted}
    chosen = _chosen(message.attributes, request.get("MessageAttributeNames") or ())
    if chosen:
        answer["MessageAttributes"] = chosen
        answer["MD5OfMessageAttributes"] = md5_of_attributes(chosen)
    return answer


def _chosen(attributes: Mapping[str, Any], patterns: Any) -> dict[str, Any]:
    def matches(name: str, pattern: str) -> bool:
        if pattern in {"All", ".*"}:
            return True
        return name.startswith(pattern[:-2]) if pattern.endswith(".*") else name == pattern

    return {name: value for name, value in attributes.items() if any(matches(name, pattern) for pattern in patterns)}
