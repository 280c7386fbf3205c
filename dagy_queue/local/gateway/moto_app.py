"""moto behind the gateway: its WSGI application in a small pool of threads, with whole requests and answers.

An adapter of our own rather than a2wsgi, because moto needs what a2wsgi leaves out: bodies sent with chunked
transfer encoding, the undecoded path (S3 keys with ``%2F``) and underscores in ``x-amz-meta-*`` names.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

from dagy_queue.local.gateway.http import Answer, Scope

_DYNAMODB = "DynamoDB_"
WARMED = ("events", "s3", "dynamodb", "logs", "sts")
"""Services whose code is loaded while the gateway starts; the others load on their first call."""


class MotoApp:
    """moto, loaded in the background by :meth:`start`."""

    def __init__(self, account: str, threads: int = 8) -> None:
        os.environ["MOTO_ACCOUNT_ID"] = account
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="moto")
        self._lock = threading.Lock()
        self._tables = threading.Lock()
        self._app: Any = None

    def start(self) -> asyncio.Future[None]:
        """Begin to load moto; the future is done when the services in WARMED are ready."""
        return asyncio.get_running_loop().run_in_executor(self._pool, self._warm)

    async def call(self, scope: Scope, body: bytes) -> Answer:
        """Answer one request."""
        environ = _environ(scope, body)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, environ)

    def close(self) -> None:
        """End the threads; calls that still run are let finish."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _warm(self) -> None:
        dispatcher = self._loaded()
        for service in WARMED:
            with dispatcher.lock:
                if service not in dispatcher.app_instances:
                    dispatcher.app_instances[service] = dispatcher.create_app(service)

    def _loaded(self) -> Any:
        with self._lock:
            if self._app is None:
                from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

                self._app = DomainDispatcherApplication(create_backend_app)
        return self._app

    def _run(self, environ: dict[str, Any]) -> Answer:
        app = self._loaded()
        # DynamoDB writes an item whole, on its condition, or not at all; moto does it in steps.
        is_of_table = environ.get("HTTP_X_AMZ_TARGET", "").startswith(_DYNAMODB)
        with self._tables if is_of_table else nullcontext():
            return run_wsgi(app, environ)


def run_wsgi(app: Callable[..., Iterable[bytes]], environ: dict[str, Any]) -> Answer:
    """Call a WSGI application and collect its whole answer."""
    started: list[tuple[str, list[tuple[str, str]]]] = []
    parts: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:  # noqa: ARG001
        started.append((status, headers))
        return parts.append

    iterable = app(environ, start_response)
    try:
        parts.extend(iterable)
    finally:
        close = getattr(iterable, "close", None)
        if close:
            close()
    status, headers = started[-1]
    return Answer(
        int(status.split(" ", 1)[0]),
        [(name.lower().encode("latin1"), value.strip().encode("latin1")) for name, value in headers],
        b"".join(parts),
    )


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    host, port = scope.get("server") or ("127.0.0.1", 80)
    query = scope["query_string"].decode("latin1")
    raw_path = scope["raw_path"].decode("latin1")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode("utf-8").decode("latin1"),
        "RAW_URI": f"{raw_path}?{query}" if query else raw_path,
        "QUERY_STRING": query,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    _add_headers(environ, scope["headers"])
    environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def _add_headers(environ: dict[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> None:
    spelling: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin1"), raw_value.decode("latin1")
        if name in {"transfer-encoding", "content-length"}:
            continue
        key = name.upper().replace("-", "_")
        if key != "CONTENT_TYPE":
            key = f"HTTP_{key}"
        if "_" in name:
            if not name.startswith("x-amz-meta-"):
                continue
            spelling[key] = name
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    if spelling:
        environ["moto.preserved_header_names"] = spelling
