"""What a fan-out may ask for its batch as a whole: how many shards at once, what failures mean, how long; pure.

``fan_out`` builds a :class:`BatchPolicy` from its caller's words, the expansion and the batch's end read it back.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dagy_queue.requests.durations import Seconds
from dagy_queue.requests.refusals import allowed
from dagy_queue.requests.whole_numbers import Whole

MAX_SHARDS_PER_RUN = 1000

_PERCENTAGE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


class BatchPolicy(BaseModel):
    """The policy of a batch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_parallel: Whole | None = Field(None, ge=1, description="containers that wait for their launch or run at once")
    tolerate: int | str = Field(0, description="failed shards that the batch survives: a number, or '5%' of them")
    fail_fast: bool = Field(False, description="cancel the other shards once too many have failed")
    shards_per_run: Whole = Field(
        1, ge=1, le=MAX_SHARDS_PER_RUN, description="shards of a flow that one container works through, in turn"
    )
    timeout: Seconds | None = Field(
        None, gt=0, le=14 * 86_400, description="seconds from the fan-out to the end of the batch; then it is cancelled"
    )

    @field_validator("tolerate", mode="before")
    @classmethod
    def _check_tolerate(cls, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise allowed("a number of shards, or a percentage such as '5%'")
        if isinstance(value, int):
            if value < 0:
                raise allowed("a number of shards, 0 or more")
            return value
        match = _PERCENTAGE.fullmatch(value.strip())
        if match is None or float(match[1]) > 100:
            raise allowed("a number of shards, or a percentage from '0%' to '100%'")
        return value.strip()

    def tolerated(self, total: int) -> int:
        """Return how many of ``total`` shards may fail. A percentage is rounded down."""
        if isinstance(self.tolerate, int):
            return self.tolerate
        return math.floor(total * Fraction(self.tolerate.rstrip("% ")) / 100)
