from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import Any

import pytest
from botocore.stub import Stubber

from dagy_queue.errors import AwsRefused, AwsThrottled, RedisUnavailable
from dagy_queue.launching import remembered
from dagy_queue.launching.definition_cache import DefinitionCache, LedgerCache, NoCache
from dagy_queue.launching.task_definitions import TaskDefinitions, definition_hash
from dagy_queue.ledger import RedisConnection
from dagy_queue.settings import RedisSettings
from tests.unit.kit import REGION, stubbed
from tests.unit.launching.kit import TEMPLATE, MemoryAws, MemoryEcs, family, refusal

OTHER = "eu-west-1"
NAMELESS = {name: value for name, value in TEMPLATE.items() if name != "family"}
PATIENCE = 10


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def aws() -> MemoryAws:
    return MemoryAws()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(connection: RedisConnection) -> LedgerCache:
    return LedgerCache(connection)


def process(aws: MemoryAws, cache: DefinitionCache, clock: Clock | None = None) -> TaskDefinitions:
    """What one process knows of task definitions."""
    return TaskDefinitions(aws.ecs_of, cache, "dagy-worker", clock or Clock())  # type: ignore[arg-type]


def registered(aws: MemoryAws, region: str = REGION) -> list[str]:
    return [document["family"] for document in aws.ecs_of(region).asked("RegisterTaskDefinition")]


def described(aws: MemoryAws, region: str = REGION) -> list[str]:
    return [asked["taskDefinition"] for asked in aws.ecs_of(region).asked("DescribeTaskDefinition")]


def test_a_definition_is_registered_once_and_launched_by_its_arn(aws: MemoryAws, cache: LedgerCache) -> None:
    known = process(aws, cache)
    (name,) = {known.made(TEMPLATE, REGION).name for _ in range(3)}
    assert name == f"arn:aws:ecs:us-east-1:123456789012:task-definition/{family('pipeline', TEMPLATE)}:1"
    assert len(registered(aws)) == 1


def test_it_is_registered_as_it_is_under_a_family_of_its_own(aws: MemoryAws, cache: LedgerCache) -> None:
    process(aws, cache).made(TEMPLATE, REGION)
    (document,) = aws.ecs_of().asked("RegisterTaskDefinition")
    assert document == TEMPLATE | {"family": family("pipeline", TEMPLATE)}


@pytest.mark.parametrize(
    ("document", "base"), [(NAMELESS, "dagy-worker"), (TEMPLATE | {"family": "f" * 255}, "f" * 238)]
)
def test_a_family_is_a_name_and_the_content_s_hash(
    aws: MemoryAws, cache: LedgerCache, document: dict[str, Any], base: str
) -> None:
    process(aws, cache).made(document, REGION)
    (name,) = registered(aws)
    assert name == family(base, document)
    assert len(name) <= 255


def test_another_process_finds_it_in_the_ledger(aws: MemoryAws, cache: LedgerCache) -> None:
    definition = process(aws, cache).made(TEMPLATE, REGION)
    calls = len(aws.ecs_of().calls)
    assert process(aws, cache).made(TEMPLATE, REGION) == definition
    assert len(aws.ecs_of().calls) == calls


def test_after_a_cold_start_it_is_found_by_its_family(
    aws: MemoryAws, cache: LedgerCache, connection: RedisConnection
) -> None:
    definition = process(aws, cache).made(TEMPLATE, REGION)
    connection.client.flushdb()
    assert process(aws, cache).made(TEMPLATE, REGION) == definition
    assert len(registered(aws)) == 1


def test_without_a_ledger_it_is_found_by_its_family(aws: MemoryAws) -> None:
    assert process(aws, NoCache()).made(TEMPLATE, REGION) == process(aws, NoCache()).made(TEMPLATE, REGION)
    assert len(registered(aws)) == 1


def test_every_region_has_its_own(aws: MemoryAws, cache: LedgerCache) -> None:
    known = process(aws, cache)
    names = [known.made(TEMPLATE, region).name for region in (REGION, OTHER)]
    assert [name.split(":")[3] for name in names] == [REGION, OTHER]
    assert [len(registered(aws, region)) for region in (REGION, OTHER)] == [1, 1]
    known.forget(names[0], REGION)
    known.made(TEMPLATE, OTHER)
    assert len(described(aws, OTHER)) == 1


def test_one_that_was_deregistered_is_registered_again(aws: MemoryAws, cache: LedgerCache) -> None:
    processes = [process(aws, cache), process(aws, cache)]
    (first,) = {known.made(TEMPLATE, REGION).name for known in processes}
    aws.ecs_of().deregister(first)
    for known in processes:
        known.forget(first, REGION)
    again = {known.made(TEMPLATE, REGION).name for known in processes}
    assert again == {first[:-1] + "2"}


def test_a_process_that_is_late_to_notice_does_not_forget_the_new_one(aws: MemoryAws, cache: LedgerCache) -> None:
    known = process(aws, cache)
    first = known.made(TEMPLATE, REGION).name
    aws.ecs_of().deregister(first)
    known.forget(first, REGION)
    second = known.made(TEMPLATE, REGION).name
    calls = len(aws.ecs_of().calls)
    known.forget(first, REGION)
    assert known.made(TEMPLATE, REGION).name == second
    assert len(aws.ecs_of().calls) == calls


def test_one_that_is_gone_is_not_given_again_though_the_ledger_is_told_of_it_once_more(
    aws: MemoryAws, cache: LedgerCache
) -> None:
    known = process(aws, cache)
    first = known.made(TEMPLATE, REGION).name
    aws.ecs_of().deregister(first)
    known.forget(first, REGION)
    cache.set(f"{REGION}:{definition_hash(TEMPLATE)}", first)  # by another process, which has yet to notice
    second = known.made(TEMPLATE, REGION).name
    assert second == first[:-1] + "2"
    assert process(aws, cache).made(TEMPLATE, REGION).name == second


def test_many_launches_that_find_it_gone_at_once_all_get_the_new_one(aws: MemoryAws, cache: LedgerCache) -> None:
    """As a dispatcher's threads do: plan, be refused, forget, and plan once more."""
    processes = [process(aws, cache), process(aws, cache)]
    for _ in range(20):
        first = processes[0].made(TEMPLATE, REGION).name
        aws.ecs_of().deregister(first)
        at_once = threading.Barrier(12)

        def second_try(number: int, gone: str = first, at_once: threading.Barrier = at_once) -> str:
            known = processes[number % 2]
            at_once.wait(PATIENCE)
            planned = known.made(TEMPLATE, REGION).name
            if planned != gone:
                return planned
            known.forget(planned, REGION)
            return known.made(TEMPLATE, REGION).name

        with ThreadPoolExecutor(12) as threads:
            names = set(threads.map(second_try, range(12)))
        assert len(names) == 1
        assert first not in names


def test_one_that_is_there_again_under_its_old_name_is_given(aws: MemoryAws, cache: LedgerCache) -> None:
    """As after a restart of the local AWS, which counts revisions from 1 again."""
    known = process(aws, cache)
    first = known.made(TEMPLATE, REGION).name
    known.forget(first, REGION)
    assert known.made(TEMPLATE, REGION).name == first
    calls = len(aws.ecs_of().calls)
    assert known.made(TEMPLATE, REGION).name == first
    assert len(aws.ecs_of().calls) == calls


def test_forgetting_what_nobody_knows_changes_nothing(aws: MemoryAws, cache: LedgerCache) -> None:
    process(aws, cache).forget("arn", REGION)
    assert aws.ecs_of().calls == []


def test_many_threads_of_many_processes_register_once(aws: MemoryAws, cache: LedgerCache) -> None:
    processes = [process(aws, cache) for _ in range(4)]
    at_once = threading.Barrier(12)

    def made(number: int) -> str:
        at_once.wait(PATIENCE)
        return processes[number % 4].made(TEMPLATE, REGION).name

    with ThreadPoolExecutor(12) as threads:
        names = set(threads.map(made, range(12)))
    assert len(names) == 1
    assert (len(registered(aws)), len(described(aws))) == (1, 1)


class SlowEcs(MemoryEcs):
    """An ECS that takes as long as a test wants to register one definition."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Event()
        self.may_go_on = threading.Event()

    def register_task_definition(self, **document: Any) -> dict[str, Any]:
        if document["family"].startswith("slow"):
            self.waiting.set()
            self.may_go_on.wait(PATIENCE)
        return super().register_task_definition(**document)


def test_one_that_is_slow_to_register_does_not_hold_up_others(cache: LedgerCache) -> None:
    ecs = SlowEcs()
    known = on(ecs, cache)
    with ThreadPoolExecutor(5) as threads:
        slow = threads.submit(known.made, TEMPLATE | {"family": "slow"}, REGION)
        assert ecs.waiting.wait(PATIENCE)
        # One in 64 shares the slow one's lock by chance; of four, some do not.
        quick = [threads.submit(known.made, TEMPLATE | {"family": f"f{n}"}, REGION) for n in range(4)]
        assert wait(quick, PATIENCE, FIRST_COMPLETED).done
        ecs.may_go_on.set()
        assert {each.result(PATIENCE).name.count(":") for each in (slow, *quick)} == {6}


def test_forgetting_and_registering_at_once_do_no_harm(aws: MemoryAws) -> None:
    known = process(aws, NoCache())
    stop = threading.Event()

    def forget_for_ever() -> None:
        while not stop.is_set():
            known.forget("arn", REGION)

    with ThreadPoolExecutor(3) as threads:
        forgetting = [threads.submit(forget_for_ever) for _ in range(2)]
        for number in range(200):
            known.made(TEMPLATE | {"family": f"f{number}"}, REGION)
        stop.set()
        for each in forgetting:
            each.result(PATIENCE)


def test_what_a_process_remembers_does_not_grow_without_end(
    monkeypatch: pytest.MonkeyPatch, aws: MemoryAws, cache: LedgerCache
) -> None:
    monkeypatch.setattr(remembered, "MAX_REMEMBERED", 10)
    known = process(aws, cache)
    for number in range(25):
        known.existing(known.made(TEMPLATE | {"family": f"f{number}"}, REGION).name, REGION)
    assert max(len(known._registered), len(known._described)) <= 10


@pytest.fixture
def existing(aws: MemoryAws) -> str:
    """The ARN of a task definition that somebody else registered."""
    return str(aws.ecs_of().register_task_definition(**TEMPLATE)["taskDefinition"]["taskDefinitionArn"])


@pytest.mark.parametrize("name", ["pipeline:1", "arn:aws:ecs:us-east-1:123456789012:task-definition/pipeline:1"])
def test_a_revision_is_described_once(
    aws: MemoryAws, cache: LedgerCache, clock: Clock, existing: str, name: str
) -> None:
    known = process(aws, cache, clock)
    for _ in range(3):
        assert known.existing(name, REGION)["taskDefinitionArn"] == existing
        clock.now += 1e9
    assert described(aws) == [name]


@pytest.mark.parametrize("name", ["pipeline", "arn:aws:ecs:us-east-1:123456789012:task-definition/pipeline"])
def test_the_latest_revision_of_a_family_is_asked_for_every_half_minute(
    aws: MemoryAws, cache: LedgerCache, clock: Clock, existing: str, name: str
) -> None:
    known = process(aws, cache, clock)
    assert known.existing(name, REGION)["revision"] == 1
    aws.ecs_of().register_task_definition(**TEMPLATE)
    clock.now += 29.9
    assert known.existing(name, REGION)["revision"] == 1
    clock.now += 0.1
    assert known.existing(name, REGION)["revision"] == 2
    assert described(aws) == [name] * 2


def test_an_existing_one_that_ecs_no_longer_accepts_is_asked_for_again(
    aws: MemoryAws, cache: LedgerCache, existing: str
) -> None:
    known = process(aws, cache)
    known.existing("pipeline", REGION)
    aws.ecs_of().register_task_definition(**TEMPLATE)
    known.forget(existing, REGION)
    assert known.existing("pipeline", REGION)["revision"] == 2


def test_many_threads_describe_an_existing_one_once(aws: MemoryAws, cache: LedgerCache, existing: str) -> None:
    known = process(aws, cache)
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda _: known.existing("pipeline", REGION), range(24)))
    assert described(aws) == ["pipeline"]


def test_one_that_there_is_not_is_refused_and_not_remembered(aws: MemoryAws, cache: LedgerCache) -> None:
    known = process(aws, cache)
    with pytest.raises(AwsRefused):
        known.existing("pipeline", REGION)
    aws.ecs_of().register_task_definition(**TEMPLATE)
    assert known.existing("pipeline", REGION)["revision"] == 1


@pytest.fixture
def scripted() -> Iterator[tuple[Any, Stubber]]:
    with stubbed("ecs") as both:
        yield both


def on(client: Any, cache: DefinitionCache) -> TaskDefinitions:
    return TaskDefinitions(lambda _: client, cache, "dagy-worker")


def is_unknown(stub: Stubber) -> None:
    name = family("pipeline", TEMPLATE)
    message = "Unable to describe task definition."
    stub.add_client_error(
        "describe_task_definition", "ClientException", message, expected_params={"taskDefinition": name}
    )


def test_a_refusal_is_not_remembered(scripted: tuple[Any, Stubber], cache: LedgerCache) -> None:
    is_unknown(scripted[1])
    scripted[1].add_client_error("register_task_definition", "ClientException", "Invalid setting")
    is_unknown(scripted[1])
    answer = {"taskDefinition": {"taskDefinitionArn": "arn"}}
    scripted[1].add_response("register_task_definition", answer, TEMPLATE | {"family": family("pipeline", TEMPLATE)})
    known = on(scripted[0], cache)
    with pytest.raises(AwsRefused):
        known.made(TEMPLATE, REGION)
    assert known.made(TEMPLATE, REGION).name == "arn"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ThrottlingException", "Rate exceeded"),
        ("ClientException", "Too many concurrent attempts to create a new revision of the specified family."),
    ],
)
def test_a_throttle_is_passed_on_and_gives_the_lock_back(
    scripted: tuple[Any, Stubber], cache: LedgerCache, connection: RedisConnection, code: str, message: str
) -> None:
    is_unknown(scripted[1])
    scripted[1].add_client_error("register_task_definition", code, message)
    with pytest.raises(AwsThrottled):
        on(scripted[0], cache).made(TEMPLATE, REGION)
    assert list(connection.client.scan_iter("*lock*")) == []


def test_a_holder_of_the_lock_that_died_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch, aws: MemoryAws, cache: LedgerCache, connection: RedisConnection
) -> None:
    monkeypatch.setattr("dagy_queue.launching.definition_cache.LOCK_SECONDS", 0.2)
    with cache.registering("of the dead"):
        (key,) = connection.client.scan_iter("*lock*")
        connection.client.pexpire(key, 60_000)
        with cache.registering("of the dead"):
            cache.set("of the dead", "arn")
    assert cache.get("of the dead") == "arn"


def test_without_redis_nothing_is_registered(aws: MemoryAws) -> None:
    nowhere = RedisConnection(RedisSettings(url="redis://127.0.0.1:1/0"))
    with pytest.raises(RedisUnavailable):
        process(aws, LedgerCache(nowhere)).made(TEMPLATE, REGION)
    assert registered(aws) == []


def test_the_ledger_remembers_for_days_and_forgets(cache: LedgerCache, connection: RedisConnection) -> None:
    cache.set("digest", "arn")
    (key,) = connection.client.scan_iter("*")
    assert connection.client.ttl(key) > 86_400
    cache.delete("digest")
    assert cache.get("digest") is None


def test_an_error_of_the_description_says_what_was_asked(cache: LedgerCache, aws: MemoryAws) -> None:
    def refuse(**_: Any) -> Any:
        raise refusal("AccessDeniedException", "no", "DescribeTaskDefinition")

    aws.ecs_of().describe_task_definition = refuse  # type: ignore[method-assign]
    with pytest.raises(AwsRefused, match="ecs:DescribeTaskDefinition"):
        process(aws, cache).existing("pipeline", REGION)
