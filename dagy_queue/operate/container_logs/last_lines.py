"""The last log lines of a failed run that was explained without them: its dispatcher reads only some logs."""

from __future__ import annotations

from dagy_queue.aws.clients import AwsClients
from dagy_queue.aws.log_reader import LogReader
from dagy_queue.errors import AwsError
from dagy_queue.launching.log_text import last_lines
from dagy_queue.launching.logs import region_of
from dagy_queue.producer.explanation import Explanation
from dagy_queue.settings import Settings


def with_log_lines(found: Explanation, config: Settings) -> Explanation:
    """Return an explanation with the end of the log, if the run failed and its log can be read."""
    most = config.dispatch.failure_log_lines
    if found["status"] != "FAILED" or found["log_lines"] or not (found["log"] and most):
        return found
    group, _, stream = found["log"].partition(" ")
    try:
        logs = AwsClients(config.aws, max_connections=1).in_region(region_of(found["task_arn"])).logs
        events = LogReader(logs).tail(group, stream, most).events
    except AwsError:
        return found
    return {**found, "log_lines": last_lines([event.message for event in events], found["run_id"])}
