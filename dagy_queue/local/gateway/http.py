"""Requests and answers of the gateway over bare ASGI, and the two ways AWS's JSON protocols write an answer."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from dagy_queue.local.ports import AwsError

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

JSON_10 = "application/x-amz-json-1.0"
JSON_11 = "application/x-amz-json-1.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, whole."""

    status: int
    headers: Headers
    body: bytes = b""


def plain(value: Any, status: int = 200) -> Answer:
    """Return JSON as the gateway's own ``/_local`` routes answer it."""
    return _json(value, status, "application/json", ())


def aws(value: Any, content_type: str) -> Answer:
    """Return the answer of a successful AWS call."""
    return _json(value, 200, content_type, ())


def aws_error(error: AwsError, content_type: str, *, namespace: str = "", query_code: str = "") -> Answer:
    """Return an error in the shape of AWS's JSON protocols; ``query_code`` is its name in the query protocol."""
    body = {"__type": f"{namespace}{error.code}", "message": error.message, **error.fields}
    headers = [(b"x-amzn-errortype", error.code.encode())]
    if query_code:
        fault = "Sender" if error.status < 500 else "Receiver"
        headers.append((b"x-amzn-query-error", f"{query_code};{fault}".encode()))
    return _json(body, error.status, content_type, headers)


def _json(value: Any, status: int, content_type: str, headers: Headers) -> Answer:
    body = json.dumps(value, separators=(",", ":"), default=str).encode()
    return Answer(
        status,
        [
            (b"content-type", content_type.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
            *headers,
        ],
        body,
    )


async def read_body(receive: Receive) -> bytes:
    """Read a request's whole body."""
    message = await receive()
    if not message.get("more_body"):
        return bytes(message.get("body", b""))
    parts = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


def read_json(body: bytes) -> Mapping[str, Any]:
    """Read a JSON request. Raises SerializationException for anything but an object."""
    try:
        value = json.loads(body or b"{}")
    except ValueError as exc:
        raise AwsError("SerializationException", "The request body is not valid JSON.") from exc
    if not isinstance(value, dict):
        raise AwsError("SerializationException", "The request body is not a JSON object.")
    return value


async def write(send: Send, answer: Answer) -> None:
    """Send an answer."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


def header(scope: Scope, name: bytes) -> str:
    """Return a request header, empty if it is not there."""
    for found, value in scope["headers"]:
        if found == name:
            return str(value.decode("latin1"))
    return ""
