"""The fields of a request that say what happens after a bad end: how often each kind of end is tried again, and how.

``requests/models.py`` builds its models on them, ``dispatch/retries.py`` plans by them. Every kind has a budget of its
own, so that an interruption by AWS never uses up what is meant for failures of the code.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from dagy_queue.requests.durations import Seconds
from dagy_queue.requests.refusals import allowed
from dagy_queue.requests.whole_numbers import Whole

MOST_RETRIES = 100
_EXIT_CODES = range(1, 255 + 1)
_CODE_RULE = "exit codes from 1 to 255 (0 is success)"
_WHOLE_NUMBER = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)


def _as_codes(value: Any) -> Any:
    """Take one code for a list of it, as Airflow does."""
    if isinstance(value, str) and not _WHOLE_NUMBER.fullmatch(value):
        raise allowed(f"{_CODE_RULE}: one, or a list of them")
    return (value,) if isinstance(value, int | str) and not isinstance(value, bool) else value


ExitCodes = Annotated[tuple[Whole, ...], BeforeValidator(_as_codes)]


class RetryFields(BaseModel):
    """What happens after a bad end."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_retries: Whole = Field(
        0, ge=0, le=MOST_RETRIES, description="attempts after a failure of the code itself, or an end nobody saw"
    )
    retry_delay: Seconds = Field(
        10.0, ge=0, le=86_400, description="longest wait before the first retry in seconds; doubles each time"
    )
    oom_retries: Whole = Field(0, ge=0, le=MOST_RETRIES, description="attempts after the container ran out of memory")
    grow_on_oom: bool = Field(False, description="give those attempts the next larger memory that Fargate has")
    spot_retries: Whole = Field(
        5, ge=0, le=MOST_RETRIES, description="attempts after AWS took the task's host away, each at once"
    )
    spot_fallback_after: Whole = Field(
        3, ge=1, le=1000, description="interruptions after which a run on FARGATE_SPOT goes to FARGATE"
    )
    start_retries: Whole = Field(
        5, ge=0, le=MOST_RETRIES, description="attempts after a task did not start for a reason that passes"
    )
    retry_on_exit_codes: ExitCodes = Field(
        (), description="the only exit codes that max_retries is for; empty: all of them"
    )
    skip_on_exit_code: ExitCodes = Field(
        (), description="exit codes with which a run ends as skipped: successfully, with a result that says so"
    )

    @field_validator("retry_on_exit_codes", "skip_on_exit_code")
    @classmethod
    def _check_codes(cls, value: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if wrong := [code for code in value if code not in _EXIT_CODES]:
            raise allowed(f"{_CODE_RULE}, not {', '.join(map(str, wrong))}")
        if both := sorted(set(value) & set(info.data.get("retry_on_exit_codes") or ())):
            raise allowed(f"codes that retry_on_exit_codes does not name, and {', '.join(map(str, both))} is there too")
        return tuple(dict.fromkeys(value))
