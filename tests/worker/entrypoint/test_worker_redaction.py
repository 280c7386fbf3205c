"""Secrets: every form in which a value may be written, and what is left alone."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagy_worker.redaction import Redactor, secrets_in, too_short

PASSWORD = 'p@ss "wörd"/\\1'
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nxYz0123456789abcdefghij\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    "form",
    [
        PASSWORD,
        json.dumps(PASSWORD),
        json.dumps({"password": PASSWORD}, ensure_ascii=False),
        repr(PASSWORD),
        f"https://user:{quote(PASSWORD, safe='')}@host/",
        f"?q={quote_plus(PASSWORD)}&x=1",
        f"/{quote(PASSWORD)}",
    ],
)
def test_a_secret_is_found_in_every_form(form: str) -> None:
    told = Redactor({"DB_PASSWORD": PASSWORD})(f"it is {form}, you know")
    assert "[redacted:DB_PASSWORD]" in told
    assert not {"p@ss", "p%40ss"} & {told[start : start + size] for size in (4, 6) for start in range(len(told))}


@given(st.text(min_size=4, max_size=50), st.text(max_size=50), st.text(max_size=50))
def test_no_text_keeps_a_secret(secret: str, before: str, after: str) -> None:
    mark = "[redacted:S]"
    assert (
        secret not in Redactor({"S": secret})(f"{before}{secret}{after}").replace(mark, "") or secret in before + after
    )
    assert mark in Redactor({"S": secret})(f"{before}{secret}{after}")


def test_each_line_of_a_secret_is_one() -> None:
    redact = Redactor({"KEY": KEY})
    assert "MIIE" not in redact(KEY)
    for line in KEY.splitlines():
        assert redact(f"line: {line}") == "line: [redacted:KEY]"
    assert redact(f"{KEY!r}") == "'[redacted:KEY]'"


def test_a_line_break_at_the_end_of_a_secret_does_not_hide_it() -> None:
    assert Redactor({"TOKEN": "abcd\n"})("it is abcd.") == "it is [redacted:TOKEN]."


def test_of_a_json_object_each_text_is_a_secret_but_for_names_and_places() -> None:
    document = {"username": "reporting", "engine": "postgres", "host": "db.internal", "port": 5432, "dbname": "orders1"}
    redact = Redactor({"DB": json.dumps({**document, "password": "correct horse", "old": ["battery staple"]})})
    assert redact("correct horse and battery staple") == "[redacted:DB] and [redacted:DB]"
    harmless = "reporting uses postgres on db.internal:5432/orders1"
    assert redact(harmless) == harmless


@pytest.mark.parametrize("broken", ["{not json", "[" * 100_000, '{"a": 1'])
def test_what_only_begins_like_json_is_a_secret_as_a_whole(broken: str) -> None:
    assert Redactor({"X": broken})(f"<{broken}>") == "<[redacted:X]>"


def test_the_longer_of_two_secrets_wins() -> None:
    assert Redactor({"A": "secret", "B": "secret-and-more"})("secret-and-more secret") == "[redacted:B] [redacted:A]"


def test_without_secrets_nothing_changes() -> None:
    assert Redactor()("anything") == "anything"
    assert Redactor().longest == 0


def test_only_named_variables_and_real_credentials_are_secrets() -> None:
    environ = {
        "DB_PASSWORD": "hunter22",
        "PIN": "123",
        "EMPTY": "",
        "HOME": "/root",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_SESSION_TOKEN": "x" * 40,
    }
    names = ["DB_PASSWORD", "PIN", "EMPTY", "NOT_THERE"]
    assert secrets_in(environ, names) == {"DB_PASSWORD": "hunter22", "AWS_SESSION_TOKEN": "x" * 40}
    assert too_short(environ, names) == ["PIN"]
