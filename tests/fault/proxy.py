"""A TCP proxy before a database server that cuts connections around COMMIT."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from typing import ClassVar

_UNTYPED = {80877102, 80877103, 80877104}  # cancel, SSL and GSS requests come before start-up


class Frontend:
    """
    Splits what a PostgreSQL client sends into pieces, and finds its COMMITs.

    Only Query and Parse messages are collected whole; all else (COPY data) passes as it
    comes.
    """

    def __init__(self) -> None:
        self._started = False
        self._left = 0
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """Return pieces to forward, in order, each with whether it is a COMMIT."""
        pieces: list[tuple[bytes, bool]] = []
        self._buffer += data
        while self._buffer:
            if self._left:
                part, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
                self._left -= len(part)
                pieces.append((part, False))
                continue
            piece = self._message() if self._started else self._start()
            if piece is None:
                break
            pieces.append(piece)
        return pieces

    def _start(self) -> tuple[bytes, bool] | None:
        if len(self._buffer) < 8:
            return None
        length, code = struct.unpack("!II", self._buffer[:8])
        if len(self._buffer) < length:
            return None
        self._started = code not in _UNTYPED
        message, self._buffer = self._buffer[:length], self._buffer[length:]
        return message, False

    def _message(self) -> tuple[bytes, bool] | None:
        if len(self._buffer) < 5:
            return None
        kind, size = self._buffer[:1], struct.unpack("!I", self._buffer[1:5])[0] + 1
        if kind not in b"QP":
            part, self._buffer = self._buffer[:size], self._buffer[size:]
            self._left = size - len(part)
            return part, False
        if len(self._buffer) < size:
            return None
        message, self._buffer = self._buffer[:size], self._buffer[size:]
        return message, message[5:].strip(b"\x00 ;").lower().startswith(b"commit")


class TlsFrontend(Frontend):
    """
    The same for a client of PostgreSQL behind TLS 1.3, where only lengths can be seen.

    Of all that a sink sends, COMMIT alone is a record of its length.
    """

    #: Message type, length, text and NUL; the type of the record and its tag come to it.
    _COMMIT = 1 + 4 + len("commit") + 1 + 1 + 16

    def _message(self) -> tuple[bytes, bool] | None:
        if len(self._buffer) < 5:
            return None
        size = struct.unpack("!H", self._buffer[3:5])[0] + 5
        if len(self._buffer) < size:
            return None
        message, self._buffer = self._buffer[:size], self._buffer[size:]
        return message, message[0] == 23 and size == self._COMMIT + 5

    def _start(self) -> tuple[bytes, bool] | None:
        request = super()._start()
        self._started = request is not None  # what follows is TLS
        return request


class MysqlFrontend(Frontend):
    """The same for a client of MariaDB or MySQL, without TLS: all but short queries passes."""

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """See `Frontend.feed`."""
        self._started = True  # the server speaks first
        return super().feed(data)

    def _message(self) -> tuple[bytes, bool] | None:
        if len(self._buffer) < 4:
            return None
        size = int.from_bytes(self._buffer[:3], "little") + 4
        if size > 32:
            part, self._buffer = self._buffer[:size], self._buffer[size:]
            self._left = size - len(part)
            return part, False
        if len(self._buffer) < size:
            return None
        message, self._buffer = self._buffer[:size], self._buffer[size:]
        # Number 0 begins a command, 3 is a query; what a file holds has other numbers.
        return message, message[3:].lower() == b"\x00\x03commit"


class Proxy:
    """
    Forwards a loopback port to a server; every few COMMITs it cuts the connection.

    Three cuts: ``answered`` (the server's answer is there and is thrown away: the commit
    has surely happened), ``sent`` (COMMIT was passed on, nobody waits), ``unsent`` (the
    connection breaks before it). ``cuts`` counts each.

    Attributes:
        every: Least and most COMMITs from one cut to the next.
        weights: How often each of the three.
    """

    every: ClassVar[tuple[int, int]] = (3, 12)
    weights: ClassVar[tuple[int, int, int]] = (6, 3, 2)

    def __init__(self, upstream_port: int, seed: int, frontend: type[Frontend] = Frontend) -> None:
        self.cutting = True
        self.cuts = {"answered": 0, "sent": 0, "unsent": 0}
        self.commits = 0
        self._upstream = upstream_port
        self._frontend = frontend
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._until_cut = self._rng.randint(*self.every)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections; the open ones end with their clients."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._upstream), timeout=5)
        except OSError:
            return _reset(client)
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        drop = threading.Event()
        answered = threading.Event()
        threading.Thread(
            target=_answers, args=(server, client, drop, answered), daemon=True
        ).start()
        frontend = self._frontend()
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                for piece, commit in frontend.feed(data):
                    how = self.cut() if commit else None
                    if how == "answered":
                        drop.set()
                    if how != "unsent":
                        server.sendall(piece)
                    if how == "answered":
                        answered.wait(10)
                    if how:
                        _reset(server)
                        return _reset(client)
        for end in (client, server):
            _reset(end)
        return None

    def cut(self) -> str | None:
        """Decide at a COMMIT whether the connection is cut, and how."""
        with self._lock:
            self.commits += 1
            if not self.cutting:
                return None
            self._until_cut -= 1
            if self._until_cut > 0:
                return None
            self._until_cut = self._rng.randint(*self.every)
            how = self._rng.choices(("answered", "sent", "unsent"), self.weights)[0]
            self.cuts[how] += 1
            return how


def _answers(
    server: socket.socket, client: socket.socket, drop: threading.Event, answered: threading.Event
) -> None:
    """Pass the server's answers on, until one has to be thrown away."""
    with contextlib.suppress(OSError):
        while data := server.recv(65536):
            if drop.is_set():
                break
            client.sendall(data)
    answered.set()
    if not drop.is_set():
        _reset(client)


def _reset(end: socket.socket) -> None:
    """Close with a reset, as a crash or a firewall would."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RD)  # wakes a thread that reads from it, sends nothing
    end.close()
