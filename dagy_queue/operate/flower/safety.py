"""What ``dagy-queue flower`` refuses: showing runs to a network without a login, and a state that others may write.

Flower keeps its state as a pickle, and reading one runs what is in it.
"""

from __future__ import annotations

import os
import runpy
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from dagy_queue.errors import FlowerRefused
from dagy_queue.operate.loopback import is_loopback

_LOGINS = ("basic_auth", "auth")
_SUFFIXES = ("", ".db", ".dat", ".dir", ".bak")
"""What dbm adds to the name of the file, by its kind."""


def has_login(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Tell whether Flower is told of a login, in its arguments, its environment or a configuration file."""
    given = {_name(each): each.partition("=")[2] for each in arguments}
    conf = given.get("conf") or environment.get("FLOWER_CONF")
    in_file = runpy.run_path(conf) if conf and Path(conf).is_file() else {}  # Flower runs it, too
    return any(given.get(name) or environment.get(f"FLOWER_{name.upper()}") or in_file.get(name) for name in _LOGINS)


def check_login(address: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Raise FlowerRefused if others could reach Flower without a login."""
    if is_loopback(address) or has_login(arguments, environment):
        return
    raise FlowerRefused(
        f"Flower would listen on {address or 'every address'} without a login, and whoever reaches it can end runs: "
        "set FLOWER_BASIC_AUTH=user:password, give --basic-auth or Flower's OAuth options (--auth-provider, --auth), "
        "or leave out --address, so that only this machine reaches it"
    )


def check_login_text(login: str) -> None:
    """Raise FlowerRefused for a login that nobody could use."""
    user, _, password = login.partition(":")
    if not (user and password and login.isascii()) or "," in login:
        raise FlowerRefused("a login is user:password, both of at least one ASCII character and without commas")


def prepare_state_file(path: Path) -> None:
    """Make the directory of Flower's state, and see to it that nobody else may write what Flower reads.

    Raises FlowerRefused.
    """
    directory = path.parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise FlowerRefused(f"{directory} cannot be made ({exc.strerror}): give --persistent another path") from exc
    for name in (directory, *(path.with_name(path.name + suffix) for suffix in _SUFFIXES)):
        if name.exists():
            _check_owner(name)


def _check_owner(path: Path) -> None:
    found = path.stat()
    mine = found.st_uid == os.getuid()
    sticky = path.is_dir() and found.st_mode & stat.S_ISVTX  # as /tmp: what is in it, others cannot replace
    if (mine and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) or sticky:
        return
    whose = "writable by others" if mine else "another user's"
    raise FlowerRefused(
        f"{path} is {whose}, and reading Flower's state runs what is in it: give --persistent a path in a directory "
        "that only you can write"
    )


def _name(argument: str) -> str:
    return argument.lstrip("-").partition("=")[0].replace("-", "_")
