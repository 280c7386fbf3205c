"""``dagy-queue api``: the API in a server of its own, until it is told to stop."""

from __future__ import annotations

import importlib.util
import signal
import socket

import structlog

from dagy_queue.errors import SettingsInvalid
from dagy_queue.operate.api.exposure import check_exposure
from dagy_queue.settings import Settings

log = structlog.get_logger(__name__)

NEEDED = ("fastapi", "uvicorn")
STOP_SECONDS = 20
"""Requests in hand may take so long after SIGTERM; below ECS's stopTimeout of 30."""


def run_api(config: Settings, *, host: str | None = None, port: int | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. Raises SettingsInvalid."""
    host, port = host or config.api.host, config.api.port if port is None else port
    _require_extra()
    check_exposure(config.api, host)
    listener = _listen(host, port)
    import uvicorn

    from dagy_queue.operate.api.app import create_app

    server = uvicorn.Server(
        uvicorn.Config(
            create_app(config),
            log_config=None,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )

    def stop(*_: object) -> None:
        server.should_exit = True

    # For a signal before uvicorn listens to them; and it raises the one that stopped it again, which would end the
    # process as killed.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    address, bound = listener.getsockname()[:2]
    log.info("api_listens", address=address, port=bound, tokens=sum(map(len, config.api.tokens.values())))
    server.run(sockets=[listener])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        # asyncio sets TCP_NODELAY only on sockets that say they are TCP.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as exc:
        raise SettingsInvalid(
            f"the API cannot listen on {host}:{port}: {exc.strerror or exc}; choose another with --host and --port"
        ) from exc
    return listener


def _require_extra() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingsInvalid(f"the API needs {', '.join(missing)}: pip install 'dagy-queue[api]'")
