from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.outcomes import Kind, Outcome
from tests.unit.strategies import unhurried

outcomes = st.builds(
    Outcome,
    kind=st.sampled_from(Kind),
    summary=st.text(),
    detail=st.text(),
    resolution=st.text(),
    exit_code=st.none() | st.integers(0, 255),
    stop_code=st.text(),
    task_arn=st.text(),
    transient=st.booleans(),
)


@unhurried
@given(outcomes.filter(lambda outcome: outcome.summary))
def test_an_outcome_comes_back_unchanged_from_its_json(outcome: Outcome) -> None:
    assert Outcome.from_dict(json.loads(json.dumps(outcome.to_dict()))) == outcome


def test_the_plain_form_leaves_out_what_is_empty_and_keeps_zero() -> None:
    plain = Outcome(kind=Kind.SUCCEEDED, summary="fine", exit_code=0).to_dict()
    assert plain == {"kind": "succeeded", "summary": "fine", "exit_code": 0, "transient": False}


def test_an_outcome_without_a_summary_can_be_read_back() -> None:
    outcome = Outcome(kind=Kind.FAILED, summary="")
    assert Outcome.from_dict(outcome.to_dict()) == outcome


def test_unknown_keys_are_left_out() -> None:
    assert Outcome.from_dict({"kind": "lost", "summary": "s", "colour": "red"}) == Outcome(kind=Kind.LOST, summary="s")


@pytest.mark.parametrize("kind", Kind)
def test_only_one_kind_is_success(kind: Kind) -> None:
    assert Outcome(kind=kind, summary="").succeeded == (kind is Kind.SUCCEEDED)


def test_new_words_change_nothing_else() -> None:
    outcome = Outcome(kind=Kind.FAILED, summary="a", detail="b", exit_code=1, task_arn="arn")
    assert outcome.with_detail("c", "d") == Outcome(
        kind=Kind.FAILED, summary="c", detail="d", exit_code=1, task_arn="arn"
    )
