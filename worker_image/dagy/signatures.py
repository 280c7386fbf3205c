"""How a function is called: checking the arguments of a task or the parameters of a flow before it runs."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

from dagy.annotations import annotations_of, misfit, text_of


class CallSignature:
    """The parameters of a function. Raises ValueError for those written in C that do not tell."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._signature = _signature_of(function)
        self.parameters: Mapping[str, inspect.Parameter] = self._signature.parameters

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by parameter. Raises TypeError, with how the function is called, if they do not fit."""
        try:
            return dict(self._signature.bind(*args, **kwargs).arguments)
        except TypeError as exc:
            raise TypeError(f"{exc}. It is called as {self}") from None

    def misfits(self, arguments: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the types of arguments by parameter, as ``x: expected int, got str '1'``."""
        for name, value in arguments.items():
            parameter = self.parameters[name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                values = [(f"{name}[{index}]", item) for index, item in enumerate(value)]
            else:
                values = [*value.items()] if parameter.kind is parameter.VAR_KEYWORD else [(name, value)]
            for place, item in values:
                yield from self._misfit(parameter, place, item)

    def annotation(self, name: str) -> str:
        """Return the annotation of a parameter as one writes it, or "" if it has none."""
        return text_of(self.parameters[name].annotation)

    def __str__(self) -> str:
        names = [str(p.replace(annotation=inspect.Parameter.empty)) for p in self.parameters.values()]
        return f"{getattr(self._function, '__name__', 'it')}({', '.join(names)})"

    @cached_property
    def _annotations(self) -> dict[str, Any]:
        return annotations_of(self._function, self._signature)

    def _misfit(self, parameter: inspect.Parameter, place: str, value: Any) -> Iterator[str]:
        if value is None and parameter.default is None:
            return  # as the author wrote it, whatever the annotation
        if problem := misfit(value, self._annotations[parameter.name]):
            yield f"{place}{problem}"


def _signature_of(function: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        from annotationlib import Format

        return inspect.signature(function, annotation_format=Format.FORWARDREF)
    return inspect.signature(function)
