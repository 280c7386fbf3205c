"""``dagy-queue flower``: Flower with our runs in it, safe as it starts. The command line calls :func:`run_flower`.

Flower is started as ``celery flower`` starts it, in this process, with our app and configuration.
"""

from __future__ import annotations

import errno
import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from socket import gaierror

from dagy_queue.errors import FlowerRefused
from dagy_queue.operate.flower.safety import check_login, check_login_text, has_login, prepare_state_file

APP = "dagy_queue.operate.flower.app"
CONFIG = Path(__file__).with_name("config.py")
SAVES_EVERY_MS = 60_000
_PRIVATE = 0o077
_PURGED_AFTER = 3600
"""Seconds after which a worker that is gone is no longer listed."""
_NUMBERS = ("purge_offline_workers",)
"""Flower's options that take a whole number and have none of their own accord."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowerOptions:
    """What ``dagy-queue flower`` was asked for; None is Flower's environment variable, else our default."""

    port: int | None = None
    address: str | None = None
    basic_auth: Sequence[str] = ()
    max_tasks: int | None = None
    persistent: Path | None = None
    url_prefix: str | None = None
    others: Sequence[str] = field(default_factory=tuple)
    """Options of Flower's own, as ``--name=value``."""


def run_flower(options: FlowerOptions) -> None:
    """Run Flower until it is told to stop. Raises FlowerRefused."""
    if importlib.util.find_spec("flower") is None:
        raise FlowerRefused("Flower is not installed: pip install 'dagy-queue[monitor]'")
    arguments = flower_arguments(options)
    os.umask(_PRIVATE)  # what it saves holds what runs returned
    from celery.bin.celery import celery

    try:
        celery.main(args=["-A", APP, "flower", *arguments], prog_name="dagy-queue")
    except OSError as exc:
        if not _is_about_the_address(exc):
            raise
        where = f"{_given('address', arguments)}, port {_given('port', arguments) or os.environ.get('FLOWER_PORT')}"
        raise FlowerRefused(
            f"Flower cannot listen on {where} ({exc.strerror}): end what listens there, or give another --port or "
            "--address"
        ) from exc


def flower_arguments(options: FlowerOptions) -> list[str]:
    """Return Flower's arguments. Raises FlowerRefused for what is not safe, or not an option of Flower's."""
    _check_others(options.others)
    _check_values(options.others)
    address = options.address or os.environ.get("FLOWER_ADDRESS") or _given("address", options.others) or "127.0.0.1"
    arguments = [f"--address={address}"]
    arguments += [] if _is_told("conf", options) else [f"--conf={CONFIG}"]
    for login in [*options.basic_auth, *filter(None, os.environ.get("FLOWER_BASIC_AUTH", "").split(","))]:
        check_login_text(login)
    if options.basic_auth:
        arguments.append(f"--basic-auth={','.join(options.basic_auth)}")
    arguments += _numbers(options)
    arguments += _state(options)
    if options.url_prefix:
        arguments.append(f"--url-prefix={options.url_prefix}")
    arguments += options.others
    check_login(address, arguments, os.environ)
    if not _buttons_work(arguments) and not _is_told("read_only", options):
        arguments.append("--read-only")
    return arguments


def _numbers(options: FlowerOptions) -> list[str]:
    ours = {"port": (options.port, 5555), "max_tasks": (options.max_tasks, 10_000)}
    ours |= {"purge_offline_workers": (None, _PURGED_AFTER)}
    found = []
    for name, (given, usual) in ours.items():
        if given is not None:
            found.append(_option(name, given))
        elif not _is_told(name, options):
            found.append(_option(name, usual))
    return found


def _state(options: FlowerOptions) -> list[str]:
    if options.persistent is None:
        return []
    path = options.persistent.expanduser().absolute()
    prepare_state_file(path)
    often = [] if _is_told("state_save_interval", options) else [_option("state_save_interval", SAVES_EVERY_MS)]
    return ["--persistent", f"--db={path}", *often]


def _buttons_work(arguments: Sequence[str]) -> bool:
    """Tell whether Flower takes commands: it does with a login, or if its environment says so."""
    told = os.environ.get("FLOWER_UNAUTHENTICATED_API", "").lower() in ("1", "t", "true", "y", "yes", "on")
    return told or has_login(arguments, os.environ)


def _is_told(name: str, options: FlowerOptions) -> bool:
    return f"FLOWER_{name.upper()}" in os.environ or _given(name, options.others) is not None


def _given(name: str, others: Sequence[str]) -> str | None:
    """Return the value of an option of Flower's own among those given; None without it."""
    values = [value for key, value in map(_parted, others) if key == name]
    return values[-1] if values else None


def _option(name: str, value: object) -> str:
    return f"--{name.replace('_', '-')}={value}"


def _parted(argument: str) -> tuple[str, str]:
    name, _, value = argument.lstrip("-").partition("=")
    return name.replace("-", "_"), value


def _check_others(others: Sequence[str]) -> None:
    """Raise FlowerRefused for what Flower would leave out without a word."""
    from flower.options import default_options

    known = {name.replace("-", "_") for name in default_options}
    for argument in others:
        name, _ = _parted(argument)
        if not argument.startswith("--") or name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean --{near[0].replace('_', '-')}?" if near else "write Flower's options as --name=value"
            raise FlowerRefused(f"{argument!r} is no option of dagy-queue flower or of Flower; {hint}")


def _check_values(others: Sequence[str]) -> None:
    """Raise FlowerRefused for a number that is none and a configuration file that is not there."""
    from flower.options import default_options

    usual = {name.replace("-", "_"): value for name, value in default_options.items()}
    given = {name.lower(): (f"FLOWER_{name}", os.environ[f"FLOWER_{name}"]) for name in _variables()}
    given |= {name: (argument.partition("=")[0], value) for argument in others for name, value in [_parted(argument)]}
    for name, (shown, value) in given.items():
        if name == "conf" and not Path(value).is_file():
            raise FlowerRefused(f"{shown} is {value!r}, and there is no such file")
        if (type(usual.get(name)) is int or name in _NUMBERS) and not value.isdecimal():
            raise FlowerRefused(f"{shown} is {value!r}: it takes a whole number")


def _variables() -> Iterator[str]:
    return (name.removeprefix("FLOWER_") for name in os.environ if name.startswith("FLOWER_"))


def _is_about_the_address(error: OSError) -> bool:
    return isinstance(error, gaierror) or error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)
