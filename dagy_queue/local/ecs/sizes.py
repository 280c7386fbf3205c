"""The sizes a Fargate task may have: which memory goes with which CPU, and how ECS writes both (pure)."""

from __future__ import annotations

import re

GIB = 1024

MEMORY_BY_CPU: dict[int, tuple[int, ...]] = {
    256: (512, 1 * GIB, 2 * GIB),
    512: tuple(range(1 * GIB, 4 * GIB + 1, GIB)),
    1024: tuple(range(2 * GIB, 8 * GIB + 1, GIB)),
    2048: tuple(range(4 * GIB, 16 * GIB + 1, GIB)),
    4096: tuple(range(8 * GIB, 30 * GIB + 1, GIB)),
    8192: tuple(range(16 * GIB, 60 * GIB + 1, 4 * GIB)),
    16384: tuple(range(32 * GIB, 120 * GIB + 1, 8 * GIB)),
    32768: (60 * GIB, 120 * GIB, 244 * GIB),
}
"""Memory in MiB allowed for each number of CPU units (1,024 units are one vCPU)."""

EPHEMERAL_STORAGE_GIB = range(21, 201)
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
    return memory in MEMORY_BY_CPU.get(cpu, ())


def _scaled(pattern: re.Pattern[str], text: str) -> int | None:
    match = pattern.fullmatch(text.strip())
    if match is None:
        return None
    if match[1] is not None:
        return int(match[1])
    return int(float(match[2]) * 1024)
