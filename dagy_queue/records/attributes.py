"""PynamoDB attributes, and the checks of what users put in them; the models are made of these."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pynamodb.attributes import JSONAttribute

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.requests.json_values import json_problems
from dagy_queue.requests.names import NAME_RULE, is_name

LATEST = "latest"
"""The version that means: the one registered last."""

MAX_SPEC_BYTES = 380_000
"""Of a flow spec as text: an item of DynamoDB holds 400 KB (DynamoDB, "Quotas"), and there is more in it than that."""

_OBJECT_URI = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^/].*", re.DOTALL)


class ObjectAttribute(JSONAttribute):
    """A JSON object, kept as text in one order of keys, so that equal objects are equal in DynamoDB's conditions."""

    def serialize(self, value: Any) -> str | None:
        """Return the text of a mapping."""
        return None if value is None else _text(value)


def read_object(value: Any, what: str) -> dict[str, Any]:
    """Return a JSON object given as a mapping or as its text. Raises RequestInvalid."""
    try:
        found = json.loads(value) if isinstance(value, str | bytes) else value
    except ValueError as exc:
        raise RequestInvalid([Problem(what, value, f"JSON: {exc}")], what) from exc
    if not isinstance(found, Mapping):
        raise RequestInvalid([Problem(what, value, "a JSON object, as text or as a mapping")], what)
    if problems := list(json_problems(dict(found), what)):
        raise RequestInvalid(problems, what)
    return dict(found)


def spec_problems(spec: Mapping[str, Any]) -> Iterable[Problem]:
    """Yield what is wrong with the size of a flow spec."""
    if (size := len(_text(spec))) > MAX_SPEC_BYTES:
        allowed = (
            f"at most {MAX_SPEC_BYTES:,} bytes, as an item of DynamoDB holds; a @flow with a parameter that has no "
            "default makes its tasks anew for each run, and they are not in its spec"
        )
        yield Problem("spec", f"{len(spec.get('tasks') or ())} tasks in {size:,} bytes", allowed)


def check(what: str, *problems: Iterable[Problem]) -> None:
    """Raise RequestInvalid if there are problems with the ``what`` that is to be registered."""
    if found := [problem for some in problems for problem in some]:
        raise RequestInvalid(found, what)


def name_problems(**named: Any) -> Iterable[Problem]:
    """Yield what is wrong with names."""
    for what, name in named.items():
        if not (isinstance(name, str) and is_name(name)):
            yield Problem(what, name, NAME_RULE)


def version_problems(**named: Any) -> Iterable[Problem]:
    """Yield what is wrong with the name of a version."""
    for what, version in named.items():
        if version == LATEST:
            yield Problem(what, version, f"any name but {LATEST!r}, which means the newest")
        else:
            yield from name_problems(**{what: version})


def uri_problems(**uris: Any) -> Iterable[Problem]:
    """Yield what is wrong with the URIs of objects in S3."""
    for what, uri in uris.items():
        if not (isinstance(uri, str) and _OBJECT_URI.fullmatch(uri)):
            yield Problem(what, uri, "s3://bucket/key of an object")


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
