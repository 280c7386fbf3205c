"""Rules for the environment of containers: which names a caller may set, and secrets by ARN only; pure.

The request models use them. A secret's value never passes through here: ECS reads it when the container starts
(ECS developer guide, "Specifying sensitive data").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dagy.contract import Env
from dagy_queue.requests.refusals import allowed

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = frozenset({Env.TASK_NAME, Env.TASK_NUM})
_REGION_AND_ACCOUNT = r"[a-z0-9-]+:[0-9]+"
_SECRET = re.compile(
    rf"arn:aws[a-z-]*:secretsmanager:{_REGION_AND_ACCOUNT}:secret:[A-Za-z0-9/_+=.@!-]{{1,512}}"
    r"(:[^:\s]*:[^:\s]*:[^:\s]*)?"
)
_PARAMETER = re.compile(rf"arn:aws[a-z-]*:ssm:{_REGION_AND_ACCOUNT}:parameter/[A-Za-z0-9_.\-/]{{1,1011}}")
_ARN_RULE = (
    "the ARN of a Secrets Manager secret, with :json-key:version-stage:version-id after it where wanted (all three "
    "colons), or of an SSM parameter; never the secret itself"
)


def is_reserved(name: str) -> bool:
    """Tell whether a variable is ours to set."""
    return name.startswith("DAGY_") or name in _RESERVED


def environment_problem(name: str) -> str:
    """Return what is wrong with the name of a variable that a caller sets; '' if nothing is."""
    if is_reserved(name):
        return f"{name} is reserved: names that start with DAGY_, and TASK_NAME and TASK_NUM, are ours"
    if not _NAME.fullmatch(name):
        return f"{name!r}: letters, digits and underscores, not starting with a digit"
    return ""


def check_environment(value: Mapping[str, str]) -> None:
    """Raise unless the variables may be set."""
    if wrong := [problem for name in value if (problem := environment_problem(name))]:
        raise allowed("; ".join(wrong))
    # What execve cannot take would only fail in the container.
    if broken := [name for name, text in value.items() if not is_plain_text(text)]:
        raise allowed(f"{', '.join(broken)}: text without NUL characters and halves of surrogate pairs")


def check_secrets(value: Mapping[str, str]) -> None:
    """Raise unless every value is the ARN of a secret. The message names variables, never their values."""
    if wrong := [problem for name in value if (problem := environment_problem(name))]:
        raise allowed("; ".join(wrong))
    if plain := [name for name, arn in value.items() if not is_secret_arn(arn)]:
        raise allowed(f"{', '.join(plain)}: {_ARN_RULE}")


def is_secret_arn(text: str) -> bool:
    """Tell whether a text is what a task definition's ``secrets[].valueFrom`` takes."""
    return bool(_SECRET.fullmatch(text) or _PARAMETER.fullmatch(text))


def is_plain_text(text: str) -> bool:
    """Tell whether a process can be given the text."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_variables(value: Any) -> Any:
    """Return variables as a mapping: ECS's form is a list of ``{"name": ..., "value": ...}``."""
    if not isinstance(value, list | tuple):
        return value
    if not all(isinstance(v, Mapping) and v.keys() == {"name", "value"} and isinstance(v["name"], str) for v in value):
        return value
    return {v["name"]: v["value"] for v in value}


def as_list(variables: Mapping[str, str]) -> list[dict[str, str]]:
    """Return variables in ECS's form."""
    return [{"name": name, "value": value} for name, value in variables.items()]
