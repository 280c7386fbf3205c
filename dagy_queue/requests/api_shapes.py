"""Checks documents in AWS's own form against botocore's model of the API: ``run_task_kwargs`` and task definitions.

The request models use it. botocore's model is read as data, from its files; nothing of AWS is called. botocore does not
check the values of enumerations, so this does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from itertools import islice
from typing import Any

from dagy_queue.requests.json_values import json_problems

_VALUE = re.compile(r", value: .*?(?=, (?:type|valid)|$)", re.MULTILINE)
_MOST_PROBLEMS = 5


def shape_problems(document: Mapping[str, Any], operation: str) -> list[str]:
    """Return what ECS's API would refuse of the input of an operation, as texts that name the place.

    Names that the document leaves to us (the family, the task definition) may be missing.
    """
    if problems := [str(problem) for problem in islice(json_problems(document, operation), _MOST_PROBLEMS)]:
        return problems
    return list(_problems(json.dumps(document, sort_keys=True), operation))


@lru_cache(maxsize=256)  # a batch's shards share their template, and each is checked again before its launch
def _problems(text: str, operation: str) -> tuple[str, ...]:
    from botocore.validate import ParamValidator

    document, shape = json.loads(text), _input_shape(operation)
    names = [name for name in shape.required_members if shape.members[name].type_name == "string"]
    filled = dict.fromkeys(names, "given") | document
    # Values are left out: a secret may stand in the wrong place.
    report = _VALUE.sub("", ParamValidator().validate(filled, shape).generate_report())
    return tuple([*filter(None, report.splitlines()), *_enum_problems(document, shape, "")][:_MOST_PROBLEMS])


@cache
def _input_shape(operation: str) -> Any:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    model = ServiceModel(Loader().load_service_model("ecs", "service-2"), "ecs")
    return model.operation_model(operation).input_shape


def _enum_problems(value: Any, shape: Any, path: str) -> Iterator[str]:
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, member in shape.members.items():
            if name in value:
                yield from _enum_problems(value[name], member, f"{path}.{name}")
    elif shape.type_name == "list" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _enum_problems(item, shape.member, f"{path}[{index}]")
    elif shape.type_name == "string" and shape.enum and isinstance(value, str) and value not in shape.enum:
        yield f"{path.lstrip('.')} = {value!r}: one of {', '.join(shape.enum)}"
