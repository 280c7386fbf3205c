from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dagy_queue.ids import AttemptId, is_run_id, new_id, shard_correlation, shard_id
from tests.unit.strategies import attempt_ids, run_ids, unhurried

batch_ids = st.uuids().map(str)


@unhurried
@given(attempt_ids)
def test_started_by_is_read_back_as_the_same_attempt(attempt_id: AttemptId) -> None:
    assert AttemptId.from_started_by(attempt_id.started_by) == attempt_id


@unhurried
@given(st.from_regex(r"dagy/[A-Za-z0-9_-]{1,60}/[0-9]{1,7}", fullmatch=True) | st.from_regex(r"dagy/\w{1,9}/\d{1,7}"))
@example("dagy/run/007")
@example("dagy/run/0")
@example("dagy/run/٣")
def test_only_what_we_would_write_ourselves_is_read_as_ours(started_by: str) -> None:
    read = AttemptId.from_started_by(started_by)
    assert read is None or (read.started_by == started_by and read.attempt >= 1)


@pytest.mark.parametrize(
    "started_by", ["", "dagy/", "dagy/run", "dagy/run/", "dagy//1", "dagy/run/1/2", "dagy/run/1\n", "ecs-svc/123"]
)
def test_what_others_write_is_not_ours(started_by: str) -> None:
    assert AttemptId.from_started_by(started_by) is None


@unhurried
@given(attempt_ids)
def test_a_client_token_fits_ecs(attempt_id: AttemptId) -> None:
    assert re.fullmatch(r"[\x21-\x7e]{1,64}", attempt_id.client_token)


@unhurried
@given(attempt_ids)
def test_started_by_fits_ecs(attempt_id: AttemptId) -> None:
    assert re.fullmatch(r"[A-Za-z0-9/_-]{1,128}", attempt_id.started_by)


@unhurried
@given(attempt_ids, attempt_ids)
def test_different_attempts_have_different_tokens(one: AttemptId, other: AttemptId) -> None:
    assert (one.started_by == other.started_by) == (one == other)


@unhurried
@given(run_ids, st.integers(1, 99), st.integers(1, 99))
def test_attempts_of_one_run_have_different_tokens(run_id: str, one: int, other: int) -> None:
    tokens = AttemptId(run_id, one).client_token, AttemptId(run_id, other).client_token
    assert (tokens[0] == tokens[1]) == (one == other)


@unhurried
@given(run_ids)
def test_short_plain_ids_can_be_run_ids(run_id: str) -> None:
    assert is_run_id(run_id)


@pytest.mark.parametrize("text", ["", "a" * 57, "a b", "a.b", "a:b", "a/b", "ä", "a\n"])
def test_what_ecs_could_not_carry_is_no_run_id(text: str) -> None:
    assert not is_run_id(text)


def test_a_new_id_can_be_a_run_id_and_a_batch_id() -> None:
    made = new_id()
    assert is_run_id(made)
    assert str(uuid.UUID(made)) == made


def test_new_ids_differ() -> None:
    assert len({new_id() for _ in range(100)}) == 100


@unhurried
@given(batch_ids, st.integers(0, 1_000_000))
def test_a_shard_has_the_same_id_in_every_expansion(batch_id: str, index: int) -> None:
    assert shard_id(batch_id, index) == shard_id(batch_id.upper(), index)
    assert is_run_id(shard_id(batch_id, index))


def test_shards_of_a_batch_have_ids_of_their_own() -> None:
    batch_id = new_id()
    assert len({shard_id(batch_id, index) for index in range(1000)} | {batch_id}) == 1001


def test_a_shards_correlation_is_its_parents_and_its_index() -> None:
    assert shard_correlation("trace", 7) == "trace:7"
