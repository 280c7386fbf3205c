"""docs/ledger.md names every key and every script of the ledger, and no others."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "ledger.md").read_text()
LUA = ROOT / "dagy_queue" / "ledger" / "lua"
KINDS_OF_MESSAGES = {"published", "resumed"}
"""What ``sent_key`` puts after the prefix."""


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its own head."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_key_is_on_the_page() -> None:
    in_lua = "\n".join(path.read_text() for path in LUA.rglob("*.lua"))
    in_python = "\n".join(
        path.read_text() for path in (ROOT / "dagy_queue").rglob("*.py") if "doctor" not in path.parts
    )
    keys = set(re.findall(r"P \.\. ':(\w+)", in_lua)) | set(re.findall(r"\.key\(\"(\w+)\"", in_python))
    of_batches = set(re.findall(r"key(?:\([^()]*(?:\[\d\])?\))? \.\. ':(\w+)'", in_lua))
    named = [name for row in rows("Keys") for name in re.findall(r"`([^`]+)`", row[0])]
    assert {re.split(r":", name)[0] for name in named} == keys | KINDS_OF_MESSAGES
    assert {name.rpartition(":")[2] for name in named if name.startswith("batch:<batch>:")} == of_batches


def test_every_script_is_on_the_page() -> None:
    named = [name for row in rows("Scripts") for name in re.findall(r"`(\w+)`", row[1])]
    assert sorted(named) == sorted(path.stem for path in LUA.glob("*.lua"))


def test_every_step_of_a_run_names_its_script() -> None:
    for row in rows("A run"):
        assert (LUA / f"{row[1].strip('`')}.lua").exists()
