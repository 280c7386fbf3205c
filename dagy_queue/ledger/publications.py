"""Messages as the ledger sends them: of runs to enter, and of what follows the end of a run or a batch.

``messaging/render.py`` renders them; ``ledger/runs.py`` and ``ledger/batches.py`` hand them to scripts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dagy_queue.ledger.entries import milliseconds


@dataclass(frozen=True, slots=True)
class Continuation:
    """A rendered Celery message with blanks for id, attempt and retries, and the broker list it goes to."""

    list_key: str
    message: str


@dataclass(frozen=True, slots=True)
class Publication:
    """One run to enter, with its message and what is known of it."""

    run_id: str
    message: Continuation
    about: Mapping[str, str]

    def arguments(self, *, push: bool) -> list[str]:
        """Return what ``lua/publish.lua`` is told; with ``push`` it sends the message."""
        text = self.message.message
        return [self.run_id, self.message.list_key, text, "1" if push else "", _not_before(text), *flat(self.about)]


@dataclass(frozen=True, slots=True)
class Following:
    """What is sent when a run or a batch has ended: messages of other tasks, and runs to publish."""

    messages: Sequence[Continuation] = ()
    launches: Sequence[Publication] = ()

    def __bool__(self) -> bool:
        return bool(self.messages or self.launches)

    def arguments(self) -> list[str]:
        """Return what ``send_all`` (``lua/common/publishing.lua``) is told."""
        sent = [part for message in self.messages for part in (message.list_key, message.message)]
        published = [part for launch in self.launches for part in _with_length(launch.arguments(push=True))]
        return [str(len(self.messages)), *sent, *published]


NOTHING = Following()


def _not_before(message: str) -> str:
    """Return when a message with a countdown is due, in milliseconds since the epoch; '' for one without."""
    if '"eta"' not in message or '"eta":null' in message:
        return ""
    return str(milliseconds(json.loads(message).get("headers", {}).get("eta")) or "")


def flat(about: Mapping[str, str]) -> list[str]:
    """Return fields and values as a script is told them; those without a value are left out."""
    return [part for pair in about.items() for part in pair if pair[1] != ""]


def _with_length(parts: list[str]) -> list[str]:
    return [str(len(parts)), *parts]
