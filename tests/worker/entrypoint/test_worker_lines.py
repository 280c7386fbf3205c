"""Cutting streams into lines: nothing is lost, nothing piles up, no secret is cut in two."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dagy_worker.lines import LineSplitter
from dagy_worker.logs import MAX_MESSAGE
from dagy_worker.redaction import Redactor

SECRET = "hunter-2-hunter"


def fed(pieces: list[str], redact: Redactor | None = None) -> list[str]:
    splitter = LineSplitter(redact or Redactor())
    lines = [line for piece in pieces for some in splitter.feed(piece) for line in some]
    return lines + splitter.end()


@given(st.lists(st.text(st.sampled_from("ab\n é"))))
def test_lines_are_the_text_however_it_is_cut(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert fed(pieces) == text.removesuffix("\n").split("\n") if text else fed(pieces) == []


@given(st.binary(), st.integers(1, 5))
def test_bytes_are_decoded_however_they_are_cut(data: bytes, size: int) -> None:
    splitter = LineSplitter(Redactor())
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    lines = [line for piece in pieces for some in splitter.feed_bytes(piece) for line in some] + splitter.end()
    whole = data.decode(errors="backslashreplace")
    assert lines == [line.removesuffix("\r") for line in whole.removesuffix("\n").split("\n")] if whole else not lines


def test_a_line_that_does_not_end_is_given_out_in_pieces() -> None:
    splitter = LineSplitter(Redactor())
    given_out = "".join(line for _ in range(100) for some in splitter.feed("x" * 10_000) for line in some)
    assert len(given_out) > 1_000_000 - 2 * MAX_MESSAGE
    assert given_out + "".join(splitter.end()) == "x" * 1_000_000


@given(st.data())
def test_a_secret_is_found_wherever_the_stream_is_cut(data: st.DataObject) -> None:
    gap = st.integers(0, MAX_MESSAGE + 50)
    text = "".join(
        "." * data.draw(gap) + part for part in data.draw(st.lists(st.sampled_from([SECRET, "\n", "x"]), max_size=5))
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    out = fed(pieces, Redactor({"PASSWORD": SECRET}))
    assert SECRET not in "".join(out)
    assert "".join(out).count("[redacted:PASSWORD]") == text.count(SECRET)
