"""What the sections are made of: their base, and types of fields that read themselves from a variable's text."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError, PydanticUseDefault

from dagy_queue.requests.levels import level_problems
from dagy_queue.requests.refusals import allowed


class Section(BaseModel):
    """Base of the sections: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_json(value: Any) -> Any:
    """Read a value that the environment gives as JSON text; an empty text leaves the setting out."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        raise PydanticUseDefault
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as exc:
        raise allowed(f"JSON is expected ({exc})") from None


def split_commas(value: Any) -> Any:
    """Read a list that the environment gives with commas, or as JSON."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return read_json(value)
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _check_level(value: Any) -> Any:
    if problems := level_problems(value):
        text = "; ".join(map(str, problems))
        raise PydanticCustomError("level", "{allowed}", {"allowed": text, "problems": problems})
    return value


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


def _check_address(value: str) -> str:
    if not value.strip():
        raise allowed("an address to listen on, such as 127.0.0.1; every one there is would be 0.0.0.0")
    return value


LevelFields = Annotated[dict[str, Any], BeforeValidator(_check_level)]
"""A profile, or an environment's defaults."""

Names = Annotated[tuple[str, ...], BeforeValidator(split_commas)]
JsonObject = Annotated[dict[str, Any], BeforeValidator(read_json)]
JsonTexts = Annotated[dict[str, str], BeforeValidator(read_json)]
JsonObjects = Annotated[tuple[dict[str, Any], ...], BeforeValidator(read_json)]
Limit = Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_empty_is_none)]
"""A number that may be left out; in the environment an empty value leaves it out."""

Share = Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(_empty_is_none)]
"""The same for a number that need not be whole."""

Address = Annotated[str, AfterValidator(_check_address)]
"""Where something listens. Sockets take an empty text for every address there is, and nobody means that by it."""

Port = Annotated[Annotated[int, Field(ge=0, le=65_535)] | None, BeforeValidator(_empty_is_none)]
"""The port of something that need not be served."""
