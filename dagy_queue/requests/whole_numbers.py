"""Whole numbers of requests and policies: true is none, although Python and pydantic take it for 1."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError


def _refuse_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticKnownError("int_type")
    return value


Whole = Annotated[int, BeforeValidator(_refuse_truth)]
"""A field that is a whole number."""
