"""Making the tables of the registry and the record, and their indexes; any number of times.

``dagy-queue tables create`` and the local stack call it. In production the CDK stack may make the same tables:
:func:`definitions` says what they are.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from dagy_queue.aws.refusals import NO_TABLE
from dagy_queue.errors import AwsUnavailable, SettingsInvalid
from dagy_queue.records.base import BILLING, Record, dynamodb
from dagy_queue.records.models import MODELS, bind_models
from dagy_queue.settings import Settings

_CREATE, _UPDATE, _DESCRIBE = "dynamodb:CreateTable", "dynamodb:UpdateTable", "dynamodb:DescribeTable"
_FIRST_LOOK, _LONGEST_PAUSE = 0.1, 5.0
_TABLE_SECONDS = 300.0
"""How long a new table may take; an index of a large table may take hours."""


class Done(StrEnum):
    """What became of a table or an index."""

    EXISTS = "exists"
    MISSING = "missing"
    """It is not there, and was not to be made."""
    CREATED = "created"


@dataclass(frozen=True, slots=True)
class TableStep:
    """One table, or one index of it."""

    table: str
    index: str
    """'' is the table itself, with the indexes that it is created with."""
    done: Done


def create_tables(settings: Settings) -> list[str]:
    """Create the tables and indexes that do not exist yet; return the names of all tables. Raises as ensure_tables."""
    return list(dict.fromkeys(step.table for step in ensure_tables(settings)))


def ensure_tables(settings: Settings, *, dry_run: bool = False) -> Iterator[TableStep]:
    """Create what is missing (with ``dry_run``, only look), and yield each table and index once it can be used.

    Raises SettingsInvalid for a table that exists with other keys, or an AwsError. What was begun goes on in AWS if
    this is interrupted, and the next call waits for it.
    """
    bind_models(settings)
    for model in MODELS:
        yield from _ensured(model, definition(model), dry_run)


def definitions(settings: Settings) -> list[dict[str, Any]]:
    """Return CreateTable's parameters of every table."""
    bind_models(settings)
    return [definition(model) for model in MODELS]


def definition(model: type[Record]) -> dict[str, Any]:
    """Return CreateTable's parameters of a model's table."""
    schema: Mapping[str, Any] = model._get_schema()
    found: dict[str, Any] = {
        "TableName": model.Meta.table_name,
        "BillingMode": BILLING,
        "AttributeDefinitions": list(schema["attribute_definitions"]),
        "KeySchema": _keys(schema["key_schema"]),
    }
    indexes = [
        {
            "IndexName": index["index_name"],
            "KeySchema": _keys(index["key_schema"]),
            "Projection": dict(index["projection"]),
        }
        for index in schema["global_secondary_indexes"]
    ]
    return found | ({"GlobalSecondaryIndexes": indexes} if indexes else {})


def _ensured(model: type[Record], wanted: Mapping[str, Any], dry_run: bool) -> Iterator[TableStep]:
    name = str(wanted["TableName"])
    client: Any = model.table().connection.client
    found = _described(client, name)
    if found is None:
        if not dry_run:
            _create(client, wanted)
            _wait(client, name)
        yield TableStep(name, "", Done.MISSING if dry_run else Done.CREATED)
        return
    _check_keys(model, wanted, found)
    yield TableStep(name, "", Done.EXISTS)
    for index in wanted.get("GlobalSecondaryIndexes", ()):
        is_there = index["IndexName"] in _names_of_indexes(found)
        if not dry_run:
            # DynamoDB makes one index of a table at a time.
            found = _wait(client, name, seconds=None)
            if not is_there:
                _add_index(client, wanted, index, found)
                _wait(client, name, seconds=None)
        done = Done.EXISTS if is_there else Done.MISSING if dry_run else Done.CREATED
        yield TableStep(name, str(index["IndexName"]), done)


def _create(client: Any, wanted: Mapping[str, Any]) -> None:
    with dynamodb(_CREATE):
        try:
            client.create_table(**wanted)
        except ClientError as exc:
            if exc.response["Error"]["Code"] != "ResourceInUseException":  # somebody else has just created it
                raise


def _add_index(client: Any, wanted: Mapping[str, Any], index: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    keys = {key["AttributeName"] for key in index["KeySchema"]}
    made = dict(index)
    if (found.get("BillingModeSummary") or {}).get("BillingMode") != BILLING:
        units = found["ProvisionedThroughput"]
        made["ProvisionedThroughput"] = {name: units[name] for name in ("ReadCapacityUnits", "WriteCapacityUnits")}
    with dynamodb(_UPDATE):
        client.update_table(
            TableName=wanted["TableName"],
            AttributeDefinitions=[a for a in wanted["AttributeDefinitions"] if a["AttributeName"] in keys],
            GlobalSecondaryIndexUpdates=[{"Create": made}],
        )


def _described(client: Any, name: str) -> Mapping[str, Any] | None:
    with dynamodb(_DESCRIBE):
        try:
            found: Mapping[str, Any] = client.describe_table(TableName=name)["Table"]
        except ClientError as exc:
            if exc.response["Error"]["Code"] != NO_TABLE:
                raise
            return None
        return found


def _wait(client: Any, name: str, seconds: float | None = _TABLE_SECONDS) -> Mapping[str, Any]:
    """Wait until a table and all of its indexes can be used; return what it is then."""
    begun, pause = time.monotonic(), _FIRST_LOOK
    while True:
        found = _described(client, name)
        if found is not None and all(status == "ACTIVE" for status in _statuses(found)):
            return found
        if seconds is not None and time.monotonic() - begun > seconds:
            raise AwsUnavailable(f"table {name} cannot be used after {seconds:g} seconds; look at it in the console")
        time.sleep(pause)
        pause = min(_LONGEST_PAUSE, pause * 2)


def _statuses(found: Mapping[str, Any]) -> Iterable[str]:
    yield found["TableStatus"]
    for index in found.get("GlobalSecondaryIndexes") or ():
        yield index["IndexStatus"]


def _names_of_indexes(found: Mapping[str, Any]) -> set[str]:
    return {index["IndexName"] for index in found.get("GlobalSecondaryIndexes") or ()}


def _check_keys(model: type[Record], wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    pairs = [("", wanted["KeySchema"], found["KeySchema"])]
    theirs = {index["IndexName"]: index["KeySchema"] for index in found.get("GlobalSecondaryIndexes") or ()}
    for index in wanted.get("GlobalSecondaryIndexes", ()):
        pairs.append((index["IndexName"], index["KeySchema"], theirs.get(index["IndexName"], index["KeySchema"])))
    for index_name, ours, its in pairs:
        if _keys(its) != ours:
            what = f"index {index_name} of table" if index_name else "table"
            raise SettingsInvalid(
                f"{what} {wanted['TableName']} exists with the keys {_words(its)}, not {_words(ours)}: name another "
                f"table with DAGY_QUEUE__RECORDS__{model.table_setting.upper()}, or delete this one if nothing needs it"
            )


def _keys(schema: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return a key schema in DynamoDB's order, the partition key first."""
    pairs = [{"AttributeName": key["AttributeName"], "KeyType": str(key["KeyType"])} for key in schema]
    return sorted(pairs, key=lambda key: key["KeyType"])


def _words(schema: Sequence[Mapping[str, str]]) -> str:
    return " and ".join(key["AttributeName"] for key in _keys(schema))
