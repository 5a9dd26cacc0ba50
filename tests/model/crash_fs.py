"""
A disk in memory that keeps only what was synced, plus an arbitrary part of the rest.

What it does worse than most real ones: writes that were not synced are torn at any byte and kept
in any combination; a failed sync drops an arbitrary part for good, though it can still be read,
and the next sync succeeds without it; a file's sync does not make its name durable.
"""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from api2db.files.fs import Fs

if TYPE_CHECKING:
    from collections.abc import Sequence


class Crash(BaseException):
    """The power is gone; no handler of the program may do anything about it."""


@dataclass
class Inode:
    """A file: what programs see, what is on the platter, and what is on its way there."""

    view: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: truncate

    def do(self, offset: int, data: bytes | None) -> None:
        """Write *data* at *offset*, or cut the file there."""
        apply(self.view, offset, data)
        self.pending.append((offset, data))

    def sync(self) -> None:
        """Bring what is pending to the platter."""
        for offset, data in self.pending:
            apply(self.durable, offset, data)
        self.pending.clear()

    def lose(self, rng: random.Random) -> None:
        """Bring an arbitrary part of what is pending to the platter, and forget the rest."""
        for offset, data in self.pending:
            kind = rng.choice(("none", "all", "prefix", "hole", "pieces"))
            if kind == "none":
                continue
            if data is None or kind == "all":
                apply(self.durable, offset, data)
            elif kind == "prefix":
                apply(self.durable, offset, data[: rng.randrange(len(data) + 1)])
            elif kind == "hole":
                start = rng.randrange(len(data) + 1)
                end = start + rng.randrange(200)
                apply(self.durable, offset, data[:start])
                apply(self.durable, offset + end, data[end:])
            else:
                for at in range(0, len(data), 64):
                    if rng.random() < 0.7:
                        apply(self.durable, offset + at, data[at : at + 64])
        self.pending.clear()


def apply(content: bytearray, offset: int, data: bytes | None) -> None:
    """Do one change to *content*."""
    if data is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
    elif data:
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data


@dataclass
class Fault:
    """
    What happens at the next changes.

    Attributes:
        after: Changes that still succeed.
        kind: ``crash`` (before the change or in the middle of it), ``eio``, or ``sync``: an
            error of the next sync of a file.
    """

    after: int
    kind: str


class CrashFs(Fs):
    """The disk. A crash makes every later call fail too, until `restart`."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.names: dict[Path, Inode] = {}
        self.durable_names: dict[Path, Inode] = {}
        self.pending_names: list[tuple[str, Path, Path | None, Inode | None]] = []
        self.folders: set[Path] = {Path("/")}
        self.fds: dict[int, Inode] = {}
        self.fault: Fault | None = None
        self.dead = False
        self.capacity: int | None = None
        self.changes = 0
        self._next_fd = 3

    # -- what a test does ----------------------------------------------------------

    def restart(self) -> None:
        """Lose what was not synced; start again."""
        for inode in {
            id(i): i for i in [*self.names.values(), *self.durable_names.values()]
        }.values():
            inode.lose(self.rng)
            inode.view = bytearray(inode.durable)
        kept = self.rng.randrange(len(self.pending_names) + 1)
        for change in self.pending_names[:kept]:
            self._apply_name(self.durable_names, change)
        self.pending_names.clear()
        self.names = dict(self.durable_names)
        self.fds.clear()
        self.fault, self.dead, self.capacity = None, False, None

    def used(self) -> int:
        """Bytes of all files."""
        return sum(len(inode.view) for inode in self.names.values())

    # -- faults --------------------------------------------------------------------

    def _step(self, *, sync: bool = False) -> bool:
        """Count a change; raise the fault that is due; return whether it is to be torn."""
        if self.dead:
            raise Crash
        self.changes += 1
        fault = self.fault
        if fault is None or (fault.kind == "sync" and not sync):
            return False
        if fault.after > 0:
            fault.after -= 1
            return False
        self.fault = None
        if fault.kind == "crash":
            self.dead = True
            return True
        raise OSError(errno.EIO, "the disk is broken")

    def _alive(self) -> None:
        if self.dead:
            raise Crash

    # -- folders -------------------------------------------------------------------

    def mkdir(self, path: Path) -> None:
        self._alive()
        self.folders.update([path, *path.parents])

    def listdir(self, path: Path) -> list[str]:
        self._alive()
        if path not in self.folders:
            raise FileNotFoundError(errno.ENOENT, "no folder", str(path))
        inside = [p for p in (*self.names, *self.folders) if p.parent == path and p != path]
        return [p.name for p in inside]

    def _name(self, change: tuple[str, Path, Path | None, Inode | None]) -> None:
        self._apply_name(self.names, change)
        self.pending_names.append(change)

    @staticmethod
    def _apply_name(
        names: dict[Path, Inode], change: tuple[str, Path, Path | None, Inode | None]
    ) -> None:
        kind, path, new, inode = change
        if kind == "create":
            assert inode is not None
            names[path] = inode
        elif kind == "unlink":
            names.pop(path, None)
        elif path in names:
            assert new is not None
            names[new] = names.pop(path)

    def fsync_dir(self, path: Path) -> None:
        if self._step():
            raise Crash
        left = []
        for change in self.pending_names:
            _, old, new, _ = change
            if old.parent == path or (new is not None and new.parent == path):
                self._apply_name(self.durable_names, change)
            else:
                left.append(change)
        self.pending_names = left

    def rename(self, old: Path, new: Path) -> None:
        torn = self._step()
        if old not in self.names:
            raise FileNotFoundError(errno.ENOENT, "no file", str(old))
        if not torn or self.rng.random() < 0.5:
            self._name(("rename", old, new, None))
        if torn:
            raise Crash

    def unlink(self, path: Path) -> None:
        torn = self._step()
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, "no file", str(path))
        if not torn or self.rng.random() < 0.5:
            self._name(("unlink", path, None, None))
        if torn:
            raise Crash

    # -- files ---------------------------------------------------------------------

    def _fd(self, inode: Inode) -> int:
        self._next_fd += 1
        self.fds[self._next_fd] = inode
        return self._next_fd

    def create(self, path: Path) -> int:
        torn = self._step()
        if path in self.names:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        inode = Inode()
        self._name(("create", path, None, inode))
        if torn:
            raise Crash
        return self._fd(inode)

    def open(self, path: Path, *, write: bool = False) -> int:
        self._alive()
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, "no file", str(path))
        return self._fd(self.names[path])

    def close(self, fd: int) -> None:
        self._alive()
        del self.fds[fd]

    def size(self, fd: int) -> int:
        self._alive()
        return len(self.fds[fd].view)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        self._alive()
        return bytes(self.fds[fd].view[offset : offset + size])

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        torn = self._step()
        inode = self.fds[fd]
        grows = max(0, offset + len(data) - len(inode.view))
        room = grows if self.capacity is None else max(0, self.capacity - self.used())
        count = len(data) - max(0, grows - room)
        if torn:
            inode.do(offset, data[: self.rng.randrange(count + 1)])
            raise Crash
        if data and count <= 0:
            raise OSError(errno.ENOSPC, "the disk is full")
        inode.do(offset, data[:count])
        return count

    def pwritev(self, fd: int, buffers: Sequence[bytes], offset: int) -> int:
        return self.pwrite(fd, b"".join(buffers), offset)

    def allocate(self, fd: int, size: int) -> None:
        if self.pwrite(fd, bytes(size), 0) != size:
            raise OSError(errno.ENOSPC, "the disk is full")

    def ftruncate(self, fd: int, size: int) -> None:
        torn = self._step()
        if not torn or self.rng.random() < 0.5:
            self.fds[fd].do(size, None)
        if torn:
            raise Crash

    def fdatasync(self, fd: int) -> None:
        inode = self.fds[fd]
        try:
            torn = self._step(sync=True)
        except OSError:
            inode.lose(self.rng)
            raise
        if torn:
            raise Crash
        inode.sync()

    def fsync(self, fd: int) -> None:
        self.fdatasync(fd)
