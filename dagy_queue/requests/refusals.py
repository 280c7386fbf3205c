"""How the validators of this room say what is allowed; ``parsing.py`` turns it into the Problems that callers see."""

from __future__ import annotations

from pydantic_core import PydanticCustomError


def allowed(text: str) -> PydanticCustomError:
    """Return the error of a field's validator: ``text`` says what is allowed there."""
    return PydanticCustomError("allowed", "{allowed}", {"allowed": text})


def wrong_size(size: str | int, text: str, field: str = "size") -> PydanticCustomError:
    """Return the error of a validator that judges CPU and memory together: ``size`` says what was given.

    ``field`` is the one of the two that is wrong by itself, if one is.
    """
    return PydanticCustomError("size", "{allowed}", {"allowed": text, "size": size, "field": field})
