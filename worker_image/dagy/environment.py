"""Parameters as environment variables, for tasks that read ``os.environ["OUTPUT_BUCKET"]``.

The worker has them there while it imports the flow and while a run lasts, and so does ``dagy run``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

RESERVED_PREFIXES = ("AWS_", "DAGY_", "ECS_", "LD_", "PIP_", "PYTHON", "SSL_")
"""Names that steer the process itself. A parameter must not be able to set them."""
RESERVED = frozenset(
    {
        *("ALL_PROXY", "CURL_CA_BUNDLE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"),
        *("OPENSSL_CONF", "SSLKEYLOGFILE"),
        *("BASH_ENV", "PS4", "SHELLOPTS"),
        *("GIT_ASKPASS", "GIT_EXTERNAL_DIFF", "GIT_PROXY_COMMAND", "GIT_SSH", "GIT_SSH_COMMAND"),
        *("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "NODE_OPTIONS"),
        *("PERL5DB", "PERL5LIB", "PERL5OPT", "PERLLIB", "RUBYLIB", "RUBYOPT"),
    }
)
"""The same, by their whole names: they say through whom the process talks to others and whom it believes, or what
shells, git and interpreters that a flow starts run before their own work."""

MOST_BYTES = 32_768
"""Of an exported text. Linux starts no process with a variable of 128 KiB, or with 2 MiB of them all (execve(2))."""


@contextmanager
def parameters_exported(parameters: Mapping[str, Any]) -> Iterator[None]:
    """Have a run's parameters in the environment until the end of the block."""
    with environment_restored():
        export_parameters(parameters, os.environ)
        yield


@contextmanager
def environment_restored() -> Iterator[None]:
    """Have the environment as it was again at the end of the block."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def export_parameters(parameters: Mapping[str, Any], environ: MutableMapping[str, str]) -> None:
    """Set a variable for each scalar parameter, unless there is one already.

    The name is the parameter's in upper case, with ``_`` for characters that are not letters, digits or ``_``. Strings
    are exported as they are, numbers and booleans as JSON; null, lists, objects and long texts are not exported.
    """
    for parameter, value in parameters.items():
        name = re.sub(r"\W", "_", parameter.upper(), flags=re.ASCII)
        text = _as_text(value)
        if text is not None and name and not is_reserved(name):
            environ.setdefault(name, text)


def is_reserved(name: str) -> bool:
    """Whether a variable steers the process itself."""
    return name in RESERVED or name.startswith(RESERVED_PREFIXES)


def _as_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value if _fits(value) else None
    return json.dumps(value) if isinstance(value, bool | int | float) else None


def _fits(text: str) -> bool:
    """Tell whether a variable can have this text, and processes be started with it."""
    try:
        return "\0" not in text and len(text.encode()) <= MOST_BYTES
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
