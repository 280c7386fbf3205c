"""One queue of the lean SQS, without HTTP: waiting, fairness, and what deleted messages leave behind."""

import asyncio

import pytest

from dagy_queue.local.sqs.messages import Message, Receipt, State
from dagy_queue.local.sqs.queue import Queue


def new_queue():
    return Queue("q", lambda _queue, _message: False)


def receipt(message):
    return Receipt("q", message.number, message.receives)


def test_deleted_messages_leave_nothing_in_the_heap_of_hidden_ones():
    async def scenario():
        queue = new_queue()
        for _ in range(2_000):
            queue.send(Message("x" * 100))
            [message] = queue.take(1, 3600)
            queue.delete(receipt(message))
        return len(queue._hidden), len(queue._messages), queue.count(State.HIDDEN)

    hidden, messages, in_flight = asyncio.run(scenario())
    assert hidden < 100
    assert (messages, in_flight) == (0, 0)


def test_every_message_reaches_one_of_many_waiting_receivers():
    async def scenario():
        queue = new_queue()
        receivers = [asyncio.create_task(queue.take_waiting(10, 60, 5)) for _ in range(20)]
        await asyncio.sleep(0)
        for number in range(20):
            queue.send(Message(str(number)))
        got = []
        for taken in asyncio.as_completed(receivers, timeout=5):
            got += [message.body for message in await taken]
            if len(got) == 20:
                queue.release()
        return got

    assert sorted(map(int, asyncio.run(scenario()))) == list(range(20))


def test_a_receiver_cancelled_after_it_was_woken_passes_the_message_on():
    async def scenario():
        queue = new_queue()
        first = asyncio.create_task(queue.take_waiting(1, 60, 5))
        await asyncio.sleep(0)
        second = asyncio.create_task(queue.take_waiting(1, 60, 5))
        await asyncio.sleep(0)
        queue.send(Message("for whoever stays"))
        first.cancel()
        taken = await asyncio.wait_for(second, 2)
        with pytest.raises(asyncio.CancelledError):
            await first
        return taken[0].body

    assert asyncio.run(scenario()) == "for whoever stays"


def test_a_closed_queue_answers_its_receivers_at_once():
    async def scenario():
        queue = new_queue()
        waiting = asyncio.create_task(queue.take_waiting(1, 60, 20))
        await asyncio.sleep(0)
        queue.close()
        return await asyncio.wait_for(waiting, 2), await asyncio.wait_for(queue.take_waiting(1, 60, 20), 2)

    assert asyncio.run(scenario()) == ([], [])


def test_counts_follow_a_message_through_its_states():
    async def scenario():
        queue = new_queue()
        seen = []

        def look():
            seen.append(tuple(queue.count(state) for state in (State.READY, State.DELAYED, State.HIDDEN)))

        queue.send(Message("a"), delay=900)
        look()
        queue.send(Message("b"))
        look()
        [message] = queue.take(10, 60)
        look()
        assert queue.change_visibility(receipt(message), 0)
        look()
        [message] = queue.take(10, 60)
        queue.delete(receipt(message))
        look()
        queue.purge()
        look()
        return seen

    assert asyncio.run(scenario()) == [(0, 1, 0), (1, 1, 0), (0, 1, 1), (1, 1, 0), (0, 1, 0), (0, 0, 0)]
