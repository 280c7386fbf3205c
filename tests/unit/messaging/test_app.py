from __future__ import annotations

import pytest
from celery import current_app
from celery.app.utils import SETTING_KEYS

from dagy_queue.messaging import app as app_module
from dagy_queue.messaging.app import celery_config, default_app, make_app
from dagy_queue.messaging.names import (
    CANCEL_BATCH_TASK,
    END_BATCH_TASK,
    FAN_OUT_QUEUE,
    FAN_OUT_TASK,
    LAUNCH_QUEUE,
    LAUNCH_TASK,
)
from dagy_queue.settings import load_settings

CONFIG = celery_config(load_settings())


def test_making_an_app_leaves_the_applications_own_alone() -> None:
    before = current_app._get_current_object()
    assert make_app(load_settings()) is not before
    assert current_app._get_current_object() is before


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        (LAUNCH_TASK, LAUNCH_QUEUE),
        (FAN_OUT_TASK, FAN_OUT_QUEUE),
        (END_BATCH_TASK, FAN_OUT_QUEUE),
        (CANCEL_BATCH_TASK, FAN_OUT_QUEUE),
    ],
)
def test_each_task_goes_to_its_queue(task: str, queue: str) -> None:
    route = make_app(load_settings()).amqp.router.route({}, task)
    assert route["queue"].name == queue


def test_nothing_but_json_is_read() -> None:
    assert (CONFIG["task_serializer"], CONFIG["result_serializer"], CONFIG["accept_content"]) == (
        "json",
        "json",
        ["json"],
    )


def test_a_worker_that_dies_takes_no_message_along() -> None:
    assert CONFIG["task_acks_late"]
    assert CONFIG["task_reject_on_worker_lost"]


def test_results_are_kept_in_the_brokers_redis_unless_it_is_said_otherwise() -> None:
    one = celery_config(load_settings(redis={"url": "redis://a/1"}))
    two = celery_config(load_settings(redis={"url": "redis://a/1", "result_url": "redis://b/2"}))
    assert (one["broker_url"], one["result_backend"]) == ("redis://a/1", "redis://a/1")
    assert (two["broker_url"], two["result_backend"]) == ("redis://a/1", "redis://b/2")


def test_a_chords_counters_live_as_long_as_results() -> None:
    config = celery_config(load_settings(redis={"result_expires": 1234}))
    assert config["result_expires"] == config["result_chord_expires"] == 1234


def test_the_visibility_timeout_is_the_settings() -> None:
    config = celery_config(load_settings(dispatch={"visibility_timeout": 777}))
    assert config["broker_transport_options"]["visibility_timeout"] == 777


def test_every_key_is_one_that_celery_knows() -> None:
    assert set(CONFIG) <= SETTING_KEYS


def test_celery_finds_the_app_by_its_usual_names(monkeypatch: pytest.MonkeyPatch) -> None:
    default_app.cache_clear()
    assert app_module.app is app_module.celery is default_app()
    default_app.cache_clear()


def test_the_module_has_no_other_dynamic_names() -> None:
    with pytest.raises(AttributeError):
        _ = app_module.nonsense
