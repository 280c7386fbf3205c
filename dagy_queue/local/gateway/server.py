"""The gateway's process: binds the port, puts the services together, serves until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dagy_queue.local.gateway.app import TRANSPORT, Ecs, Gateway
from dagy_queue.local.gateway.ecs import make_ecs
from dagy_queue.local.gateway.events import EventRouter
from dagy_queue.local.gateway.moto_app import MotoApp
from dagy_queue.local.gateway.moto_ports import MotoLogs, MotoSecrets
from dagy_queue.local.gateway.options import GatewayOptions
from dagy_queue.local.gateway.provisioning import provisioned
from dagy_queue.local.sqs import LeanSqs

STOP_SECONDS = 10
"""A gateway that has not stopped so long after it was told to is ended by SIGALRM."""


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, with the transport in reach of the application."""

    def on_message_begin(self) -> None:
        """Put the transport in the scope of the request that begins."""
        super().on_message_begin()
        self.scope[TRANSPORT] = self.transport  # type: ignore[literal-required]


class Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: stopping has an order of its own here."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


async def serve(options: GatewayOptions, listener: socket.socket, build_ecs: Callable[..., Ecs] = make_ecs) -> bool:
    """Run the gateway on a bound socket until a signal comes. Returns False if it was to provision and could not."""
    port = listener.getsockname()[1]
    base_url = options.url.rstrip("/") or f"http://{options.host}:{port}"
    sqs = LeanSqs(base_url, options.region, options.account)
    events = EventRouter(sqs, options.region, options.account)
    moto = MotoApp(options.account)
    warm = moto.start()
    ecs = build_ecs(
        options,
        base_url,
        events=events,
        logs=MotoLogs(options.region, options.account),
        secrets=MotoSecrets(options.region, options.account),
    )
    await ecs.start()
    about = {"region": options.region, "account": options.account, "cluster": options.cluster, "pid": os.getpid()}
    app = Gateway(ecs=ecs, sqs=sqs, events=events, moto=moto, about=about)
    app.routes.is_ready = not options.provision
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=120,
        timeout_graceful_shutdown=2,
    )
    server = Server(config)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stopped.wait())
    making = asyncio.create_task(_make(app, options, port, stopped))
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    made = not making.done() or making.result()
    making.cancel()
    signal.alarm(STOP_SECONDS)
    await ecs.close()
    sqs.close()
    server.should_exit = True
    await serving
    await warm
    moto.close()
    signal.alarm(0)
    return made


async def _make(app: Gateway, options: GatewayOptions, port: int, stopped: asyncio.Event) -> bool:
    """Make what production has, if that is wanted; the gateway ends if it fails."""
    if not options.provision:
        return True
    made = app.routes.is_ready = await provisioned(f"http://127.0.0.1:{port}", options.region, options.cluster)
    if not made:
        stopped.set()
    return made


def listen(host: str, port: int) -> socket.socket:
    """Bind the endpoint's port; 0 picks a free one."""
    # asyncio sets TCP_NODELAY only on sockets that say they are TCP; without it every answer takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(1024)
    listener.setblocking(False)
    return listener


def main(argv: list[str] | None = None, build_ecs: Callable[..., Ecs] = make_ecs) -> None:
    """Run the gateway; ``--options`` is GatewayOptions as JSON. Prints its URL when it listens."""
    parser = argparse.ArgumentParser(prog="python -m dagy_queue.local.gateway", description=__doc__)
    parser.add_argument("--options", default="{}", help="GatewayOptions as JSON")
    options = GatewayOptions.from_json(parser.parse_args(argv).options)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        listener = listen(options.host, options.port)
    except OSError as exc:
        sys.exit(f"cannot listen on {options.host}:{options.port}: {exc.strerror}")
    sys.stdout.write(f"http://{options.host}:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    if not asyncio.run(serve(options, listener, build_ecs)):
        sys.exit("the local AWS could not be provisioned")
