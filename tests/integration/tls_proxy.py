"""TLS before a server that is built without it, as many are: a proxy in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dagy_queue.local.free_port import HOST, free_port
from dagy_queue.local.processes import Child
from tests.integration.waiting import eventually

_PROXY = """
import asyncio, contextlib, ssl, sys

host, port, target, certificate, key = sys.argv[1:]

async def pump(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()

async def serve(reader, writer):
    inside, outside = await asyncio.open_connection(host, int(target))
    await asyncio.gather(pump(reader, outside), pump(inside, writer))

async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with await asyncio.start_server(serve, host, int(port), ssl=context) as listening:
        print("listening", flush=True)
        await listening.serve_forever()

asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that nobody has signed, and its key."""

    file: Path
    key: Path


def certificate(directory: Path) -> Certificate:
    """Make a certificate for this machine's loopback address."""
    made = Certificate(directory / "certificate.pem", directory / "key.pem")
    subject = ["-subj", "/CN=localhost", "-addext", f"subjectAltName=IP:{HOST}"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run([*command, "-keyout", made.key, "-out", made.file, *subject], check=True, capture_output=True)
    return made


@contextmanager
def tls_before(target: int, certificate: Certificate, directory: Path) -> Iterator[int]:
    """Take TLS and pass on what is in it to a port; yield the port that takes it."""
    port = free_port()
    arguments = [HOST, str(port), str(target), str(certificate.file), str(certificate.key)]
    proxy = Child("tls", [sys.executable, "-c", _PROXY, *arguments], log=directory / f"tls-{port}.log")
    try:
        eventually(lambda: "listening" in proxy.log.read_text(), "it takes TLS")
        yield port
    finally:
        proxy.stop()
