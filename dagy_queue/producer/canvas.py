"""Launches as Celery signatures, for chains, groups and chords made by hand."""

from __future__ import annotations

from typing import Any

from celery import Celery, current_app
from celery.canvas import Signature, signature

from dagy_queue.errors import Problem, RequestInvalid
from dagy_queue.messaging.app import default_app
from dagy_queue.messaging.names import LAUNCH_QUEUE, LAUNCH_TASK
from dagy_queue.messaging.publication import enter_on_publish, shown_kwargs
from dagy_queue.producer.building import default_builder
from dagy_queue.requests import ContainerRequest, LaunchRequest, RunRequest
from dagy_queue.requests.json_values import json_problems

_CELERYS_FALLBACK = "default"
"""Name of the app that Celery makes up where a program has none (``celery._state``)."""


def launch_sig(request: RunRequest | None = None, *, receives: str | None = None, **fields: Any) -> Signature:
    """Return the signature of a launch: give a request, or the fields of one.

    ``receives`` names the parameter that gets the result of the task before this one (in a chain), or the list of
    results (as the body of a chord); without it such a result is not passed on. Raises RequestInvalid.
    """
    enter_on_publish()
    checked = default_builder().build(request, fields)
    kwargs: dict[str, Any] = {"request": to_json(checked)}
    if receives is not None:
        _check_receives(receives, checked)
        kwargs["receives"] = receives
    shown = shown_kwargs(kwargs["request"])
    options = {"queue": LAUNCH_QUEUE, "immutable": receives is None, "kwargsrepr": shown}
    return signature(LAUNCH_TASK, kwargs=kwargs, app=_own_app(), **options)


def _check_receives(receives: object, request: RunRequest) -> None:
    """Raise RequestInvalid for what names no parameter; False takes the result of the task before, and drops it."""
    if not isinstance(request, LaunchRequest):
        raise RequestInvalid([Problem("receives", receives, "only flows have parameters to receive a result")])
    if receives is False:
        return
    if not isinstance(receives, str) or not receives:
        allowed = "the name of the parameter that gets the result, a text that is not empty; None receives nothing"
        raise RequestInvalid([Problem("receives", receives, allowed)])
    if problems := list(json_problems(receives, "receives")):
        raise RequestInvalid(problems)


def _own_app() -> Celery | None:
    """Return our app for a program that has none of its own; None leaves the signature to the application's."""
    return default_app() if current_app.main == _CELERYS_FALLBACK else None


def to_json(request: RunRequest) -> dict[str, Any]:
    """Return the JSON form of a request, with its kind."""
    values = request.in_json()
    if isinstance(request, LaunchRequest | ContainerRequest):
        values["kind"] = request.kind
    return values
