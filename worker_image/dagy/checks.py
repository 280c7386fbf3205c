"""Checks of the options of tasks and flows: each says the option, its value and what is expected, as an OptionError.

Values are checked where they are declared, because a bad one could else only fail later, inside a container.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from dagy.errors import OptionError
from dagy.hooks import Hook

NAME_RULE = "1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit"
"""What names of flows and versions look like: they become parts of keys, paths and tags."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_MAX_TASK_NAME = 128


def is_name(text: object) -> bool:
    """Tell whether a value can name a flow or a version (see NAME_RULE)."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def check_name(option: str, value: object) -> None:
    """Refuse what cannot name a flow or a version."""
    if not is_name(value):
        raise OptionError(f"{option}={value!r}: expected {NAME_RULE}")


def check_task_name(value: object) -> None:
    """Refuse what cannot name a task."""
    if not (isinstance(value, str) and 0 < len(value) <= _MAX_TASK_NAME and value.isprintable()):
        raise OptionError(f"name={value!r}: expected 1 to {_MAX_TASK_NAME} printable characters")


def check_text(option: str, value: object) -> None:
    """Refuse what is not a string."""
    if not isinstance(value, str):
        raise OptionError(f"{option}={value!r}: expected a string")


def check_count(option: str, value: object, *, least: int) -> None:
    """Refuse what is not an integer, or too small a one."""
    if not (isinstance(value, int) and not isinstance(value, bool) and value >= least):
        raise OptionError(f"{option}={value!r}: expected an integer of at least {least}")


def check_flag(option: str, value: object) -> None:
    """Refuse what is not a boolean."""
    if not isinstance(value, bool):
        raise OptionError(f"{option}={value!r}: expected True or False")


def check_tags(tags: object) -> None:
    """Refuse tags that are not a mapping of strings to strings."""
    if not isinstance(tags, Mapping):
        raise OptionError(f"tags={tags!r}: expected a mapping of strings to strings")
    for key, value in tags.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise OptionError(f"tags[{key!r}]={value!r}: expected a string for both key and value")


def is_seconds(value: object) -> bool:
    """Tell whether a value is a finite number of at least 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value >= 0


def hooks_of(option: str, given: Hook | Sequence[Hook] | None) -> tuple[Hook, ...]:
    """Return an option's hooks: one is as good as a list of one. Refuses what cannot be called with two arguments."""
    hooks: Sequence[Hook] = () if given is None else [given] if callable(given) else given
    if isinstance(hooks, str) or not isinstance(hooks, Sequence):
        raise OptionError(f"{option}={given!r}: expected a function of (context, state), or a list of such functions")
    for hook in hooks:
        if not callable(hook) or not takes(hook, 2):
            raise OptionError(f"{option}: {_named(hook)}: expected a function of (context, state)")
    return tuple(hooks)


def takes(function: Callable[..., Any], arguments: int) -> bool:
    """Tell whether a function can be called with that many arguments by position, as far as it tells."""
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:  # some functions written in C do not tell
        return True
    return True


def _named(hook: object) -> str:
    name = getattr(hook, "__qualname__", None)
    return f"{name}()" if name and callable(hook) else repr(hook)
