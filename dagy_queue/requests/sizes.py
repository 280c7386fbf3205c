"""Fargate task sizes: which CPU and memory go together (AWS: Fargate task definition parameters, task CPU and memory).

Used by request validation and by the local ECS.
"""

from __future__ import annotations

import re
from itertools import pairwise

_SIZE_TEXT = re.compile(r"(\d+)|(\d+(?:\.\d+)?|\.\d+)\s*(?:vcpu|gb)", re.IGNORECASE | re.ASCII)

MEMORY_OF_CPU: dict[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4096 + 1, 1024)),
    1024: tuple(range(2048, 8192 + 1, 1024)),
    2048: tuple(range(4096, 16384 + 1, 1024)),
    4096: tuple(range(8192, 30720 + 1, 1024)),
    8192: tuple(range(16384, 61440 + 1, 4096)),
    16384: tuple(range(32768, 122880 + 1, 8192)),
    32768: (61440, 122880, 249856),
}
"""Memory choices in MiB for each number of CPU units (1024 units = 1 vCPU)."""

MIN_EPHEMERAL_GIB, MAX_EPHEMERAL_GIB = 21, 200
"""Configurable ephemeral storage in GiB; without a setting a task has 20."""


def size_problem(cpu: int, memory: int) -> str | None:
    """Return what to choose instead of a pair that Fargate does not have; None if the pair is fine."""
    if cpu not in MEMORY_OF_CPU:
        return f"choose cpu {_choices(tuple(MEMORY_OF_CPU))}"
    choices = MEMORY_OF_CPU[cpu]
    if memory in choices:
        return None
    fitting = next((c for c, memories in MEMORY_OF_CPU.items() if memory in memories), None)
    advice = f"choose memory {_range(choices)}"
    return advice if fitting is None else f"{advice}, or cpu {fitting}"


def next_larger(cpu: int, memory: int) -> tuple[int, int] | None:
    """Return the next larger memory at the same CPU units, else that of the next CPU units which allow more.

    None if Fargate has nothing larger, or no such CPU units.
    """
    if cpu not in MEMORY_OF_CPU:
        return None
    larger = [(c, m) for c, memories in MEMORY_OF_CPU.items() if c >= cpu for m in memories if m > memory]
    return larger[0] if larger else None


def partners(cpu: int | None, memory: int | None) -> str:
    """Say what goes with one half of a pair that Fargate has; '' if it has no such half."""
    if cpu in MEMORY_OF_CPU:
        return f": with cpu {cpu} goes memory {_range(MEMORY_OF_CPU[cpu])}"
    fitting = [cpu for cpu, memories in MEMORY_OF_CPU.items() if memory in memories]
    return f": with memory {memory} goes cpu {' or '.join(map(str, fitting))}" if fitting else ""


def half_problem(cpu: int | None, memory: int | None) -> tuple[str, str] | None:
    """Return the field and what is allowed there if one half of a pair is in no pair that Fargate has."""
    if cpu is not None and cpu not in MEMORY_OF_CPU:
        return "cpu", f"{_choices(tuple(MEMORY_OF_CPU))}, with a memory"
    memories = sorted({m for fitting in MEMORY_OF_CPU.values() for m in fitting})
    if memory is not None and memory not in memories:
        near = min(memories, key=lambda m: abs(m - memory))
        return "memory", f"{memories[0]} to {memories[-1]} in the steps of Fargate (near it is {near}), with a cpu"
    return None


def size_text_problem(cpu: str, memory: str) -> str:
    """Say what is wrong with a pair as ECS's API has it, "1024" or "1 vCPU", "2048" or "2 GB"; '' if nothing is.

    Texts that are no sizes are left to ECS.
    """
    units, mib = units_of(cpu), units_of(memory)
    if units is None or mib is None:
        return ""
    problem = size_problem(units, mib)
    return f"cpu {cpu} with memory {memory}: {problem}" if problem else ""


def units_of(text: str) -> int | None:
    """Return the CPU units or MiB of a size as ECS's API has it; None for what is none."""
    match = _SIZE_TEXT.fullmatch(text.strip())
    if match is None:
        return None
    return int(match[1]) if match[1] else int(float(match[2]) * 1024)


def _range(choices: tuple[int, ...]) -> str:
    step = choices[1] - choices[0]
    if len(choices) > 3 and all(b - a == step for a, b in pairwise(choices)):
        return f"{choices[0]}-{choices[-1]} in steps of {step}"
    return _choices(choices)


def _choices(values: tuple[int, ...]) -> str:
    return f"{', '.join(str(v) for v in values[:-1])} or {values[-1]}"
