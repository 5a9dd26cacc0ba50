"""Group commit: one writes for all that wait, and everyone learns what became of his own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from api2db.core.errors import SpoolFailed, SpoolFull
from api2db.spool.commit import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Sequence


class SlowDisk:
    """Writes a group when the test says so."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)

    def write(self, items: Sequence[int]) -> list[int | Exception]:
        """Return ten times each item; negative ones find no room, 0 breaks everything."""
        self.groups.append(list(items))
        self.entered.release()
        assert self.go_on.acquire(timeout=10)
        if 0 in items:
            raise MemoryError
        return [SpoolFull("full") if item < 0 else item * 10 for item in items]


def put_all(group: GroupCommit[int, int], disk: SlowDisk, items: list[int]) -> dict[int, object]:
    """Put the first item, the others while it is written; return what each got."""
    found: dict[int, object] = {}

    def put(item: int) -> None:
        try:
            found[item] = group.put(item)
        except (MemoryError, SpoolFailed, SpoolFull) as exc:
            found[item] = type(exc)

    threads = [threading.Thread(target=put, args=(item,)) for item in items]
    threads[0].start()
    assert disk.entered.acquire(timeout=10)
    for count, thread in enumerate(threads[1:], 1):
        thread.start()
        while len(group._queue) < count:
            pass
    for _ in items:
        disk.go_on.release()
    for thread in threads:
        thread.join(10)
    return found


def test_those_who_come_during_a_write_share_the_next() -> None:
    """Two writes for five puts: the first alone, then all that waited, in order."""
    disk = SlowDisk()
    group = GroupCommit(disk.write, weigh=lambda _: 1, limit=100)
    assert put_all(group, disk, [1, 2, 3, 4, 5]) == {i: i * 10 for i in range(1, 6)}
    assert disk.groups == [[1], [2, 3, 4, 5]]


def test_a_group_is_bounded_in_bytes() -> None:
    """Items beyond the limit wait for the next write; one item always goes."""
    disk = SlowDisk()
    group = GroupCommit(disk.write, weigh=lambda item: item, limit=7)
    assert len(put_all(group, disk, [1, 3, 4, 9])) == 4
    assert disk.groups == [[1], [3, 4], [9]]


def test_everyone_gets_his_own_error() -> None:
    """One record that finds no room does not fail those beside it."""
    disk = SlowDisk()
    group = GroupCommit(disk.write, weigh=lambda _: 1, limit=100)
    assert put_all(group, disk, [1, 2, -3, 4]) == {1: 10, 2: 20, -3: SpoolFull, 4: 40}


def test_a_leader_that_dies_leaves_nobody_waiting() -> None:
    """The others of its group fail, and the next put is written."""
    disk = SlowDisk()
    group = GroupCommit(disk.write, weigh=lambda _: 1, limit=100)
    found = put_all(group, disk, [1, 0, 2])
    assert found == {1: 10, 0: MemoryError, 2: SpoolFailed}
    disk.go_on.release()
    assert group.put(7) == 70
    disk.go_on.release()
    with pytest.raises(SpoolFull):
        group.put(-1)
