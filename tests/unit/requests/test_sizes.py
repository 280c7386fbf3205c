from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_queue.requests.sizes import MEMORY_OF_CPU, next_larger, size_problem, units_of
from tests.unit.strategies import unhurried

PAIRS = [(cpu, memory) for cpu, choices in MEMORY_OF_CPU.items() for memory in choices]
GIB = 1024
PUBLISHED = {
    256: {512, 1 * GIB, 2 * GIB},
    512: {n * GIB for n in range(1, 5)},
    1024: {n * GIB for n in range(2, 9)},
    2048: {n * GIB for n in range(4, 17)},
    4096: {n * GIB for n in range(8, 31)},
    8192: {n * GIB for n in range(16, 61, 4)},
    16384: {n * GIB for n in range(32, 121, 8)},
    32768: {60 * GIB, 120 * GIB, 244 * GIB},
}
"""The table in reference/aws.md, §3."""


def choices_named(advice: str) -> set[tuple[str, int]]:
    """Return the values that an advice names, as (cpu or memory, number), steps resolved."""
    found: set[tuple[str, int]] = set()
    for what, said in re.findall(r"(cpu|memory) ([\d, orinstepf-]+)", advice):
        if span := re.match(r"(\d+)-(\d+) in steps of (\d+)", said):
            low, high, step = map(int, span.groups())
            found |= {(what, number) for number in range(low, high + 1, step)}
        else:
            found |= {(what, int(number)) for number in re.findall(r"\d+", said)}
    return found


def test_the_table_is_the_one_aws_publishes() -> None:
    assert {cpu: set(choices) for cpu, choices in MEMORY_OF_CPU.items()} == PUBLISHED


@pytest.mark.parametrize(("cpu", "memory"), PAIRS)
def test_every_pair_of_the_table_is_fine(cpu: int, memory: int) -> None:
    assert size_problem(cpu, memory) is None


def test_every_other_pair_of_the_tables_values_is_refused_with_a_choice_that_works() -> None:
    memories = {memory for _, memory in PAIRS}
    for cpu, memory in product(MEMORY_OF_CPU, memories):
        if memory in MEMORY_OF_CPU[cpu]:
            continue
        advice = size_problem(cpu, memory)
        assert advice
        named = choices_named(advice)
        assert {(what, n) for what, n in named if what == "memory"} == {("memory", n) for n in MEMORY_OF_CPU[cpu]}
        assert all(memory in MEMORY_OF_CPU[n] for what, n in named if what == "cpu")


@unhurried
@given(st.sampled_from(list(MEMORY_OF_CPU)), st.integers(-1, 300_000))
def test_a_memory_that_no_cpu_has_is_refused_with_memories_that_work(cpu: int, memory: int) -> None:
    advice = size_problem(cpu, memory)
    if memory in MEMORY_OF_CPU[cpu]:
        assert advice is None
    else:
        assert advice
        assert all(size_problem(cpu, n) is None for what, n in choices_named(advice) if what == "memory")


@unhurried
@given(st.integers(-1, 40_000).filter(lambda cpu: cpu not in MEMORY_OF_CPU), st.integers(0, 300_000))
def test_a_cpu_that_fargate_does_not_have_is_refused_with_all_it_has(cpu: int, memory: int) -> None:
    assert choices_named(size_problem(cpu, memory) or "") == {("cpu", n) for n in MEMORY_OF_CPU}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("1024", 1024),
        (" 1 vCPU ", 1024),
        ("0.5vcpu", 512),
        ("2 GB", 2048),
        ("", None),
        ("much", None),
        ("2 parsecs", None),
        ("GB", None),
    ],
)
def test_a_size_is_read_as_ecs_reads_it(said: str, meant: int | None) -> None:
    assert units_of(said) == meant


@pytest.mark.parametrize(
    ("size", "larger"),
    [
        ((256, 512), (256, 1024)),
        ((256, 2048), (512, 3072)),
        ((4096, 30720), (8192, 32768)),
        ((16384, 122880), (32768, 249856)),
        ((32768, 249856), None),
        ((333, 512), None),
    ],
)
def test_the_next_larger_memory_is_at_the_same_cpu_or_else_at_the_next_that_has_more(
    size: tuple[int, int], larger: tuple[int, int] | None
) -> None:
    assert next_larger(*size) == larger
