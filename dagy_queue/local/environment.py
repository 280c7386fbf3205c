"""Environments of processes that work with the local stack: containers, the product's own processes, and this one."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from dagy_queue.settings import FLAT_NAMES

_FOREIGN = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE")
"""Variables that lead to another AWS; names that begin with the endpoint's are per service."""

NO_PROFILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
"""Nothing in the caller's profiles counts here, and a file of them that is broken hurts nobody."""


def container_environment(base_url: str, region: str) -> dict[str, str]:
    """Return what a container needs to reach this AWS: where it is, and credentials that nobody checks."""
    return {
        "AWS_ENDPOINT_URL": base_url,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
        **NO_PROFILES,
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",  # true would lead past the first line
        "NO_PROXY": no_proxy(),
        "no_proxy": no_proxy(),
    }


def no_proxy() -> str:
    """Return the hosts to reach without a proxy: this machine's environment's own and loopback."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return ",".join(dict.fromkeys([*filter(None, given.split(",")), "127.0.0.1", "localhost"]))


def process_environment(own: Mapping[str, str], base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a child process's environment: this one's, with ``own`` winning over everything that says otherwise."""
    shadowing = {f"DAGY_QUEUE__{path.replace('.', '__')}".upper() for name, path in FLAT_NAMES.items() if name in own}
    inherited = {
        name: value
        for name, value in (os.environ if base is None else base).items()
        if name.upper() not in shadowing and not name.startswith(_FOREIGN)
    }
    return {**inherited, **own}


def exports(environment: Mapping[str, str]) -> str:
    """Return an environment as the lines of a file that a shell can source."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


@contextmanager
def environ(own: Mapping[str, str]) -> Iterator[None]:
    """Have a child's environment in this process: PynamoDB finds its endpoint and credentials nowhere else."""
    before = dict(os.environ)
    wanted = process_environment(own)
    changed = {name for name in before.keys() | wanted.keys() if before.get(name) != wanted.get(name)}
    try:
        _set(changed, wanted)
        yield
    finally:
        _set(changed, before)


def _set(names: set[str], values: Mapping[str, str]) -> None:
    for name in names:
        if name in values:
            os.environ[name] = values[name]
        else:
            os.environ.pop(name, None)
