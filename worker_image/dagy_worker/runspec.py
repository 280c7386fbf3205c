"""Finding and checking the run spec. What it leaves open, the environment may say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from dagy.contract import ContractError, Env, RunSpec
from dagy_worker.errors import BadSpec, StorageError
from dagy_worker.storage import Storage, split_uri

_JSON_TYPES: dict[object, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "int | None": (int, type(None)),
    "dict[str, Any]": (dict,),
    "list[str]": (list,),
    "list[dict[str, Any]]": (list,),
}


def read_run_spec(environ: Mapping[str, str], storage: Storage) -> RunSpec:
    """Return the run spec from DAGY_RUN_SPEC, or from the object that DAGY_RUN_SPEC_URI names.

    Raises BadSpec if there is none or it breaks the contract, StorageError if the object cannot be read.
    """
    try:
        spec = RunSpec.from_json(_text(environ, storage))
    except ContractError as exc:
        raise BadSpec(str(exc)) from exc
    spec = replace(
        spec,
        result_uri=spec.result_uri or environ.get(Env.RESULT_URI, ""),
        dep_package_uris=spec.dep_package_uris or _uris(environ.get(Env.DEP_PACKAGE_URIS, "")),
    )
    _check(spec)
    return spec


def read_members(spec: RunSpec) -> list[RunSpec]:
    """Return the specs of all runs of the container. Raises BadSpec for one that breaks the contract."""
    try:
        members = spec.members()
    except TypeError as exc:
        raise BadSpec(f"run spec: crew: {exc}") from exc
    for member in members[1:]:
        _check(member)
    return members


def _text(environ: Mapping[str, str], storage: Storage) -> str:
    if inline := environ.get(Env.RUN_SPEC):
        return inline
    if uri := environ.get(Env.RUN_SPEC_URI):
        return storage.read(uri).decode(errors="replace")
    raise BadSpec(f"no run spec: neither {Env.RUN_SPEC} nor {Env.RUN_SPEC_URI} is set")


def _uris(text: str) -> list[str]:
    """Read a list that is JSON or separated by commas."""
    if not text.startswith("["):
        return [uri for part in text.split(",") if (uri := part.strip())]
    try:
        uris: list[str] = json.loads(text)
    except json.JSONDecodeError as exc:
        raise BadSpec(f"{Env.DEP_PACKAGE_URIS}: not a JSON list ({exc})") from exc
    return uris


def _check(spec: RunSpec) -> None:
    for field in fields(spec):
        value = getattr(spec, field.name)
        if not isinstance(value, _JSON_TYPES[field.type]) or (isinstance(value, bool) and field.type != "bool"):
            raise _refusal(field.name, value, f"expected {field.type}")
    if not spec.run_id:
        raise _refusal("run_id", spec.run_id, "expected a string that is not empty")
    if spec.attempt < 1:
        raise _refusal("attempt", spec.attempt, "expected an integer of at least 1")
    for name in ("artifact_uri", "result_uri", "traces_uri"):
        _check_uri(name, getattr(spec, name), optional=name != "artifact_uri")
    for index, uri in enumerate(spec.dep_package_uris):
        _check_uri(f"dep_package_uris[{index}]", uri)
    _check_lists(spec)
    for name in ("heartbeat_seconds", "stop_timeout"):
        if not getattr(spec, name) > 0:
            raise _refusal(name, getattr(spec, name), "expected a number above 0")


def _check_lists(spec: RunSpec) -> None:
    for name in ("dep_package_sha256s", "secret_names"):
        for index, each in enumerate(getattr(spec, name)):
            if not isinstance(each, str):
                raise _refusal(f"{name}[{index}]", each, "expected a string")
    if spec.dep_package_sha256s and len(spec.dep_package_sha256s) != len(spec.dep_package_uris):
        expected = f"expected one for each of the {len(spec.dep_package_uris)} dep_package_uris, or none"
        raise _refusal("dep_package_sha256s", spec.dep_package_sha256s, expected)


def _check_uri(name: str, value: Any, *, optional: bool = False) -> None:
    if optional and value == "":
        return
    try:
        split_uri(value if isinstance(value, str) else repr(value))
    except StorageError as exc:
        raise _refusal(name, value, "expected s3://bucket/key") from exc


def _refusal(field: str, value: Any, allowed: str) -> BadSpec:
    return BadSpec(f"run spec: {field}={value!r}: {allowed}")
