"""The pace at which containers start."""

from __future__ import annotations

import asyncio

import pytest

from dagy_queue.local.ecs.runtimes import pacing
from dagy_queue.local.ecs.runtimes.pacing import StartPace

Exit = asyncio.Future[None]


async def start_all(pace: StartPace, exits: list[Exit], started: list[int]) -> list[asyncio.Task[Exit]]:
    async def start(number: int) -> Exit:
        started.append(number)
        return exits[number]

    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(pace.start(lambda n=n: start(n), lambda exited: exited)) for n in range(len(exits))]
    await settle()
    return tasks


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_no_more_containers_start_at_once_than_there_are_slots() -> None:
    async def scenario() -> None:
        exits = [asyncio.get_running_loop().create_future() for _ in range(4)]
        started: list[int] = []
        pace = StartPace(2)
        tasks = await start_all(pace, exits, started)
        assert started == [0, 1]
        exits[0].set_result(None)
        await settle()
        assert started == [0, 1, 2]
        for exited in exits[1:]:
            exited.set_result(None)
        await asyncio.gather(*tasks)
        assert started == [0, 1, 2, 3]

    asyncio.run(scenario())


def test_a_container_that_goes_on_gives_its_slot_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "SECONDS_TO_START", 0.001)

    async def scenario() -> None:
        exits = [asyncio.get_running_loop().create_future() for _ in range(3)]
        tasks = await start_all(StartPace(1), exits, [])
        await asyncio.wait_for(asyncio.gather(*tasks), 10)

    asyncio.run(scenario())


def test_a_start_that_fails_gives_its_slot_back() -> None:
    async def fail() -> Exit:
        raise RuntimeError("no such thing")

    async def scenario() -> None:
        pace = StartPace(1)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                await pace.start(fail, lambda exited: exited)

    asyncio.run(scenario())


def test_closing_gives_every_slot_back() -> None:
    async def scenario() -> None:
        exits = [asyncio.get_running_loop().create_future() for _ in range(2)]
        pace = StartPace(1)
        tasks = await start_all(pace, exits, [])
        pace.close()
        await asyncio.wait_for(asyncio.gather(*tasks), 10)
        pace.close()

    asyncio.run(scenario())
