"""Group commit: many threads put, one of them writes for all that wait."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from api2db.core.errors import SpoolFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")

#: Most items that one write takes.
GROUP = 128


class _Waiter(Generic[T, R]):
    """One call of `GroupCommit.put`."""

    __slots__ = ("error", "item", "leads", "result", "turn")

    def __init__(self, item: T) -> None:
        self.item = item
        self.turn = threading.Event()
        self.leads = False
        self.result: R | None = None
        self.error: BaseException | None = None


class GroupCommit(Generic[T, R]):
    """
    Leader and followers, without a timer.

    A thread that finds no leader becomes it and writes what has queued up, its own item
    first; the others wait, and the first of those who came meanwhile leads next. So one
    thread alone waits for nobody, and many share one sync.

    Args:
        write: Makes items durable, in order; returns for each its result or its error.
            Only one thread at a time is in it.
        weigh: Bytes of an item.
        limit: Bytes that one write takes, but for a single item.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], Sequence[R | Exception]],
        *,
        weigh: Callable[[T], int],
        limit: int,
    ) -> None:
        self._write = write
        self._weigh = weigh
        self._limit = limit
        self._lock = threading.Lock()
        self._queue: list[_Waiter[T, R]] = []
        self._led = False

    def put(self, item: T) -> R:
        """Return the result of *item*, or raise its error, when it is decided."""
        waiter: _Waiter[T, R] = _Waiter(item)
        with self._lock:
            self._queue.append(waiter)
            waiter.leads, self._led = not self._led, True
        if not waiter.leads:
            waiter.turn.wait()
        if waiter.leads:
            self._lead()
        if waiter.error is not None:
            raise waiter.error
        assert waiter.result is not None
        return waiter.result

    def _lead(self) -> None:
        """Write one group, the caller's item first in it; then hand over."""
        group = self._take()
        try:
            results = self._write([waiter.item for waiter in group])
            for waiter, result in zip(group, results, strict=True):
                if isinstance(result, Exception):
                    waiter.error = result
                else:
                    waiter.result = result
        except BaseException as exc:
            for waiter in group[1:]:
                waiter.error = SpoolFailed(f"the write was broken off: {exc!r}")
            raise
        finally:
            self._hand_over()
            for waiter in group[1:]:
                waiter.turn.set()

    def _take(self) -> list[_Waiter[T, R]]:
        with self._lock:
            count, size = 0, 0
            for waiter in self._queue[:GROUP]:
                size += self._weigh(waiter.item)
                if count and size > self._limit:
                    break
                count += 1
            group, self._queue = self._queue[:count], self._queue[count:]
            return group

    def _hand_over(self) -> None:
        with self._lock:
            if not self._queue:
                self._led = False
                return
            following = self._queue[0]
            following.leads = True
        following.turn.set()
