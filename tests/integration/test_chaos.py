"""A small campaign of ``scripts/chaos``: everything is killed, events and answers are lost, and every run ends once."""

from __future__ import annotations

import pytest

from scripts.chaos_support.campaign import run_campaign, table
from scripts.chaos_support.options import parse
from scripts.chaos_support.verdict import Finding


def test_every_run_ends_once_and_right_whatever_is_killed() -> None:
    options = parse(["--runs=500", "--seed=7", "--kill-every=1.5", "--redis-every=8", "--stall=90"])
    report = run_campaign(options)
    assert report.is_right, table(report.findings)
    deeds = {deed: count for deed, count in report.deeds.items() if count}
    assert {"dispatcher killed", "bridge killed", "Redis killed", "bursts of refusals", "events lost"} <= deeds.keys()


@pytest.mark.parametrize("option", ["--kill-every=0", "--redis-every=-1", "--stall=nan", "--runs=0", "--runs=many"])
def test_an_option_that_would_fail_later_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([option])
    name, _, value = option.partition("=")
    assert f"argument {name}: {value!r} is not allowed" in capsys.readouterr().err


def test_a_finding_that_is_not_right_is_shown_with_examples() -> None:
    [_, line] = table([Finding("attempts with two ECS tasks", 0, 1, ["dagy/run-7/1"])]).splitlines()
    assert line.startswith("NO")
    assert line.endswith("for example dagy/run-7/1")
