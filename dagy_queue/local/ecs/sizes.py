"""The sizes a Fargate task may have: how ECS writes them, and whether Fargate has them (pure)."""

from __future__ import annotations

import re

from dagy_queue.requests.sizes import MAX_EPHEMERAL_GIB, MEMORY_OF_CPU, MIN_EPHEMERAL_GIB

EPHEMERAL_STORAGE_GIB = range(MIN_EPHEMERAL_GIB, MAX_EPHEMERAL_GIB + 1)
"""What may be configured; a task that configures nothing has 20 GiB."""

NEEDS_PLATFORM_1_4 = 8192
"""CPU units from which Fargate needs platform version 1.4.0."""

_CPU = re.compile(r"(\d+)|(\d+(?:\.\d+)?|\.\d+)\s*vcpu", re.IGNORECASE)
_MEMORY = re.compile(r"(\d+)|(\d+(?:\.\d+)?|\.\d+)\s*gb", re.IGNORECASE)


def parse_cpu(text: str) -> int | None:
    """Return CPU units for ``"1024"`` or ``"1 vCPU"``, or None if the text is neither."""
    return _scaled(_CPU, text)


def parse_memory(text: str) -> int | None:
    """Return MiB for ``"2048"`` or ``"2 GB"``, or None if the text is neither."""
    return _scaled(_MEMORY, text)


def is_fargate_pair(cpu: int, memory: int) -> bool:
    """Tell whether Fargate offers this much CPU (units) with this much memory (MiB)."""
    return memory in MEMORY_OF_CPU.get(cpu, ())


def _scaled(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.fullmatch(text.strip())
    if match is None:
        return None
    if match[1] is not None:
        return int(match[1])
    return int(float(match[2]) * 1024)
