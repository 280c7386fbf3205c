"""The ASGI application: tells which service a request is for, calls it, and writes its answer. Run by ``server``."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from dagy_queue.local.ecs import DroppedAnswer
from dagy_queue.local.gateway.events import EventRouter
from dagy_queue.local.gateway.http import (
    JSON_10,
    JSON_11,
    Answer,
    Receive,
    Scope,
    Send,
    aws,
    aws_error,
    header,
    plain,
    read_body,
    read_json,
    write,
)
from dagy_queue.local.gateway.moto_app import MotoApp
from dagy_queue.local.gateway.routes import LocalRoutes
from dagy_queue.local.ports import AwsError
from dagy_queue.local.sqs import LeanSqs
from dagy_queue.local.sqs.errors import query_code

TRANSPORT = "dagy.transport"
"""Where the server's protocol puts the connection's transport in the scope, so that an answer can be dropped."""


class Ecs(Protocol):
    """What the gateway needs of the local ECS."""

    async def start(self) -> None:
        """Get ready."""

    async def close(self) -> None:
        """Stop every task."""

    async def call(self, operation: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run one ECS operation."""

    async def admin(self, action: str, body: Mapping[str, Any]) -> Any:
        """Run one control action: faults, statistics, task metadata."""


class Gateway:
    """One endpoint for all of AWS. ``calls`` counts what came in, as ``service.operation``."""

    def __init__(self, *, ecs: Ecs, sqs: LeanSqs, events: EventRouter, moto: MotoApp, about: Mapping[str, Any]) -> None:
        self._ecs = ecs
        self._sqs = sqs
        self._events = events
        self._moto = moto
        self.calls: Counter[str] = Counter()
        self.routes = LocalRoutes(ecs=ecs, sqs=sqs, events=events, calls=self.calls, about=about)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        body = await read_body(receive)
        if header(scope, b"origin"):
            await write(send, _FROM_A_BROWSER)
            return
        service, _, operation = header(scope, b"x-amz-target").partition(".")
        match service:
            case "AmazonSQS":
                answer = await self._sqs_call(operation, body, receive)
            case "AmazonEC2ContainerServiceV20141113":
                answer = await self._ecs_call(operation, body)
            case "AWSEvents" if operation == "PutEvents":
                self.calls["events.PutEvents"] += 1
                answer = self._put_events(body)
            case _:
                answer = await self._other(scope, service, operation, body)
        if answer is None:
            await _hang_up(scope, receive)
        else:
            await write(send, answer)

    async def _sqs_call(self, operation: str, body: bytes, receive: Receive) -> Answer | None:
        self.calls[f"sqs.{operation}"] += 1
        try:
            request = read_json(body)
            if operation != "ReceiveMessage":
                return aws(await self._sqs.call(operation, request), JSON_10)
            return await self._unless_gone(self._sqs.call(operation, request), receive)
        except AwsError as exc:
            return aws_error(exc, JSON_10, namespace="com.amazonaws.sqs#", query_code=query_code(exc.code))

    async def _unless_gone(self, call: Any, receive: Receive) -> Answer | None:
        """Run a long poll; end it if the client goes away, so that no message is handed to nobody."""
        polling = asyncio.ensure_future(call)
        await asyncio.sleep(0)
        if polling.done():
            return aws(polling.result(), JSON_10)
        leaving = asyncio.ensure_future(receive())
        try:
            await asyncio.wait({polling, leaving}, return_when=asyncio.FIRST_COMPLETED)
            return aws(polling.result(), JSON_10) if polling.done() else None
        finally:
            leaving.cancel()
            polling.cancel()

    async def _ecs_call(self, operation: str, body: bytes) -> Answer | None:
        self.calls[f"ecs.{operation}"] += 1
        try:
            return aws(await self._ecs.call(operation, read_json(body)), JSON_11)
        except AwsError as exc:
            return aws_error(exc, JSON_11)
        except DroppedAnswer:
            return None

    def _put_events(self, body: bytes) -> Answer:
        try:
            return aws(self._events.put_events(read_json(body)), JSON_11)
        except AwsError as exc:
            return aws_error(exc, JSON_11)

    async def _other(self, scope: Scope, service: str, operation: str, body: bytes) -> Answer:
        if scope["path"].startswith("/_local/"):
            return await self.routes.answer(scope["method"], scope["path"], body)
        signed_for = _signed_for(scope)
        self.calls[f"{signed_for or service}.{operation or scope['method']}"] += 1
        if signed_for in {"sqs", "ecs"}:
            # moto has an SQS and an ECS of its own, which nobody must reach by accident.
            name = "InvalidAction"
            return aws_error(AwsError(name, f"the local {signed_for} speaks the JSON protocol only"), JSON_10)
        return await self._moto.call(scope, body)


_FROM_A_BROWSER = plain(
    {"error": "Forbidden", "message": "web pages may not call the local AWS: it starts processes on this machine"}, 403
)
"""No SDK sends an Origin; a page that does could otherwise run commands here by way of RunTask."""


async def _hang_up(scope: Scope, receive: Receive) -> None:
    """Close the connection without an answer, and wait until the server has noticed."""
    transport = scope.get(TRANSPORT)
    if transport is not None:
        transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


def _signed_for(scope: Scope) -> str:
    """Return the service in the credential scope of a request's signature."""
    credential = header(scope, b"authorization").partition("Credential=")[2].split(",", 1)[0]
    parts = credential.split("/")
    return parts[3] if len(parts) == 5 else ""
