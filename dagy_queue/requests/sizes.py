"""Fargate task sizes: which CPU and memory go together (AWS: Fargate task definition parameters, task CPU and memory).

Used by request validation and by the local ECS.
"""

from __future__ import annotations

from itertools import pairwise

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


def _range(choices: tuple[int, ...]) -> str:
    step = choices[1] - choices[0]
    if len(choices) > 3 and all(b - a == step for a, b in pairwise(choices)):
        return f"{choices[0]}-{choices[-1]} in steps of {step}"
    return _choices(choices)


def _choices(values: tuple[int, ...]) -> str:
    return f"{', '.join(str(v) for v in values[:-1])} or {values[-1]}"
