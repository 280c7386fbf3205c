"""How the validators of this room say what is allowed; ``parsing.py`` turns it into the Problems that callers see."""

from __future__ import annotations

from pydantic_core import PydanticCustomError


def allowed(text: str) -> PydanticCustomError:
    """Return the error of a field's validator: ``text`` says what is allowed there."""
    return PydanticCustomError("allowed", "{allowed}", {"allowed": text})


def wrong_size(size: str, text: str) -> PydanticCustomError:
    """Return the error of a validator that judges CPU and memory together: ``size`` says what was given."""
    return PydanticCustomError("size", "{allowed}", {"allowed": text, "size": size})
