"""Parameters as environment variables, for tasks that read ``os.environ["OUTPUT_BUCKET"]``.

Called by the worker before it imports the flow, and by ``dagy run`` so that a local run sees the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

RESERVED_PREFIXES = ("AWS_", "DAGY_", "ECS_", "LD_", "PIP_", "PYTHON", "SSL_")
"""Names that steer the process itself. A parameter must not be able to set them."""


def export_parameters(parameters: Mapping[str, Any], environ: MutableMapping[str, str]) -> None:
    """Set a variable for each scalar parameter, unless there is one already.

    The name is the parameter's in upper case, with ``_`` for characters that are not letters, digits or ``_``. Strings
    are exported as they are, numbers and booleans as JSON; null, lists and objects are not exported.
    """
    for parameter, value in parameters.items():
        name = re.sub(r"\W", "_", parameter.upper(), flags=re.ASCII)
        text = _as_text(value)
        if text is not None and name and not name.startswith(RESERVED_PREFIXES):
            environ.setdefault(name, text)


def _as_text(value: Any) -> str | None:
    if isinstance(value, str):
        return None if "\0" in value else value
    return json.dumps(value) if isinstance(value, bool | int | float) else None
