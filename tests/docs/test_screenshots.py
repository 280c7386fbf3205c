"""``./scripts/screenshots`` makes both pictures from what runs, and those in the documentation are small enough."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.snippets import ROOT

MOST_BYTES = 300_000
NAMES = ("flower.png", "watch.svg")


def text_of(picture: Path) -> str:
    """Return the words in an SVG."""
    return " ".join(re.findall(r">([^<>]+)</text>", picture.read_text())).replace("&#160;", " ")


@pytest.mark.timeout(400)
def test_the_pictures_are_made_from_a_batch_that_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.screenshots_support", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=390, check=False)
    assert done.returncode == 0, done.stderr
    assert {file.name for file in tmp_path.iterdir()} == set(NAMES)
    assert (tmp_path / "flower.png").read_bytes().startswith(b"\x89PNG")
    assert "ValueError in task &#x27;add_up&#x27;: no sales in month 2" in text_of(tmp_path / "watch.svg")


@pytest.mark.parametrize("name", NAMES)
def test_the_pictures_of_the_documentation_are_small(name: str) -> None:
    assert 1000 < (ROOT / "docs" / "images" / name).stat().st_size < MOST_BYTES
