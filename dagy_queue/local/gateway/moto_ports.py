"""CloudWatch Logs and secrets for the local ECS, over moto's backends in this process (LogSink, SecretSource)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dagy_queue.local.ports import AwsError, LogLine

MOST_LINES = 200_000
"""Lines of one stream that are kept: moto has them in memory, at about 600 bytes each besides their text."""


class MotoLogs:
    """The LogSink: what containers print, in moto's log groups, where GetLogEvents finds it."""

    def __init__(self, region: str, account: str, most_lines: int = MOST_LINES) -> None:
        self._region = region
        self._account = account
        self._most_lines = most_lines

    async def write_lines(self, group: str, stream: str, lines: Sequence[LogLine]) -> None:
        """Append lines; group and stream are created where they do not exist.

        Of a stream that is full no more is kept; its last line says so.
        """
        if not lines:
            return
        from moto.logs.models import logs_backends

        backend = logs_backends[self._account][self._region]
        if group not in backend.groups:
            backend.create_log_group(group, {})
        if stream not in backend.groups[group].streams:
            backend.create_log_stream(group, stream)
        room = self._most_lines - len(backend.groups[group].streams[stream].events)
        if room <= 0:
            return
        # CloudWatch wants chronological order within a call.
        kept = sorted(lines, key=lambda line: line.timestamp)[:room]
        if len(kept) == room:
            kept[-1] = LogLine(kept[-1].timestamp, f"the local stack keeps {self._most_lines:,} lines of a container")
        events = [{"timestamp": line.timestamp, "message": line.message} for line in kept]
        backend.put_log_events(group, stream, events)


class MotoSecrets:
    """The SecretSource: Secrets Manager secrets and SSM parameters of moto."""

    def __init__(self, region: str, account: str) -> None:
        self._region = region
        self._account = account

    async def resolve(self, value_from: str) -> str:
        """Return a secret's value; ``valueFrom`` may name a JSON key, a version stage and a version id.

        Raises AwsError (ResourceNotFoundException and the like) if there is no such value.
        """
        if ":secretsmanager:" in value_from:
            return self._secret(value_from)
        return self._parameter(value_from)

    def _secret(self, value_from: str) -> str:
        from moto.secretsmanager.models import secretsmanager_backends

        # arn:aws:secretsmanager:region:account:secret:name-XXXXXX[:json-key:version-stage:version-id]
        parts = value_from.split(":")
        arn = ":".join(parts[:7])
        json_key, stage, version = [*parts[7:], "", "", ""][:3]
        backend = secretsmanager_backends[self._account][self._region]
        # moto tells "not given" from "empty" by None, whatever its annotations say.
        wanted: dict[str, Any] = {
            "secret_id": arn,
            "version_id": version or None,
            "version_stage": stage or (None if version else "AWSCURRENT"),
        }
        try:
            found = backend.get_secret_value(**wanted)
        except Exception as exc:
            raise _as_aws_error(exc) from exc
        text = str(found.get("SecretString", ""))
        return _json_value(text, json_key, value_from) if json_key else text

    def _parameter(self, value_from: str) -> str:
        from moto.ssm.models import ssm_backends

        name = value_from.split(":parameter", 1)[-1] if value_from.startswith("arn:") else value_from
        backend = ssm_backends[self._account][self._region]
        found = backend.get_parameter(name) or backend.get_parameter(name.lstrip("/"))
        if found is None:
            raise AwsError("ParameterNotFound", f"no SSM parameter {name}")
        return str(found.response_object(decrypt=True, region=self._region)["Value"])


def _json_value(text: str, key: str, value_from: str) -> str:
    try:
        document = json.loads(text)
    except ValueError as exc:
        raise AwsError("InvalidRequestException", f"the secret of {value_from} is not JSON") from exc
    if not isinstance(document, dict) or key not in document:
        raise AwsError("ResourceNotFoundException", f"retrieved secret did not contain json key {key}")
    value = document[key]
    return value if isinstance(value, str) else json.dumps(value)


def _as_aws_error(error: Any) -> AwsError:
    code = getattr(error, "error_type", None) or getattr(error, "code", None) or type(error).__name__
    return AwsError(str(code), str(getattr(error, "message", None) or error))
