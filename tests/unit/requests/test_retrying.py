from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.errors import RequestInvalid
from dagy_queue.requests import read_request
from dagy_queue.requests.parsing import parse_request

FLOW = {"flow_name": "etl", "org_id": "acme"}
COUNTS = ("max_retries", "oom_retries", "spot_retries", "start_retries")


def test_what_is_not_said_of_retries() -> None:
    asked = parse_request(FLOW)
    assert [getattr(asked, name) for name in COUNTS] == [0, 0, 5, 5]
    assert (asked.grow_on_oom, asked.spot_fallback_after) == (False, 3)
    assert (asked.retry_on_exit_codes, asked.skip_on_exit_code) == ((), ())


@pytest.mark.parametrize(
    ("given", "codes"), [(99, (99,)), ([1, 2, 2], (1, 2)), ("75", (75,)), ([], ()), ({255}, (255,))]
)
@pytest.mark.parametrize("field", ["retry_on_exit_codes", "skip_on_exit_code"])
def test_exit_codes_are_one_or_several(field: str, given: Any, codes: tuple[int, ...]) -> None:
    asked = parse_request(FLOW | {field: given})
    assert getattr(asked, field) == codes
    assert getattr(read_request(asked.model_dump(mode="json")), field) == codes


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        *((name, -1, f"{name} = -1: ") for name in COUNTS),
        *((name, 101, f"{name} = 101: ") for name in COUNTS),
        ("spot_fallback_after", 0, "spot_fallback_after = 0: "),
        ("grow_on_oom", "much", "grow_on_oom = 'much': true or false"),
        ("skip_on_exit_code", 0, r"exit codes from 1 to 255 \(0 is success\), not 0"),
        ("retry_on_exit_codes", [1, 256, -1], r"exit codes from 1 to 255 \(0 is success\), not 256, -1"),
        *((name, 101, f"{name} = 101: 0 to 100") for name in COUNTS),
        ("retry_delay", -1, "retry_delay = -1: 0 to 86400"),
        ("spot_fallback_after", 1001, "spot_fallback_after = 1001: 1 to 1000"),
        ("max_retries", "x", "max_retries = 'x': a whole number, 0 to 100"),
        ("retry_on_exit_codes", "a", r"retry_on_exit_codes = 'a': exit codes from 1 to 255 \(0 is success\): one"),
        ("retry_on_exit_codes", ["one"], "retry_on_exit_codes.0 = 'one': a whole number"),
        ("retry_on_exit_codes", True, "retry_on_exit_codes = True: a list"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field_its_value_and_what_is_allowed(
    field: str, value: Any, message: str
) -> None:
    with pytest.raises(RequestInvalid, match=message):
        parse_request(FLOW | {field: value})


def test_a_code_is_tried_again_or_skipped_but_not_both() -> None:
    with pytest.raises(RequestInvalid, match="codes that retry_on_exit_codes does not name, and 3 is there too"):
        parse_request(FLOW | {"retry_on_exit_codes": [1, 3], "skip_on_exit_code": 3})
