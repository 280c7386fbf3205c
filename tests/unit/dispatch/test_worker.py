from __future__ import annotations

from typing import Any

import pytest

from dagy_queue.dispatch.worker import exit_code


@pytest.mark.parametrize(("found", "code"), [(0, 0), (1, 1), (None, 1), ("Got shutdown from remote", 0)])
def test_the_exit_code_says_how_a_worker_ended(found: Any, code: int) -> None:
    assert exit_code(found) == code
