"""Calls a function of the user's, and takes what it returns one by one, async or not."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from api2db.ingest.native import is_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_END = object()


class _NoRunner:
    """Stands for the event loop of a function that needs none."""

    def __enter__(self) -> Any:
        return None

    def __exit__(self, *exc_info: object) -> None:
        pass


async def _awaited(result: Any) -> Any:
    return await result


def results(function: Callable[..., Any], given: Mapping[str, Any]) -> Iterator[Any]:
    """Call *function* with the arguments *given*, and yield what it returns or yields, in order."""
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    with asyncio.Runner() if is_async else _NoRunner() as runner:
        result = function(**given)
        if inspect.isawaitable(result):
            result = runner.run(_awaited(result))
        yield from _each(result, runner)


def _each(result: Any, runner: Any) -> Iterator[Any]:
    """Yield the items of what a function returned: one, or those of an iterator."""
    if result is None:
        return
    if isinstance(result, AsyncIterator):
        while (item := runner.run(_following(result))) is not _END:
            yield item
    elif is_rows(result):
        yield result
    elif isinstance(result, (list, tuple, Iterator)):
        yield from result
    else:
        yield result  # no rows: `chunks` says so


async def _following(items: AsyncIterator[Any]) -> Any:
    return await anext(items, _END)
