"""Where does a tool run? One that awaits: on the loop. Any other: in a thread."""

import asyncio
import inspect
from typing import Any

import dspy
from dspy.utils.callback import with_callbacks

from penstock.program.threads import of_this_question


class ServedTool(dspy.Tool):  # type: ignore[misc] # DSPy has no types
    """A tool that holds up nobody, called from `forward` or from `aforward`."""

    @with_callbacks  # type: ignore[untyped-decorator]
    def __call__(self, **arguments: Any) -> Any:
        result = self.func(**self._validate_and_parse_args(**arguments))
        # Sessions and connections belong to the loop on which they were made.
        return of_this_question().call(result) if asyncio.iscoroutine(result) else result

    @with_callbacks  # type: ignore[untyped-decorator]
    async def acall(self, **arguments: Any) -> Any:
        parsed = self._validate_and_parse_args(**arguments)
        if _awaits(self.func):
            return await self.func(**parsed)
        result = await of_this_question().run(self.func, **parsed)
        return await result if asyncio.iscoroutine(result) else result


def serve(module: dspy.Module) -> None:
    """Puts served tools in the place of DSPy's own, which run on the loop if they do not await."""
    for _, part in module.named_sub_modules():
        attributes = vars(part)
        _replace(attributes)
        for held in attributes.values():
            if isinstance(held, dict | list):
                _replace(held)


def _replace(holder: dict[Any, Any] | list[Any]) -> None:
    places = holder.items() if isinstance(holder, dict) else enumerate(holder)
    for place, held in list(places):
        # What an author has derived from it knows better.
        if type(held) is dspy.Tool:
            holder[place] = ServedTool.model_construct(**dict(held))


def _awaits(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object may be a coroutine function
    )
