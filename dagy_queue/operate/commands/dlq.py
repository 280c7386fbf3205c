"""``dagy-queue dlq``: looking into the dead-letter queue of the event queue, and sending messages back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dagy_queue.operate.commands.parts import AsJson, group
from dagy_queue.operate.exit_codes import ExitCode
from dagy_queue.operate.output import fail, say, say_json, say_lines

if TYPE_CHECKING:
    from dagy_queue.bridge.dead_letters import DeadLetter, DeadLetters
    from dagy_queue.bridge.event_queue import EventQueue
    from dagy_queue.settings import Settings

dlq_app = group("Look into the dead-letter queue of ECS events.")

Limit = Annotated[int, typer.Option(min=1, help="look at no more messages than this")]

_WAIT_SECONDS = 1
"""A long poll asks every server of SQS, so that an empty answer means an empty queue."""
_MANY = 1000


@dataclass(frozen=True, slots=True)
class Desk:
    """The two queues, opened for a command."""

    letters: DeadLetters
    dead: EventQueue
    events: EventQueue


def open_desk(settings: Settings, limit: int) -> Desk:
    """Find both queues. Raises SettingsInvalid if there is no dead-letter queue, or an AwsError."""
    from dagy_queue.aws.clients import AwsClients
    from dagy_queue.bridge.dead_letters import HELD_SECONDS, DeadLetters, find_queue_url, require_dead_letters
    from dagy_queue.bridge.event_queue import EventQueue

    sqs = AwsClients(settings.aws, max_connections=2).sqs
    url = find_queue_url(sqs, settings.bridge)
    found = require_dead_letters(sqs, url, settings.bridge)
    dead = EventQueue(sqs, found.url, wait_seconds=_WAIT_SECONDS, visibility_timeout=HELD_SECONDS)
    events = EventQueue(sqs, url, wait_seconds=0, visibility_timeout=HELD_SECONDS)
    return Desk(DeadLetters(dead, limit), dead, events)


@dlq_app.command("list")
def list_letters(limit: Limit = 100, as_json: AsJson = False) -> None:
    """List the messages of the dead-letter queue, which stay there."""
    letters = _desk(limit).letters.read()
    if as_json:
        say_json([letter.to_dict() for letter in letters])
    else:
        say_lines(_lines(letters))


@dlq_app.command("show")
def show(
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE_ID", help="as `list` prints it")],
    limit: Limit = _MANY,
    as_json: AsJson = False,
) -> None:
    """Show one message with its body."""
    letter = _desk(limit).letters.find(message_id)
    if letter is None:
        fail(
            f"no message {message_id} is in the dead-letter queue, or another reader has it: try again in a minute",
            ExitCode.NOT_FOUND,
        )
    shown = letter.to_dict() | {"body": _readable(letter.body)}
    if as_json:
        say_json(shown)
        return
    for name, value in shown.items():
        say(f"{name}: {value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)}")


@dlq_app.command("redrive")
def redrive(
    message_ids: Annotated[list[str] | None, typer.Argument(metavar="MESSAGE_ID", help="as `list` prints them")] = None,
    everything: Annotated[bool, typer.Option("--all", help="every message")] = False,
    limit: Limit = _MANY,
    as_json: AsJson = False,
) -> None:
    """Send messages back to the event queue, and delete them from the dead-letter queue."""
    wanted = set(message_ids or ())
    if bool(wanted) == everything:
        raise typer.BadParameter("name messages or say --all, not both" if wanted else "name messages, or say --all")
    desk = _desk(limit)
    moved = [letter.message_id for letter in desk.letters.redrive(desk.events, None if everything else wanted)]
    more = "; there may be more: say it again" if len(moved) == limit else ""
    missing = len(wanted) - len(moved) if wanted else 0
    if as_json:
        say_json({"redriven": moved, "missing": missing})
    else:
        say(f"redriven: {len(moved)}{more}")
    if missing:
        what = f"{missing} of {len(wanted)} messages are not in the dead-letter queue, or another reader has them"
        fail(what, ExitCode.NOT_FOUND)


@dlq_app.command("purge")
def purge(yes: Annotated[bool, typer.Option("--yes", help="really do it")] = False) -> None:
    """Delete every message of the dead-letter queue, for good."""
    if not yes:
        raise typer.BadParameter("this deletes every message of the dead-letter queue for good: say --yes")
    _desk(1).dead.purge()
    say("purged; SQS takes up to a minute for it")


def _desk(limit: int) -> Desk:
    from dagy_queue.settings import settings

    return open_desk(settings(), limit)


def _lines(letters: Sequence[DeadLetter]) -> Iterator[str]:
    if not letters:
        yield "the dead-letter queue is empty"
    for letter in letters:
        about = f" run {letter.run_id}" if letter.run_id else ""
        yield f"{letter.message_id} {letter.first_seen or letter.sent}{about}: {letter.reason}"


def _readable(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body
