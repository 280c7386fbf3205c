"""Flower with thousands of runs in it, held against one with as many plain Celery tasks, measured side by side."""

from __future__ import annotations

import pytest

from scripts.benchmarks.flower import measure

pytestmark = pytest.mark.alone


def test_the_list_of_2000_runs_answers_within_a_small_multiple_of_plain_tasks() -> None:
    plain, runs = measure()
    assert runs.page < 3 * plain.page
    assert runs.search < 3 * plain.search
