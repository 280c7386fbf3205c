"""Lines of text from what comes in pieces of any size: whole, redacted, and never more of them in memory than a few.

``capture.py`` cuts what a flow prints, ``raw_output.py`` what comes through the descriptors themselves.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from dagy_worker.logs import MAX_MESSAGE
from dagy_worker.redaction import Redactor

_SLICE = 1 << 18


class LineSplitter:
    """Cuts one stream of text or bytes. A line that does not end is given out in pieces."""

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    @property
    def has_rest(self) -> bool:
        """Whether there is a line that has not ended."""
        return bool(self._rest)

    def feed(self, text: str) -> Iterator[list[str]]:
        """Yield the lines that a text completes, in lists of bounded size."""
        for start in range(0, len(text), _SLICE):
            if lines := self._completed(text[start : start + _SLICE]):
                yield lines

    def feed_bytes(self, data: bytes) -> Iterator[list[str]]:
        """Yield the lines that bytes complete. What is not UTF-8 is written in hexadecimal."""
        return self.feed(self._decoder.decode(data))

    def end(self) -> list[str]:
        """Return the line that nobody ended, if there is one."""
        rest, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        return self._lines(rest) if rest else []

    def _completed(self, text: str) -> list[str]:
        whole, newline, rest = (self._rest + text).rpartition("\n")
        lines = self._lines(whole) if newline else []
        held_back = max(0, self._redact.longest - 1)  # a secret may end in what is still to come
        if len(rest) > MAX_MESSAGE + 2 * held_back:
            rest = self._redact(rest)
            lines.append(rest[: len(rest) - held_back])
            rest = rest[len(rest) - held_back :]
        self._rest = rest
        return lines

    def _lines(self, text: str) -> list[str]:
        return [line.removesuffix("\r") for line in self._redact(text).split("\n")]
